"""Bands, steps, waterfall, fund and halt as a document states them, and what is refused, with its line."""

from __future__ import annotations

import pytest

from crossmargin.errors import RulebookError
from crossmargin.margin import assess, parse_rulebook
from crossmargin.margin.procedure_checks import base_name
from tests.liquidation.procedures import PLAIN, account, market
from tests.margin.rulebook_texts import changed, line_with

FULL = """
[[bands]]
then = "warned"
when = "adjusted_equity < 1.5 * maintenance"
until = "adjusted_equity >= 1.6 * maintenance"
[[bands]]
then = "called"
when = "adjusted_equity < initial"
deadline = 600
cure = "initial"
source = "S1"
[liquidation]
trigger = "adjusted_equity < floor_at * maintenance"
until = "adjusted_equity >= maintenance"
cadence = 30
lockout = true
realised = "basis"
loss = "-equity"
source = "S1"
floor_at = 1
[liquidation.inputs]
wanted = "inf"
needed_one = "needed"
[liquidation.parameters]
source = "S1"
share = 0.25
[liquidation.lines]
part = "share * contracts_held_start"
[[liquidation.steps]]
name = "cancel"
do = "cancel"
[[liquidation.steps]]
name = "reduce"
do = "close"
of = ["long perpetual", "short perpetual"]
rank = "relief"
when = "equity > 0"
amount = "min(part, wanted, needed_one)"
price = "price"
to = "book"
fees = { fund = "0.001 * moved * price" }
window = 60
[[waterfall]]
pay = "fund"
keep = "share * fund"
[[waterfall]]
pay = "gains"
rule = "pro_rata"
weight = "profit"
rounding = "payment"
remainder = "last"
[fund]
source = "S1"
target = "max(cover_2, cover_1)"
assets = { BTC = 0.15 }
[[halt]]
when = "quote_confidence < 0.5"
until = "quote_confidence >= 0.8"
what = ["risk"]
"""


def test_a_document_says_a_whole_procedure() -> None:
    found = parse_rulebook(PLAIN + FULL).procedure
    assert [(band.then, band.cure) for band in found.bands] == [("warned", None), ("called", "initial")]
    rule = found.liquidation
    assert (rule.lockout, rule.realised, rule.inputs) == (True, "basis", {"wanted": float("inf"), "needed_one": None})
    assert set(rule.parameters) == {"floor_at", "share"}
    reduce = rule.steps[1]
    assert reduce.of == (frozenset({"long", "perpetual"}), frozenset({"short", "perpetual"}))
    assert set(reduce.fees) == {"fund"}
    assert [layer.pay for layer in found.waterfall] == ["fund", "gains"]
    assert found.fund.haircuts == {"BTC": 0.15}
    assert found.halts[0].what == ("risk",)


def test_a_rulebook_that_says_nothing_is_liquidated_below_maintenance() -> None:
    found = parse_rulebook(PLAIN).procedure
    assert found.liquidation.trigger.text == "adjusted_equity < maintenance"
    assert (found.bands, found.liquidation.steps, found.waterfall, found.halts) == ((), (), (), ())


@pytest.mark.parametrize(("dollars", "band"), [("200", None), ("70", "called"), ("120", None), ("40", "called")])
def test_the_report_names_the_band_that_holds(dollars: str, band: str | None) -> None:
    """10 BTC at 100: maintenance 50, initial 100."""
    report = assess(account(dollars, BTC=("10", "100")), market(), parse_rulebook(PLAIN + FULL))
    assert report.pools[0].band == band


def test_a_bound_of_the_coverage_ratio_reads_as_before() -> None:
    rows = (("1.5", "reminder"), ("1.2", "tight"))
    bands = "".join(f'[[bands]]\nbelow = {below}\nthen = "{then}"\nsource = "S1"\n' for below, then in rows)
    rulebook = parse_rulebook(f"{PLAIN}\n{bands}")
    assert rulebook.procedure.bands[0].when.text == "coverage_ratio < 1.5"
    held = account("55", BTC=("10", "100"))
    assert assess(held, market(), rulebook).pools[0].band == "tight"


