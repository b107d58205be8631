"""The example families: every number on their pages, the same by hand, and generated portfolios of their scope."""

from __future__ import annotations

import re
from math import exp, log, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import BookReport, assess_book
from crossmargin.sources import list_rulebooks
from scripts.docs_tables import table
from scripts.family_books import (
    BETA_PAIR,
    BOX,
    BTC,
    BUTTERFLY,
    CARRY,
    CASH,
    CRASH,
    DATE,
    ETH,
    FAMILIES,
    HEDGED_COIN,
    HOUR,
    OUTRIGHT,
    PAIR,
    QUIET,
    TWICE,
    VOL,
    account,
    apart,
    loss,
    market,
    moved,
    report,
    rules_of,
    straddle,
    strangle,
    worst,
)
from scripts.family_tables import MARK, PAGES, TABLES, dollars, filled, pages
from tests.strategies.books import market as market_of_books
from tests.strategies.books import random_accounts, rules
from tests.twins.kinds import black, normal_cdf

OWN = tuple(name for name, (rulebook, _) in FAMILIES.items() if rulebook.startswith("family-"))
YEARS = 25 / 365
NUMBER = re.compile(r"(?<![\w.])\d{1,3}(?:,\d{3})+")


def initial(family: str, held: Account) -> float:
    return report(family, held).initial_margin


def greeks_by_hand(spot: float, strike: float, vol: float, years: float) -> tuple[float, float, float]:
    """Delta of a call, gamma and vega of either side, forward at the index."""
    deviation = vol * sqrt(years)
    d1 = log(spot / strike) / deviation + deviation / 2
    density = exp(-d1 * d1 / 2) / sqrt(2 * pi)
    return normal_cdf(d1), density / (spot * deviation), spot * density * sqrt(years)


def pair_value(spot: float, strike: float, vol: float, years: float) -> float:
    """A call and a put."""
    return sum(black(spot, strike, vol, years, call=call) for call in (True, False))


# --- the pages


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_the_tables_of_a_page_are_what_the_engine_computes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == filled(text), "run: python -m scripts.family_tables"


