"""Every number has a source, said by table."""

from __future__ import annotations

import pytest

from crossmargin.errors import RulebookError
from crossmargin.margin.model import Constant, Keyed, Provenance, Tiers
from crossmargin.margin.parser import parse_rulebook
from tests.margin.rulebook_texts import PLAIN, SCAN, changed, line_with


@pytest.mark.parametrize(
    ("text", "swap", "held"),
    [
        (PLAIN, ('[parameters]\nsource = "S1"\n', "[parameters]\n"), "share = 0.5"),
        (PLAIN, ('source = "S2"\nof', "of"), "leverage_limit = 20"),
        (SCAN, ('[scenarios]\nsource = "S1"\n', "[scenarios]\n"), "grid = ["),
        (SCAN, ('then = "reduce_only"\nsource = "S1"\n', 'then = "reduce_only"\n'), "below = 1.2"),
        (SCAN, ('[charges]\nsource = "S1"\n', "[charges]\n"), "scan.drop"),
        (SCAN, ('[shocks]\nsource = "S1"\n', "[shocks]\n"), "where = {"),
    ],
)
def test_a_number_without_a_source_is_refused_at_its_line(text: str, swap: tuple[str, str], held: str) -> None:
    broken = changed(text, swap)
    with pytest.raises(RulebookError, match=r"no source covers this number; put `source") as caught:
        parse_rulebook(broken, "book.toml")
    assert caught.value.line == line_with(broken, held)


def test_the_number_of_a_text_needs_a_source_too() -> None:
    text = changed(PLAIN, ('[parameters]\nsource = "S1"\nshare = 0.5', '[parameters]\nshare = "1 / 2"'))
    with pytest.raises(RulebookError, match=r"parameters\.share: no source"):
        parse_rulebook(text)


def test_a_source_covers_its_table_and_below_and_exceptions_stand_beside_it() -> None:
    text = changed(
        PLAIN,
        ('source = "S2"\n', 'source = "S2"\nsources = { leverage_limit = "S1" }\nunverified = ["brackets"]\n'),
    )
    own = parse_rulebook(text).line("perpetuals").parameters
    limit, brackets = own["leverage_limit"], own["brackets"]
    assert isinstance(limit, Constant)
    assert isinstance(brackets, Tiers)
    assert limit.provenance == Provenance("S1", unverified=False)
    assert brackets.provenance == Provenance("S2", unverified=True)


def test_exceptions_reach_into_where_and_keyed_tables() -> None:
    rulebook = parse_rulebook(changed(SCAN, ("third =", 'unverified = ["width"]\nthird =')))
    days, width = rulebook.shocks.parameters["base_days"], rulebook.parameters["width"]
    assert isinstance(days, Constant)
    assert days.provenance == Provenance("S1", unverified=True)
    assert isinstance(width, Keyed)
    assert isinstance(width.default, Constant)
    assert width.default.provenance == Provenance("S1", unverified=True)


def test_unverified_alone_covers() -> None:
    text = changed(PLAIN, ('[parameters]\nsource = "S1"\n', '[parameters]\nunverified = ["share"]\n'))
    share = parse_rulebook(text).parameters["share"]
    assert isinstance(share, Constant)
    assert share.provenance == Provenance("", unverified=True)


def test_one_source_can_cover_the_document() -> None:
    text = 'source = "S1"\n' + changed(PLAIN, ('[parameters]\nsource = "S1"\n', "[parameters]\n"))
    assert parse_rulebook(text).parameters["share"] == Constant(0.5, Provenance("S1", unverified=False))


@pytest.mark.parametrize("remark", ['unverified = ["shore"]', 'sources = { shore = "S1" }', 'unit = { shore = "USD" }'])
def test_a_remark_on_nothing_is_refused(remark: str) -> None:
    text = changed(PLAIN, ("share = 0.5", f"{remark}\nshare = 0.5"))
    with pytest.raises(RulebookError, match=r"names `shore`.*did you mean `share`") as caught:
        parse_rulebook(text, "book.toml")
    assert caught.value.line == line_with(text, remark)


def test_a_line_may_be_called_unit() -> None:
    assert parse_rulebook(SCAN).line("unit").level == "bucket"