# what is wrong, the change that makes it so, the line's beginning, words of the message
WRONG = (
    ("kind", ('do = "close"', 'do = "clsoe"'), 'do = "clsoe"', "did you mean `close`"),
    ("key of a step", ('rank = "relief"', 'ranks = "relief"'), "ranks =", "did you mean `rank`"),
    ("name", ('"min(part, wanted', '"min(prt, wanted'), "amount =", "unknown name `prt`; did you mean `part`?"),
    ("measure", ('rank = "relief"', 'rank = "releif"'), "rank =", "did you mean `relief`"),
    ("stage", ('then = "warned"', 'then = "warnd"'), "then =", "did you mean `warned`"),
    ("payer", ('pay = "fund"', 'pay = "funds"'), "pay =", "did you mean `fund`"),
    ("rule", ('rule = "pro_rata"', 'rule = "prorata"'), "rule =", "did you mean `pro_rata`"),
    ("word of of", ("long perpetual", "lng perpetual"), "of = [", "did you mean `long`"),
    ("two of a name", ('name = "reduce"', 'name = "cancel"'), 'name = "cancel"', "two steps are called 'cancel'"),
    ("chain", ('when = "equity > 0"', 'when = "equity"'), 'when = "equity"', "one comparison"),
    ("side of fees", ("window = 60", 'window = 60\nfees_in = "debt"'), "fees_in =", "goes with exchange"),
    ("whose window", ("window = 60", 'window = 60\nwindow_of = "venue"'), "window_of =", "venue"),
    ("pairs", ('do = "cancel"', 'do = "cancel"\npairs = true'), "pairs =", "goes with close"),
    ("circle", ('part = "share', 'part = "part * share'), "part =", "reads itself: part -> part"),
    ("unused", ("share = 0.25", "share = 0.25\nother = 2"), "other =", "nothing reads `other`"),
    ("measure redefined", ("share = 0.25", "share = 0.25\nrelief = 2"), "relief = 2", "is a measure"),
    ("both forms of a band", ('then = "called"', 'then = "called"\nbelow = 1.2'), "[[bands]]", "one of the two"),
    ("no source", ('[liquidation.parameters]\nsource = "S1"', "[liquidation.parameters]"), None, ""),
    ("fund's asset", ("BTC = 0.15", "BTC = 1.5"), "assets =", "lies in [0, 1]"),
    ("halted", ('what = ["risk"]', 'what = ["risks"]'), "[[halt]]", "did you mean `risk`"),
    ("halt of nothing", ('what = ["risk"]', "what = []"), "[[halt]]", "say what stops"),
    ("cure", ('cure = "initial"', 'cure = "inital"'), "cure =", "did you mean `initial`"),
    ("variant", ('rank = "relief"', 'rank = "relief.initail"'), "rank =", "`.initail` is no requirement"),
    ("input", ('wanted = "inf"', 'wanted = "lots"'), "wanted =", "finite number"),
    ("twice", ("share = 0.25", "share = 0.25\nfloor_at = 2"), "floor_at", "keep one"),
    ("section", ("[[waterfall]]", "[[waterfal]]"), "[[waterfal]]", "did you mean `waterfall`"),
)


@pytest.mark.parametrize(("swap", "place", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_means_nothing_is_refused_with_its_line(swap: tuple[str, str], place: str | None, words: str) -> None:
    text = PLAIN + changed(FULL, swap)
    if place is None:  # [liquidation] covers its tables
        parse_rulebook(text)
        return
    with pytest.raises(RulebookError) as told:
        parse_rulebook(text, "plain.toml")
    assert words in str(told.value)
    assert told.value.path is not None
    assert told.value.path.startswith("plain.toml:")
    if text.count(place) == 1:
        assert told.value.line == line_with(text, place)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("delta_start", "delta"),
        ("debt_price", "debt_price"),
        ("debt_quantity", "quantity"),
        ("collateral_bonus", "bonus"),
        ("quantity", "quantity"),
    ],
)
def test_prefixes_and_suffixes_are_read_off_a_name(name: str, base: str) -> None:
    assert base_name(name) == base
