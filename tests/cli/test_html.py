import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from crossmargin.cli.html_report import html_report
from crossmargin.cli.pictures.svg import compact, ticks
from crossmargin.cli.pictures.waterfall import waterfall_picture
from tests.cli import fakes

VOID = {"meta", "br", "hr", "link", "img"}


class Checker(HTMLParser):
    """Collects tags, and fails where they do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return html_report(fakes.explanation(), {"short_options"})


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


def test_tags_nest_and_ids_are_unique(page: str) -> None:
    checker = checked(page)
    assert len(checker.ids) == len(set(checker.ids))


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    assert "script" not in checked(page).seen
    assert not re.search(r"""(?:src|href)\s*=|url\(|@import""", page)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_every_picture_and_table_says_what_it_is(page: str) -> None:
    seen = checked(page).seen
    assert seen.count("svg") >= 6
    assert page.count("<desc") == seen.count("svg")
    assert seen.count("caption") == seen.count("table")


def with_hostile_texts(value: Any) -> Any:  # noqa: ANN401  # any data
    """The same data with every text replaced but those that an enum or a shape depends on."""
    if isinstance(value, msgspec.Struct):
        fields = {name: with_hostile_texts(getattr(value, name)) for name in value.__struct_fields__}
        return type(value)(**{**fields, **{name: getattr(value, name) for name in ("pool",) if name in fields}})
    if isinstance(value, dict):
        return {with_hostile_texts(key): with_hostile_texts(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(with_hostile_texts(item) for item in value)
    return fakes.HOSTILE + value if type(value) is str and not value.startswith("spot ") else value


def test_every_text_is_escaped() -> None:
    page = html_report(with_hostile_texts(fakes.explanation()), {fakes.HOSTILE})
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 50
    checked(page)


def test_an_account_with_nothing_has_a_page() -> None:
    empty = msgspec.structs.replace(
        fakes.explanation(),
        trees=(),
        contributions=(),
        greeks=(),
        liquidation_prices=(),
        profiles=(),
        capital_efficiency=None,
    )
    checked(html_report(empty))


def test_a_surplus_is_no_relief() -> None:
    efficiency = fakes.explanation().capital_efficiency
    assert efficiency is not None
    picture = waterfall_picture("w", msgspec.structs.replace(efficiency, cross=2_000_000.0, efficiency=-0.62), "USD")
    assert 'class="surplus"' in picture


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 4.0, 4) == [0, 1, 2, 3, 4]
    assert ticks(-0.5, 2.2, 5) == [0, 1, 2] or all(-0.5 <= tick <= 2.2 for tick in ticks(-0.5, 2.2, 5))
    assert [compact(value) for value in (-305_000.0, 0.5, 2.5e6)] == ["-305k", "0.5", "2.5M"]