def test_every_family_has_a_page_and_every_table_a_place() -> None:
    assert {path.stem for path in pages()} == {*FAMILIES, "index"}
    shipped = {one.name for one in list_rulebooks() if one.name.startswith("family-")}
    assert shipped == {f"family-{name}" for name in OWN}
    texts = "".join(path.read_text(encoding="utf-8") for path in pages())
    assert sorted(found["name"] for found in MARK.finditer(texts)) == sorted(TABLES)


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_a_large_number_in_the_text_stands_in_a_table_or_describes_the_market(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    tables = " ".join(line for line in lines if line.startswith("|"))
    told = set(NUMBER.findall(" ".join(line for line in lines if not line.startswith("|"))))
    known = {dollars(amount) for amount in (BTC, ETH, CASH)} | set(NUMBER.findall(tables))
    assert told <= known


@pytest.mark.parametrize("name", OWN)
def test_a_page_names_every_parameter(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    document = rules_of(name).document
    grammar = {"is", "of", "level", "kind", "by", "haircut", "scenarios", "measure", "source", "unit", "cut"}
    parts = [document.get("parameters", {}), *document["charges"].values()]
    named = {key for part in parts if isinstance(part, dict) for key in part if key not in grammar}
    assert [key for key in sorted(named) if f"`{key}`" not in text] == []


def test_tables_are_written_as_pages_have_them() -> None:
    made = filled("<!-- begin delta -->\nold\n<!-- end delta -->")
    assert made.startswith("<!-- begin delta -->\n\n| what is held |")
    assert table(("a",), [("b",)]) == "| a |\n| --- |\n| b |\n"


# --- each failure, by hand


def test_isolated_a_hedge_is_liquidated_although_nothing_is_lost() -> None:
    held = Account(id="a", positions=(apart("BTC-PERP", 10, 150_000), apart("BTC-25D", -10, 150_000)))
    found = report("isolated", held, moved(0.2))
    short = next(pool for pool in found.pools if pool.pool == "BTC-25D")
    assert found.equity == pytest.approx(300_000)
    assert short.equity == pytest.approx(150_000 - 10 * 12_000)
    assert short.maintenance_margin == pytest.approx(0.75 * 0.15 * 10 * 72_000)
    assert short.state == "liquidatable"


def test_linear_charges_what_cannot_lose() -> None:
    assert initial("linear", CARRY) == pytest.approx(2 * 0.15 * 600_000)
    assert initial("linear", BOX) == pytest.approx(4 * 0.15 * 600_000)
    assert worst(CARRY, 0.15) == pytest.approx(0, abs=1e-6)
    assert worst(BOX, 0.15) == pytest.approx(0, abs=1e-6)
    naked = straddle(hedged=False)
    lost = [10 * (pair_value(BTC, BTC, 1.5 * vol, YEARS) - pair_value(BTC, BTC, vol, YEARS)) for vol in (VOL, 2 * VOL)]
    assert loss(naked, moved(vol=0.5)) == pytest.approx(lost[0])
    assert loss(naked, market(vol=1.5), market(vol=1.0)) == pytest.approx(lost[1])
    assert lost[1] == pytest.approx(2 * lost[0], rel=0.02)


def test_delta_does_not_see_a_short_straddle() -> None:
    call_delta, _, _ = greeks_by_hand(BTC, BTC, VOL, YEARS)
    net = 0.5216 - 10 * (2 * call_delta - 1)
    assert initial("delta", straddle()) == pytest.approx(0.15 * abs(net) * BTC, rel=1e-6)
    assert initial("delta", straddle()) < 1
    before = pair_value(BTC, BTC, VOL, YEARS)
    for move, vol, least in ((-0.15, VOL, 39_000), (0.15, VOL, 34_000), (0, 0.75, 31_000), (0.15, 0.75, 57_000)):
        lost = 10 * (pair_value(BTC * (1 + move), BTC, vol, YEARS) - before) - 0.5216 * BTC * move
        assert loss(straddle(), moved(move, vol=vol / VOL - 1)) == pytest.approx(lost)
        assert lost > least


def test_greeks_miss_far_moves_and_pins() -> None:
    _, gamma, vega = greeks_by_hand(BTC, BTC, VOL, YEARS)
    wanted = 0.5 * 20 * gamma * 9_000**2 + 0.25 * 20 * vega + initial("delta", straddle())
    assert initial("greeks", straddle()) == pytest.approx(wanted, rel=1e-9)
    assert wanted > worst(straddle(), 0.15, vol=0.5)
    assert worst(straddle(), 0.4) > 2 * wanted
    far = strangle(100, 3, 48_000, 75_000)
    assert initial("greeks", far) < 10
    premium = black(BTC, 48_000, VOL, 3 / 365, call=False) + black(BTC, 75_000, VOL, 3 / 365, call=True)
    after = 100 * (48_000 - 36_000 - premium)
    assert loss(far, moved(CRASH)) == pytest.approx(after, rel=1e-6)


def test_greeks_at_the_pin_are_all_or_nothing() -> None:
    held, years = straddle(1, HOUR, hedged=False), HOUR / 365
    asked = []
    for spot in (60_000, 60_600, 61_200):
        call_delta, gamma, vega = greeks_by_hand(spot, BTC, VOL, years)
        wanted = 0.15 * abs(2 * call_delta - 1) * spot + 0.5 * 2 * gamma * (0.15 * spot) ** 2 + 0.25 * 2 * vega
        asked.append(report("greeks", held, market(spot)).initial_margin)
        assert asked[-1] == pytest.approx(wanted, rel=1e-6)
    lost = black(69_000, BTC, VOL, years, call=True) - pair_value(BTC, BTC, VOL, years)
    assert loss(held, moved(0.15)) == pytest.approx(lost)
    assert asked[0] > 11 * lost
    assert asked[2] < 0.1 * asked[0]


def test_rules_use_a_coin_twice_and_jump_by_a_day() -> None:
    mark = black(BTC, BTC, VOL, YEARS, call=True)
    beyond = 0.02 * 600_000
    assert initial("rules", TWICE) == pytest.approx(10 * mark + beyond)
    lost = 10 * (black(69_000, BTC, VOL, YEARS, call=True) - mark)
    assert loss(TWICE, moved(0.15)) == pytest.approx(lost)
    assert lost > 5 * beyond
    later = black(BTC, BTC, VOL, 26 / 365, call=False)
    one, other = straddle(hedged=False), straddle(put_days=26, hedged=False)
    assert initial("rules", one) == pytest.approx(10 * 2 * mark + 0.15 * 600_000)
    assert initial("rules", other) == pytest.approx(10 * (mark + later) + 2 * 0.15 * 600_000)
    assert loss(one, moved(0.15)) == pytest.approx(loss(other, moved(0.15)), rel=0.01)


def test_parametric_misses_curves_tails_and_betas() -> None:
    assert initial("parametric", straddle()) < 1
    assert worst(straddle(), 0.15) > 39_000
    deviation = sqrt(2) * sqrt(0.03**2 + 0.01**2)
    assert initial("parametric", OUTRIGHT) == pytest.approx(2.326 * deviation * 600_000)
    assert 3 * deviation < 0.15
    market_part = 0.03 * (720_000 - 1.2 * 600_000)
    own_part = (0.01 * 720_000) ** 2 + (0.02 * 600_000) ** 2
    wanted = 2.326 * sqrt(2) * sqrt(market_part**2 + own_part)
    assert initial("parametric", BETA_PAIR) == pytest.approx(wanted)
    assert loss(BETA_PAIR, moved(-0.15, -0.18)) == pytest.approx(0, abs=1e-6)
    assert loss(BETA_PAIR, moved(-0.15)) == pytest.approx(108_000)
    assert wanted < 108_000 / 2


def test_historical_knows_what_its_window_knows() -> None:
    for window in (QUIET, (*QUIET[1:], CRASH)):
        found = report("historical", OUTRIGHT, market(window=window))
        losses = sorted((-600_000 * move for move in window), reverse=True)
        assert found.initial_margin == pytest.approx((losses[0] + losses[1] + 0.5 * losses[2]) / 2.5)
        assert found.maintenance_margin == pytest.approx(losses[2])
    assert loss(OUTRIGHT, moved(CRASH)) == pytest.approx(240_000)
    assert max(abs(move) for move in QUIET) <= 0.03
    assert worst(straddle(), 0.15) > 20 * initial("historical", straddle())
    highest = sorted(QUIET, reverse=True)  # the pair loses what ETH rises more than BTC
    assert initial("historical", PAIR) == pytest.approx(0.2 * 600_000 * (sum(highest[:2]) + highest[2] / 2) / 2.5)


def test_historical_without_a_window_is_refused() -> None:
    with pytest.raises(InputError) as refusal:
        report("historical", OUTRIGHT, replace(market(), calibration={}))
    assert refusal.value.reason == FailureReason.MISSING_CALIBRATION


@pytest.mark.parametrize("moves", [["a"], [{}], [[0.1]], [], 0.1, [float("nan")], [-1.0], None, [10**400]])
def test_historical_refuses_a_window_that_is_none(moves: object) -> None:
    with pytest.raises(InputError, match="of BTC is not a list of moves") as refusal:
        report("historical", OUTRIGHT, replace(market(), calibration={"window": {"BTC": moves}}))
    assert refusal.value.reason == FailureReason.MISSING_CALIBRATION


def test_historical_requires_nothing_of_an_empty_account() -> None:
    assert report("historical", Account(id="nothing")).initial_margin == 0


def test_scenarios_miss_what_lies_beyond_between_and_across() -> None:
    assert initial("scenario", OUTRIGHT) == pytest.approx(0.15 * 600_000 + 0.005 * 600_000)
    separate, joint = 0.15 * 600_000 + 0.18 * 600_000, 0.03 * 600_000
    assert initial("scenario", PAIR) == pytest.approx(0.5 * joint + 0.5 * separate + 0.005 * 1_200_000)
    assert loss(PAIR, moved(-0.15, 0.15)) == pytest.approx(180_000)
    counts = {60_000: -10, 61_125: 20, 62_250: -10}

    def worth(spot: float) -> float:
        return sum(count * black(spot, strike, VOL, HOUR / 365, call=True) for strike, count in counts.items())

    lost = worth(BTC) - worth(61_125)
    assert loss(BUTTERFLY, market(61_125)) == pytest.approx(lost)
    lines = report("scenario", BUTTERFLY).lines
    assert lines["market"].initial < lost / 5
    assert lines["short_options"].initial == pytest.approx(0.01 * 20 * BTC)


def test_layered_hides_risk_below_its_floor() -> None:
    bare, more = (strangle(100, 3, 48_000, 75_000, count) for count in (0, -5))
    floor = 0.02 * 200 * BTC
    for held in (bare, more):
        found = report("layered", held).lines
        assert found["base"].initial == pytest.approx(floor)
        assert found["scan"].initial < floor
    rise = loss(more, moved(0.15, vol=0.5)) - loss(bare, moved(0.15, vol=0.5))
    assert rise == pytest.approx(5 * 9_000)
    assert initial("layered", more) - initial("layered", bare) == pytest.approx(0.005 * 5 * BTC, rel=0.01)
    assert initial("layered", PAIR) == pytest.approx(0.155 * 1_200_000)


def test_credit_leaves_the_venue_with_claims() -> None:
    client = account({"BTC-PERP": 100}, {}, "prime")
    assert initial("credit", client) == 0
    assert initial("credit", replace(client, class_="institution")) == pytest.approx(900_000 - 250_000)
    assert initial("credit", replace(client, class_=None)) == pytest.approx(900_000)
    assert report("credit", client, moved(-0.15)).equity == pytest.approx(-900_000)
    token = account({"BTC-PERP": 100}, {"TOKEN": 100_000, "USD": -400_000}, "prime")
    assert report("credit", token).available_margin == pytest.approx(0.5 * 1_000_000 - 400_000)
    after = report("credit", token, moved(-0.15, token=-0.8))
    assert after.equity == pytest.approx(200_000 - 400_000 - 900_000)
    assert after.state == "bankrupt"


def test_the_comparison_by_hand() -> None:
    short = -0.5216 * BTC * 0.15
    wanted = 0.15 * (2 * 600_000 + 0.5216 * BTC)
    assert [initial(name, straddle()) for name in ("isolated", "linear", "credit")] == pytest.approx([wanted] * 3)
    assert worst(straddle(), 0.15, 0.5) == pytest.approx(
        10 * (pair_value(1.15 * BTC, BTC, 0.75, YEARS) - pair_value(BTC, BTC, VOL, YEARS)) + short
    )
    assert [initial(name, HEDGED_COIN) for name in FAMILIES] == pytest.approx(
        [90_000, 90_000, 0, 0, 12_000, 0, 0, 3_000, 3_000, 90_000]
    )
    assert [worst(PAIR, 0.15, 0.5, eth=eth) for eth in (1, -1)] == pytest.approx([0, 180_000], abs=1e-6)


# --- generated portfolios


def generated(name: str, held: tuple[Account, ...]) -> BookReport:
    book = assess_book(Book.from_accounts(held), market_of_books(), rules(f"family-{name}@{DATE}"))
    assert not book.failures
    return book


def of_accounts(book: BookReport, requirement: str = "initial") -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return book.account_sum(np.asarray(book.evaluation.requirement(requirement)))


@pytest.mark.parametrize("name", OWN)
def test_generated_portfolios_of_the_scope_are_assessed(name: str) -> None:
    held = random_accounts(f"family-{name}@{DATE}", 71, 200)
    book = generated(name, held)
    asked, kept = of_accounts(book), of_accounts(book, "maintenance")
    assert np.isfinite(asked).all()
    assert (kept >= 0).all()
    assert (asked >= kept).all()
    assert (asked > 0).mean() > 0.7


def test_families_stand_in_the_order_that_their_rules_imply() -> None:
    held = random_accounts(f"family-delta@{DATE}", 72, 200)
    asked = {name: of_accounts(generated(name, held)) for name in OWN}
    near = 1e-9 * (1 + asked["linear"])
    assert (np.abs(asked["isolated"] - asked["credit"]) <= near).all()  # no class, no line
    assert (asked["linear"] >= asked["isolated"] - near).all()
    assert (asked["greeks"] >= asked["delta"] - near).all()
    prime = tuple(replace(one, class_="prime") for one in held)
    line = np.minimum(asked["credit"], 1_000_000)
    assert of_accounts(generated("credit", prime)) == pytest.approx(asked["credit"] - line, rel=1e-9, abs=1e-6)
