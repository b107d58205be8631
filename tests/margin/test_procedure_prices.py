"""Price guards and breakers as documents: what they say, and what is refused with its line."""

from __future__ import annotations

import pytest

from crossmargin.errors import RulebookError
from crossmargin.margin import parse_rulebook
from crossmargin.margin.procedure_prices import PriceRule, StableRule
from tests.margin.rulebook_texts import PLAIN, changed, line_with

FULL = """
[prices]
source = "S1"
feeds = ["pyth", "switchboard", "chainlink"]
minimum = 2
combine = "median"
stale_after = 60
wait = 300
confidence_interval = 0.02
confidence = 0.5
band = 0.01
[prices.stable]
growth = 0.0003
delay = 3600
delays = 24
delay_growth = 0.06
shortest = 10
longest = 600
[prices.kind.option]
minimum = 1
wait = 0
halts = false
[prices.asset.BTC]
feeds = { binance = 3, okx = 2, bybit = 2 }
minimum = 3
[prices.instrument."BTC-PERP"]
mark = "twap"
twap_window = 300
[liquidation]
source = "S1"
wild = 0.2
[[halt]]
when = "price_move > wild"
until = "price_move <= wild / 2"
what = ["risk", "liquidation"]
window = 300
wait = 60
source = "S1"
"""


def test_a_document_says_how_prices_are_guarded() -> None:
    procedure = parse_rulebook(PLAIN + FULL).procedure
    prices = procedure.prices
    assert prices is not None
    stable = StableRule(0.0003, 3600.0, 24, 0.06, 10.0, 600.0)
    named = dict.fromkeys(("pyth", "switchboard", "chainlink"), 1.0)
    assert prices.default == PriceRule(named, 2, 60.0, 300.0, 0.02, 0.5, 0.01, stable=stable)
    assert (prices.rule("X", "option").minimum, prices.rule("X", "option").stale_after) == (1, 60.0)
    assert not prices.rule("X", "option").halts
    btc = prices.rule("BTC", "asset")
    assert (btc.feeds, btc.outvotes, btc.band) == ({"binance": 3.0, "okx": 2.0, "bybit": 2.0}, True, 0.01)
    assert prices.rule("BTC", "perpetual") == prices.default  # an instrument of that name is no asset
    assert prices.rule("BTC-PERP", "perpetual").twap_window == 300
    assert (procedure.halts[0].window, procedure.halts[0].wait) == (300.0, 60.0)


def test_a_rulebook_that_says_nothing_has_no_guards() -> None:
    assert parse_rulebook(PLAIN).procedure.prices is None


# what is wrong, the change that makes it so, the line's beginning (None: the error names no line), words of the message
WRONG = (
    ("key", ("stale_after = 60", "stale_aftr = 60"), "stale_aftr = 60", "did you mean `stale_after`"),
    ("key of an override", ("halts = false", "halt = false"), "halt = false", "did you mean `halts`"),
    ("kind", ("[prices.kind.option]", "[prices.kind.options]"), "[prices.kind.options]", "no kind of price"),
    ("combine", ('combine = "median"', 'combine = "mean"'), "combine =", "unknown word 'mean'"),
    ("mark", ('mark = "twap"', 'mark = "vwap"'), 'mark = "vwap"', "did you mean `twap`"),
    ("mean without a window", ("twap_window = 300\n", ""), 'mark = "twap"', "needs `twap_window`"),
    ("unused half-life", ("band = 0.01", "band = 0.01\nhalf_life = 3"), "half_life = 3", "unused"),
    ("too many asked", ("minimum = 2", "minimum = 4"), "minimum = 4", "3 feeds count, so 4 are never live"),
    ("half a feed", ("minimum = 2", "minimum = 1.5"), "minimum = 1.5", "whole number"),
    ("no feed", ("minimum = 2", "minimum = 0"), "minimum = 0", "at least 1"),
    ("twice", ('"switchboard"', '"pyth"'), "feeds = [", "stands twice"),
    ("nobody", ('["pyth", "switchboard", "chainlink"]', "[]"), "feeds = []", "no feed counts"),
    ("one decides", ("binance = 3", "binance = 4"), "feeds = {", "it alone would decide"),
    ("weight", ("okx = 2", "okx = 0"), "feeds = {", "above 0"),
    ("age", ("stale_after = 60", "stale_after = 0"), "stale_after = 0", "above 0"),
    ("wait", ("wait = 300", "wait = -1"), "wait = -1", "at or above 0"),
    ("interval", ("interval = 0.02", "interval = 2"), "confidence_interval = 2", "at most 1"),
    ("band", ("band = 0.01", "band = -0.01"), "band = -0.01", "above 0"),
    ("not a number", ("band = 0.01", "band = nan"), "band = nan", "finite number"),
    ("stable's key", ("growth = 0.0003", "growth_limit = 0.0003"), "growth_limit =", "unknown key"),
    ("stable's need", ("delay = 3600\n", ""), "[prices.stable]", "finite number is needed"),
    ("stable's order", ("shortest = 10", "shortest = 601"), "shortest = 601", "lies above"),
    ("stable's length", ("delays = 24", "delays = 1000"), "delays = 1000", "at most 100"),
    ("no source", ('[prices]\nsource = "S1"', "[prices]"), "minimum = 2", "no source covers"),
    ("halt's name", ('"price_move > wild"', '"equity > wild"'), "when =", "unknown name `equity`"),
    ("halt's spelling", ('"price_move > wild"', '"price_mve > wild"'), "when =", "did you mean `price_move`"),
    ("no window", ("window = 300\nwait", "wait"), "[[halt]]", "looks back over a `window`"),
    ("unused window", ('"price_move > wild"\nuntil = "price_move <= wild / 2"', '"fund < wild"'), None, "unused"),
    ("endless window", ("window = 300\nwait", "window = 0\nwait"), "window = 0", "above 0"),
    ("waits for nothing", ('what = ["risk", "liquidation"]', 'what = ["risk"]'), None, "only risk"),
    ("no mean", ('"price_move > wild"', '"twap_gap > wild"'), "[[halt]]", None),
    ("redefined", ("wild = 0.2", "wild = 0.2\nlive_feeds = 3"), "live_feeds = 3", "is a measure"),
)


@pytest.mark.parametrize(("swap", "place", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_means_nothing_is_refused_with_its_line(
    swap: tuple[str, str], place: str | None, words: str | None
) -> None:
    text = PLAIN + changed(FULL, swap)
    if words is None:  # there is one, for one instrument
        parse_rulebook(text)
        text, words = text.replace('mark = "twap"\ntwap_window = 300', "band = 0.1"), "needs `twap_window`"
    with pytest.raises(RulebookError) as told:
        parse_rulebook(text, "plain.toml")
    assert words in str(told.value)
    if place is not None and text.count(place) == 1:
        assert told.value.line == line_with(text, place)


def test_what_waits_for_nothing_is_refused() -> None:
    with pytest.raises(RulebookError, match="nothing is ever waited for"):
        parse_rulebook(f'{PLAIN}\n[prices]\nsource = "S1"\nwait = 60\n')


def test_two_halts_say_different_things() -> None:
    halt = '[[halt]]\nwhen = "live_feeds < 3"\nwhat = ["risk"]\nsource = "S1"\n'
    with pytest.raises(RulebookError, match="stands twice"):
        parse_rulebook(PLAIN + halt + halt)


def test_unverified_numbers_are_named() -> None:
    text = f'{PLAIN}\n[prices]\nunverified = ["minimum"]\nminimum = 3\n'
    assert parse_rulebook(text).procedure.prices is not None
