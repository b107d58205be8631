"""Which quotes stand: laws of the guards on made-up feeds; means and slow prices against the obvious or published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.clearing import means
from crossmargin.clearing.commands import Quote
from crossmargin.clearing.guards import MOST_FEEDS, Accepted, Guarded, accept, enough, live
from crossmargin.clearing.heard import FINE, Heard, Said, Stable
from crossmargin.margin.procedure_prices import PriceRule, StableRule

START = datetime(2026, 1, 1, tzinfo=UTC)
THREE = PriceRule(minimum=3, stale_after=60.0)
PRICES = st.integers(1, 10**9)
FEEDS = st.dictionaries(st.sampled_from("abcdefgh"), PRICES, min_size=3)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def hear(
    rule: PriceRule, feeds: Mapping[str, int | Quote], heard: Heard | None = None, seconds: float = 0, window: float = 0
) -> Accepted:
    """What becomes of one price; feeds say a price or a whole quote."""
    quotes = {f: {"BTC": quote if isinstance(quote, Quote) else Quote(price=quote)} for f, quote in feeds.items()}
    memory = {} if heard is None else {"BTC": heard}
    windows = tuple(one for one in (rule.twap_window, window) if one)
    return accept(lambda _: Guarded(rule, 2, windows), memory, quotes, at(seconds))


def standing(found: Accepted) -> int | None:
    return found.quotes["BTC"].price if "BTC" in found.quotes else None


# --- the middle of the feeds


@given(FEEDS, PRICES)
def test_one_bad_feed_of_three_or_more_moves_the_price_no_further_than_to_the_next_honest_one(
    feeds: dict[str, int], bad: int
) -> None:
    liar = min(feeds)
    honest = sorted(price for feed, price in feeds.items() if feed != liar)
    middle = (len(feeds) - 1) // 2
    price = standing(hear(THREE, {**feeds, liar: bad}))
    assert price is not None
    assert honest[middle - 1] <= price <= honest[middle]


@given(FEEDS, st.integers(0, 10**9), st.integers(0, 600), st.sampled_from([None, 0.001, 0.1]))
def test_a_feed_that_says_more_never_lowers_the_price(
    feeds: dict[str, int], more: int, seconds: int, band: float | None
) -> None:
    rule = replace(THREE, band=band)
    before = hear(rule, dict.fromkeys(feeds, 10**6)).memory["BTC"]
    one = min(feeds)
    low = standing(hear(rule, feeds, before, seconds))
    high = standing(hear(rule, {**feeds, one: feeds[one] + more}, before, seconds))
    assert low is not None
    assert high is not None
    assert low <= high


@given(FEEDS, st.randoms(use_true_random=False))
def test_the_order_and_the_names_of_feeds_do_not_matter(feeds: dict[str, int], chance: Random) -> None:
    shuffled = list(feeds.items())
    chance.shuffle(shuffled)
    assert hear(THREE, dict(shuffled)) == hear(THREE, feeds)
    renamed = {name: price for name, (_, price) in zip("stuvwxyz", shuffled, strict=False)}
    assert standing(hear(THREE, renamed)) == standing(hear(THREE, feeds))


@given(FEEDS, st.randoms(use_true_random=False))
def test_feeds_may_come_one_by_one(feeds: dict[str, int], chance: Random) -> None:
    together = hear(THREE, feeds)
    shuffled = list(feeds.items())
    chance.shuffle(shuffled)
    heard, found = None, None
    for feed, price in shuffled:
        found = hear(THREE, {feed: price}, heard)
        heard = found.memory["BTC"]
    assert found is not None
    assert standing(found) == standing(together)


MARKS = (
    PriceRule(minimum=3, stale_after=60.0),
    PriceRule(minimum=3, band=0.001),
    PriceRule(minimum=3, mark="twap", twap_window=60.0),
    PriceRule(minimum=3, mark="ewma", half_life=10.0, band=0.01),
)
SAID = st.lists(
    st.tuples(st.integers(0, 90), st.sampled_from("abcde"), st.integers(10**5, 2 * 10**5), st.integers(1, 10**9)),
    min_size=1,
    max_size=25,
)


@given(SAID, st.sampled_from(MARKS))
def test_a_liar_never_takes_the_price_out_of_what_honest_feeds_have_said(
    said: list[tuple[int, str, int, int]], rule: PriceRule
) -> None:
    """Whatever it says, whenever; the rest speak in any order, or not at all."""
    heard, seconds, honest = None, 0, []
    for pause, feed, price, lie in said:
        seconds += pause
        honest += [] if feed == "e" else [price]
        found = hear(rule, {feed: lie if feed == "e" else price}, heard, seconds)
        heard, stands = found.memory["BTC"], standing(found)
        if stands is not None:
            assert min(honest) <= stands <= max(honest)


def test_weights_make_a_weighted_median() -> None:
    rule = PriceRule(feeds={"binance": 3, "okx": 2, "bybit": 2, "kraken": 1}, minimum=3)
    assert standing(hear(rule, {"binance": 100, "okx": 101, "bybit": 102, "kraken": 103})) == 101
    assert standing(hear(rule, {"okx": 100, "bybit": 200, "kraken": 300})) == 200
    assert standing(hear(rule, {"binance": 200, "okx": 101, "bybit": 102})) == 102
    heavy = replace(rule, feeds={"binance": 3, "okx": 2, "kraken": 1})
    assert not enough(heavy, heavy.feeds)  # one feed weighs as much as all others: it alone would decide
    assert hear(heavy, {"binance": 100, "okx": 101, "kraken": 103}).quotes == {}


# --- feeds that do not count


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100)), st.integers(0, 200), st.integers(0, 200))
def test_who_is_stale_stays_so_until_he_speaks(ages: dict[str, int], one: int, other: int) -> None:
    heard = Heard(feeds={feed: Said(1, at(-age), {}) for feed, age in ages.items()})
    sooner, later = sorted((one, other))
    assert live(THREE, heard, at(later)).keys() <= live(THREE, heard, at(sooner)).keys()


def test_with_fewer_than_the_minimum_nothing_moves() -> None:
    first = hear(THREE, {"a": 100, "b": 101, "c": 102})
    heard = first.memory["BTC"]
    assert standing(hear(THREE, {"a": 200}, heard, 30)) == 102  # the others still count
    found = hear(THREE, {"a": 200, "b": 200}, heard, 61)
    assert standing(found) is None
    assert (found.memory["BTC"].price, list(found.memory["BTC"].feeds)) == (101, ["a", "b"])


@pytest.mark.parametrize(
    ("rule", "quote", "why"),
    [
        (PriceRule(feeds={"b": 1}), Quote(price=100), "no feed of the document"),
        (PriceRule(stale_after=5), Quote(price=100, observed_at=at(4)), "stale"),
        (PriceRule(confidence_interval=0.02), Quote(price=100, interval=3), "interval too wide"),
        (PriceRule(confidence=0.5), Quote(price=100, figures={"confidence": "0.4"}), "confidence too low"),
        (PriceRule(), Quote(price=100, observed_at=at(-1)), "older than its last"),
    ],
)
def test_what_does_not_count_says_why(rule: PriceRule, quote: Quote, why: str) -> None:
    heard = Heard(feeds={"a": Said(90, at(0), {})})
    found = hear(rule, {"a": quote}, heard, 10)
    assert found.verdicts == {"BTC": {"a": why}}
    assert standing(found) == (90 if why.startswith("older") else None)


def test_what_just_counts() -> None:
    assert standing(hear(PriceRule(stale_after=5), {"a": Quote(price=100, observed_at=at(5))}, None, 10)) == 100
    assert standing(hear(PriceRule(confidence_interval=0.02), {"a": Quote(price=100, interval=2)})) == 100


def test_a_feed_that_is_not_sure_counts_no_longer() -> None:
    rule = replace(THREE, confidence_interval=0.01)
    heard = hear(rule, {"a": 100, "b": 101, "c": 102, "d": 103}).memory["BTC"]
    found = hear(rule, {"a": Quote(price=500, interval=100)}, heard, 1)
    assert found.quotes["BTC"].quality == "median of 3; a interval too wide"
    assert standing(found) == 102


def test_a_quote_from_the_future_is_as_old_as_its_arrival() -> None:
    heard = hear(PriceRule(stale_after=60), {"a": Quote(price=100, observed_at=at(9999))}).memory["BTC"]
    assert live(PriceRule(stale_after=60), heard, at(60)).keys() == {"a"}
    assert live(PriceRule(stale_after=60), heard, at(61)) == {}


def test_more_feeds_than_anybody_needs_are_not_remembered() -> None:
    many = {f"{number:04}": number + 1 for number in range(MOST_FEEDS + 1)}
    found = hear(PriceRule(), many)
    assert len(found.memory["BTC"].feeds) == MOST_FEEDS
    assert found.verdicts == {"BTC": {f"{MOST_FEEDS:04}": f"beyond {MOST_FEEDS} feeds"}}


def test_other_figures_are_the_middle_ones_of_enough_feeds() -> None:
    figures = ({"mark_iv": "0.5"}, {"mark_iv": "9", "rate": "1"}, {"mark_iv": "0.60"})
    quotes = {feed: Quote(price=100, figures=one) for feed, one in zip("abc", figures, strict=True)}
    assert hear(THREE, quotes).quotes["BTC"].figures == {"mark_iv": "0.60"}


# --- the band


@given(PRICES, PRICES, st.integers(0, 10**4), st.floats(1e-5, 1))
def test_the_price_leaves_the_band_by_less_than_a_unit(last: int, price: int, seconds: int, band: float) -> None:
    cut = means.within_band(last, seconds, price, band)
    assert min(last, price) <= cut <= max(last, price)
    factor = 1 + band * seconds
    assert last / factor - 1 < cut < last * factor + 1
    if last / factor <= price <= last * factor:
        assert cut == price


@pytest.mark.parametrize("target", [50_000, 90_000])
def test_a_cut_price_follows_as_fast_as_the_band_lets_it(target: int) -> None:
    rule = replace(THREE, band=0.01)
    heard, seconds = hear(rule, dict.fromkeys("abc", 70_000)).memory["BTC"], 0
    while heard.price != target:
        seconds += 1
        found = hear(rule, dict.fromkeys("abc", target), heard, seconds)
        cut = found.quotes["BTC"].quality == "median of 3, cut"
        heard = found.memory["BTC"]
        assert cut == (heard.price != target)
    assert 25 <= seconds <= 35  # log(9/7) / 0.01 and log(7/5) / 0.01


def test_a_price_of_nothing_may_go_anywhere() -> None:
    assert means.within_band(0, 1.0, 77, 0.01) == 77


# --- means


def steps(rule: PriceRule, path: list[tuple[float, int]]) -> Accepted:
    heard, found = None, None
    for seconds, price in path:
        found = hear(rule, {"a": price}, heard, seconds)
        heard = found.memory["BTC"]
    assert found is not None
    return found


PATHS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 10**6)), min_size=1, max_size=8)


def path_of(moves: list[tuple[int, int]]) -> list[tuple[float, int]]:
    seconds, path = 0, []
    for pause, price in moves:
        seconds += pause
        path.append((float(seconds), price))
    return path


@given(PATHS)
def test_a_mean_over_all_that_was_seen_is_exact(moves: list[tuple[int, int]]) -> None:
    path = path_of(moves)
    found = steps(PriceRule(twap_window=3600.0), path)
    spans = [(later - sooner, price) for (sooner, price), (later, _) in pairwise(path)]
    seconds = sum(span for span, _ in spans)
    slow = Fraction(path[-1][1]) if not seconds else sum(Fraction(s) * p for s, p in spans) / Fraction(seconds)
    shown = Fraction(found.quotes["BTC"].figures["twap"]) * 100  # two digits
    assert 0 <= slow - shown < Fraction(13, FINE) * max(p for _, p in path)  # parts are cut to a share of the window


@given(PATHS, st.sampled_from(["twap", "ewma"]))
def test_a_mean_lies_within_what_was_seen(moves: list[tuple[int, int]], mark: Literal["twap", "ewma"]) -> None:
    path = path_of(moves)
    rule = PriceRule(mark=mark, half_life=20.0 if mark == "ewma" else None, twap_window=60.0)
    price = standing(steps(rule, path))
    assert price is not None
    seen = [one for seconds, one in path if seconds >= path[-1][0] - 200 or mark == "ewma"]
    assert min(seen) <= price <= max(seen)


def test_a_mean_forgets_what_lies_before_its_window() -> None:
    rule = PriceRule(mark="twap", twap_window=60.0)
    assert standing(steps(rule, [(0, 1000), (120, 2000), (150, 2000)])) == 1500
    assert standing(steps(rule, [(0, 1000), (120, 2000), (180, 9)])) == 2000


def test_an_exponential_mean_is_half_way_after_its_half_life() -> None:
    rule = PriceRule(mark="ewma", half_life=60.0)
    assert standing(steps(rule, [(0, 1000), (10, 2000), (70, 1)])) == 1500
    often = [(0, 1000), (10, 2000), *((10 + step, 2000) for step in range(60)), (70, 1)]
    assert standing(steps(rule, [(float(s), p) for s, p in often])) == 1500


def test_a_price_of_a_moment_weighs_nothing_in_a_mean() -> None:
    for rule in (PriceRule(mark="twap", twap_window=60.0), PriceRule(mark="ewma", half_life=60.0)):
        assert standing(steps(rule, [(0, 1000), (60, 10**6), (60, 1000), (90, 1000)])) == 1000


def test_how_far_a_price_went_in_a_window() -> None:
    heard = None
    moves = []
    for seconds, price in ((0, 100), (30, 80), (60, 100), (119, 100), (160, 100), (185, 100)):
        heard = hear(PriceRule(), {"a": price}, heard, seconds, window=120.0).memory["BTC"]
        moves.append(means.furthest(heard.windows["120.0"], price))
    assert moves == pytest.approx([0, 0.25, 0.25, 0.25, 0.25, 0])


# --- the slow price: figures that Mango's own tests state, within what they allow

MANGO = StableRule(growth=0.0003, delay=3600.0, delays=24, delay_growth=0.06, shortest=10.0, longest=600.0)
ONE = 10**4


def follow(stable: Stable, begin: int, every: int, times: int) -> Stable:
    for step in range(times):
        moment = datetime.fromtimestamp(begin + every * (step + 1), UTC)
        stable = means.followed(MANGO, stable, 10 * ONE, moment)
    return stable


def test_a_slow_price_follows_a_tenfold_one_as_published() -> None:
    stable = means.begun(MANGO, ONE, datetime.fromtimestamp(0, UTC))
    seen = []
    for begin, every, times in ((0, 60, 60), (3600, 10, 360), (7200, 300, 276)):
        stable = follow(stable, begin, every, times)
        seen.append(stable.price / ONE / FINE)
    assert seen == pytest.approx([1.8, 2.3, 7.4], abs=0.1)
    newest = stable.delayed[-1] / ONE / FINE
    assert newest > stable.delayed[0] / ONE / FINE > 1.06


@given(PATHS)
def test_a_slow_price_never_runs_ahead_of_its_growth(moves: list[tuple[int, int]]) -> None:
    stable = means.begun(MANGO, 10**5, START)
    for seconds, price in path_of(moves):
        after = means.followed(MANGO, stable, price, at(seconds))
        room = stable.price * MANGO.growth * (at(seconds) - stable.at).total_seconds()
        assert abs(after.price - stable.price) <= room + 1
        assert after == stable or after.at == at(seconds)
        stable = after


def test_memory_comes_back_from_its_bytes() -> None:
    rule = PriceRule(minimum=2, stale_after=60.0, mark="ewma", half_life=9.0, twap_window=60.0, stable=MANGO)
    heard = None
    for second in range(0, 200, 7):
        heard = hear(rule, {"a": 10**6 + second, "b": 10**6 - second, "c": 3}, heard, second).memory["BTC"]
    assert msgspec.json.decode(msgspec.json.encode(heard), type=Heard) == heard
