from datetime import date
from pathlib import Path

import pytest

from crossmargin.errors import FailureReason, RulebookError
from crossmargin.sources import ShippedRulebook, list_rulebooks, load_rulebook, rulebooks

FIRST, SECOND = date(2024, 4, 1), date(2026, 2, 1)


def test_names_are_sorted_and_dated() -> None:
    listed = list_rulebooks()
    assert listed == tuple(sorted(listed))
    assert ShippedRulebook("deribit-portfolio", FIRST) in listed
    assert ShippedRulebook("reference", FIRST).spec == "reference@2024-04-01"


@pytest.mark.parametrize("spec", [book.spec for book in list_rulebooks()])
def test_every_shipped_document_states_its_own_name_and_date(spec: str) -> None:
    rulebook = load_rulebook(spec)
    assert f"{rulebook.name}@{rulebook.effective_from}" == spec
    assert rulebook.path == f"{spec}.toml"


@pytest.mark.parametrize(
    ("spec", "as_of", "found"),
    [
        ("deribit-portfolio", FIRST, FIRST),
        ("deribit-portfolio", date(2026, 1, 31), FIRST),
        ("deribit-portfolio", SECOND, SECOND),
        ("deribit-portfolio@2025-06-01", SECOND, FIRST),
        ("deribit-portfolio@2026-02-01", None, SECOND),
    ],
)
def test_the_rules_in_force_are_found(spec: str, as_of: date | None, found: date) -> None:
    assert load_rulebook(spec, as_of).effective_from == found


def test_before_the_first_date_nothing_is_in_force() -> None:
    with pytest.raises(RulebookError, match=r"begins on 2017-01-01.*ask for deribit-portfolio@2017-01-01") as caught:
        load_rulebook("deribit-portfolio", date(2016, 1, 1))
    assert caught.value.reason is FailureReason.NOT_EFFECTIVE


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("deribit-portfoli", "did you mean deribit-portfolio"),
        ("nothing-like-it", "The shipped ones are .*, binance-usdm, "),
        ("deribit-portfolio@soon", "expected NAME@YYYY-MM-DD"),
        ("absent.toml", "cannot be read"),
        ("", "there is no rulebook ''"),
    ],
)
def test_an_unknown_rulebook_is_refused(spec: str, says: str) -> None:
    with pytest.raises(RulebookError, match=says) as caught:
        load_rulebook(spec)
    assert caught.value.reason is FailureReason.UNKNOWN_RULEBOOK


def extending(base: str, name: str) -> str:
    return f'rulebook = {{ name = "{name}", effective_from = 2020-01-01, extends = "{base}" }}\n'


def test_a_file_extends_a_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(extending("deribit-portfolio@2026-02-01", "own"), encoding="utf-8")
    rulebook = load_rulebook(str(own))
    assert rulebook.name == "own"
    assert set(rulebook.lines) == set(load_rulebook("deribit-portfolio").lines)


def test_a_file_extends_the_one_beside_it(tmp_path: Path) -> None:
    first, second = tmp_path / "one@2020-01-01.toml", tmp_path / "two.toml"
    first.write_text(extending("deribit-portfolio@2026-02-01", "one"), encoding="utf-8")
    second.write_text(extending("one@2020-01-01", "two"), encoding="utf-8")
    assert load_rulebook(str(second)).name == "two"


def test_a_base_is_named_exactly(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(extending("deribit-portfolio@2026-02-02", "own"), encoding="utf-8")
    with pytest.raises(RulebookError, match="write 'deribit-portfolio@2026-02-01'"):
        load_rulebook(str(own))


def test_a_circle_of_bases_is_refused(tmp_path: Path) -> None:
    for name, base in (("one", "two"), ("two", "one")):
        text = extending(f"{base}@2020-01-01", name)
        (tmp_path / f"{name}@2020-01-01.toml").write_text(text, encoding="utf-8")
    with pytest.raises(RulebookError, match="circle"):
        load_rulebook(str(tmp_path / "one@2020-01-01.toml"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(RulebookError, match="UTF-8"):
        load_rulebook(str(own))


def test_an_empty_shelf_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulebooks, "_shipped", dict)
    with pytest.raises(RulebookError, match="The shipped ones are none"):
        load_rulebook("reference")
