"""The `scan` kind against a slow twin: close-outs, folds, caps, deductibles, weights, and every measure of a row."""

from __future__ import annotations

from decimal import Decimal
from math import exp
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.account import Account
from crossmargin.errors import InputError
from crossmargin.margin import assess
from crossmargin.margin.kinds.measures_of_row import loss_of_rows, scenario_shares
from crossmargin.units import years_between
from tests.margin.rules import made
from tests.strategies.books import (
    AS_OF,
    ASSETS,
    LATEST,
    market,
    perpetual,
    position,
    random_accounts,
    snapshot_of,
)
from tests.twins.kinds import Scenario, expected_shortfall, fold, gain, option_value, value_at_risk, worst

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.market import Listing

REFERENCE = next(spec for spec in LATEST if spec.startswith("reference@"))

# --- measures of a row

rows = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=1, max_size=40)
confidences = st.one_of(st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.99, 0.999, 0.75, 2 / 3]), st.floats(0.01, 0.9999))


@given(rows, confidences)
def test_measures_are_their_definitions(row: list[float], confidence: float) -> None:
    pnl = np.asarray([row])
    scale = 1e-9 * (1 + max(abs(x) for x in row))
    found = {m: float(loss_of_rows(pnl, m, confidence)[0][0]) for m in ("worst", "value_at_risk", "expected_shortfall")}
    assert found["worst"] == worst(row)
    assert found["value_at_risk"] == value_at_risk(row, confidence)
    assert found["expected_shortfall"] == pytest.approx(expected_shortfall(row, confidence), rel=1e-9, abs=scale)
    assert float(loss_of_rows(pnl, "mean", None)[0][0]) == pytest.approx(-sum(row) / len(row), abs=scale)
    assert int(loss_of_rows(pnl, "worst", None)[1][0]) == row.index(min(row))


@given(rows, confidences, st.sampled_from(["worst", "value_at_risk", "expected_shortfall", "mean"]))
def test_shares_give_the_loss_back(row: list[float], confidence: float, measure: str) -> None:
    pnl = np.asarray([row])
    loss, _ = loss_of_rows(pnl, measure, confidence)
    shares = scenario_shares(pnl, measure, confidence, loss)
    assert float(-(shares * pnl).sum()) == pytest.approx(float(loss[0]), abs=1e-9 * (1 + np.abs(pnl).max()))
    assert shares.sum() == pytest.approx(1.0 if loss[0] > 0 or measure == "mean" else 0.0)


def test_measures_by_hand() -> None:
    row = np.asarray([[-10.0, -8.0, -6.0, -4.0, -2.0, 0.0, 1.0, 2.0, 3.0, 4.0]])
    assert loss_of_rows(row, "expected_shortfall", 0.75)[0][0] == pytest.approx((10 + 8 + 6 / 2) / 2.5)
    assert loss_of_rows(row, "expected_shortfall", 0.99)[0][0] == 10  # less than one scenario: the worst
    assert loss_of_rows(row, "value_at_risk", 0.9)[0][0] == 8
    assert loss_of_rows(row, "value_at_risk", 0.91)[0][0] == 10
    assert loss_of_rows(row, "value_at_risk", 0.2)[0][0] == 0
    assert loss_of_rows(np.abs(row), "mean", None)[0][0] == -4
    with pytest.raises(InputError, match="needs a confidence"):
        loss_of_rows(row, "value_at_risk", None)


# --- the climb

_TOP = """
[parameters]
range = { by = "bucket", BTC = 0.15, ETH = 0.2, default = 0.3 }
lift = 0.4
drop = 0.7
halves = 2
[shocks]
vol.up = "iv * (1 + lift)"
vol.down = "iv * drop"
[scenarios]
moves = [
  { spot = [-2, 0, 1], vol = ["up", "same"], scale = "range / halves" },
  { spot = [-0.5, 2], vol = ["down"], weight = "range / abs(spot)", fold.expiry = { gain = -0.5, loss = 1 } },
  { spot = [0], basis = [-0.1, 0.2], weight = [0.5, 2] },
  { spot = [0.05], time = [0.01] },
]
[charges.charge]
kind = "scan"
scenarios = "moves"
of = ["option", "perpetual", "future"]
"""
_RANGE = {"BTC": 0.15, "ETH": 0.2, "SOL": 0.3}


def scenarios(bucket: str) -> list[tuple[Scenario, bool]]:
    """The scenarios of `moves`, and whether the block's own fold holds."""
    width = _RANGE[bucket]
    vols = {"up": lambda iv: iv * 1.4, "same": lambda iv: iv, "down": lambda iv: iv * 0.7}
    found = [(Scenario(spot=s * width / 2, vol=vols[v]), False) for s in (-2, 0, 1) for v in ("up", "same")]
    found += [(Scenario(spot=s, vol=vols["down"], weight=width / abs(s)), True) for s in (-0.5, 2)]
    found += [(Scenario(basis=-0.1, weight=0.5), False), (Scenario(basis=0.2, weight=2), False)]
    return [*found, (Scenario(spot=0.05, time=0.01), False)]


def legs_of(account: Account) -> dict[str, dict[object, list[tuple[Listing, float, float | None]]]]:
    """Contracts of an account by bucket and expiry; what never expires is alone."""
    found: dict[str, dict[object, list[tuple[Listing, float, float | None]]]] = {}
    for held in account.positions:
        listing = market().listings[held.instrument]
        if listing.kind == "spot":
            continue
        years = None if listing.expiry is None else years_between(AS_OF, listing.expiry)
        key = listing.expiry or listing.symbol
        leg = (listing, float(held.quantity), years)
        found.setdefault(listing.underlying, {}).setdefault(key, []).append(leg)
    return found


def coin_rate(listing: Listing, scenario: Scenario, *, in_settlement: bool) -> float:
    """What a unit of the settlement asset is worth under a scenario."""
    rate = ASSETS[listing.settlement_asset].price
    own = listing.settlement_asset == listing.underlying
    return rate if in_settlement else rate * (1 + scenario.spot if own else 1.0)


def leg_pnl(listing: Listing, quantity: float, years: float | None, scenario: Scenario) -> tuple[float, float]:
    """Gain, and shocked option value, in the snapshot's reporting asset, weighted."""
    rate = coin_rate(listing, scenario, in_settlement=False)
    if listing.kind != "option" or years is None:
        return scenario.weight * quantity * gain(listing, years, scenario) * rate, 0.0
    shocked = option_value(listing, years, scenario) * rate
    today = option_value(listing, years, Scenario()) * ASSETS[listing.settlement_asset].price
    return scenario.weight * quantity * (shocked - today), scenario.weight * quantity * shocked


def accounts(seed: int, count: int = 25) -> list[Account]:
    return list(random_accounts(REFERENCE, seed, count, orders=False))


def linear(account: Account) -> Account:
    """The same account without quanto contracts, whose conversion the twin leaves out."""
    kept = tuple(one for one in account.positions if one.instrument != "ETH-QUANTO")
    return Account(id=account.id, positions=kept)


def test_a_scan_with_close_outs_and_folds() -> None:
    body = """
level = "bucket"
close_out.expiry.gain = "base * exp(-years * cost)"
close_out.expiry.loss = 1.2
fold.bucket = { gain = 0.5, loss = 1, gain_cap = "largest_gain / numeraire", deductible = "allowance / numeraire" }
fold.expiry = { gain = 0.9, loss = 1.1 }
base = 0.95
cost = 0.2
allowance = 2000
largest_gain = 1000
unit = { allowance = "USD", largest_gain = "USD" }
"""
    rulebook = made(_TOP + body)
    for account in map(linear, accounts(1)):
        report = assess(account, market(), rulebook, withdrawable=False)
        tables = {table.row: [s.pnl for s in table.scenarios] for table in report.pools[0].scenario_tables}
        total = 0.0
        for bucket, expiries in legs_of(account).items():
            row = [_folded_bucket(expiries, scenario, own_fold=own) for scenario, own in scenarios(bucket)]
            assert tables[bucket] == pytest.approx(row, rel=1e-9, abs=1e-6)
            total += worst(row)
        assert report.initial_margin == pytest.approx(total, rel=1e-9, abs=1e-6)


def _folded_bucket(
    expiries: dict[object, list[tuple[Listing, float, float | None]]], scenario: Scenario, *, own_fold: bool
) -> float:
    together = 0.0
    for legs in expiries.values():
        pnl = sum(leg_pnl(*leg, scenario)[0] for leg in legs)
        shocked = sum(leg_pnl(*leg, scenario)[1] for leg in legs)
        years = legs[0][2] or 0.0
        pnl += ((0.95 * exp(-years * 0.2) if shocked > 0 else 1.2) - 1) * shocked
        pnl = fold(pnl, up=0.9, down=1.1)
        together += fold(pnl, up=-0.5) if own_fold else pnl
    return fold(together, up=0.5, cap=1_000, deductible=2_000)


@pytest.mark.parametrize("measure", ["worst", "expected_shortfall", "value_at_risk", "mean"])
def test_measures_at_account_level(measure: str) -> None:
    confidence = "" if measure in {"worst", "mean"} else "confidence = 0.83\n"
    weight = 'weight = "half"\nhalf = 0.5\n'
    rulebook = made(f'{_TOP}level = "account"\nmeasure = "{measure}"\n{confidence}{weight}')
    twin: dict[str, Callable[[list[float]], float]] = {
        "worst": worst,
        "mean": lambda row: -sum(row) / len(row),
        "expected_shortfall": lambda row: expected_shortfall(row, 0.83),
        "value_at_risk": lambda row: value_at_risk(row, 0.83),
    }
    for account in map(linear, accounts(2)):
        buckets = legs_of(account)
        row = []
        for s in range(len(scenarios("BTC"))):
            pnl = 0.0
            for bucket, expiries in buckets.items():
                scenario, own = scenarios(bucket)[s]
                for legs in expiries.values():
                    part = sum(leg_pnl(*leg, scenario)[0] for leg in legs)
                    pnl += fold(part, up=-0.5) if own else part
            row.append(pnl)
        wanted = twin[measure](row)
        found = assess(account, market(), rulebook, withdrawable=False).initial_margin
        assert found == pytest.approx(0.5 * wanted, rel=1e-9, abs=1e-6)


def test_a_scan_in_the_settlement_asset() -> None:
    body = '[scenarios]\nmoves = [ { spot = [-0.3, 0.4], vol = ["same"] } ]\n[charges.charge]\nkind = "scan"\n'
    body += 'scenarios = "moves"\nlevel = "account"\nof = ["option", "perpetual", "future"]\n'
    rulebook = made(body, reporting="settlement", pools='by = "settlement_asset"')
    for account in map(linear, accounts(3)):
        report = assess(account, market(), rulebook, withdrawable=False)
        for pool in report.pools:
            row = [0.0, 0.0]
            for held in account.positions:
                listing = market().listings[held.instrument]
                if listing.settlement_asset == pool.reporting_asset and listing.kind != "spot":
                    years = None if listing.expiry is None else years_between(AS_OF, listing.expiry)
                    for i, spot in enumerate((-0.3, 0.4)):
                        row[i] += float(held.quantity) * gain(listing, years, Scenario(spot=spot))
            assert pool.initial_margin == pytest.approx(worst(row), rel=1e-9, abs=1e-9), pool.pool


def test_supplied_moves_are_the_scenarios() -> None:
    body = '[scenarios]\nhistory = [ { supplied = "days" } ]\n[charges.charge]\nkind = "scan"\nscenarios = "history"\n'
    body += 'level = "account"\nof = "perpetual"\nmeasure = "expected_shortfall"\nconfidence = 0.6\n'
    listings = [perpetual("BTC", "USDC"), perpetual("ETH", "USDC")]
    moves = {"BTC": [0.1, -0.2, 0.05, 0.0, -0.01], "ETH": [-0.3, 0.1, 0.0, 0.2, 0.05]}
    account = Account(id="a", positions=(position(listings[0], 2), position(listings[1], -30)))
    rulebook = made(body)
    snapshot = snapshot_of(listings, calibration={"days": moves})
    worths = (2 * 60_060 * 0.9995, -30 * 2_402.4 * 0.9995)
    row = [worths[0] * b + worths[1] * e for b, e in zip(moves["BTC"], moves["ETH"], strict=True)]
    found = assess(account, snapshot, rulebook, withdrawable=False)
    assert found.initial_margin == pytest.approx(expected_shortfall(row, 0.6), rel=1e-12)
    for broken in ({}, {"days": {"BTC": [0.1]}}, {"days": {"BTC": [0.1], "ETH": [0.1, 0.2]}}):
        with pytest.raises(InputError, match="days") as refused:
            assess(account, snapshot_of(listings, calibration=broken), rulebook)
        assert refused.value.reason == "missing_calibration"


def test_a_coin_that_backs_enters_the_scan_and_cancels() -> None:
    body = "[scenarios]\nmoves = [ { spot = [-0.2, 0.2] }, { spot = [0], peg = [-0.1] } ]\n[charges.charge]\n"
    body += 'kind = "scan"\nscenarios = "moves"\nlevel = "bucket"\nof = ["perpetual", "asset"]\n'
    short = position(perpetual("ETH", "USDC", mark_price=2_400.0), -1)
    coin = Account(id="coin", balances={"ETH": Decimal("0.9995")}, positions=(short,))
    snapshot = snapshot_of([perpetual("ETH", "USDC", mark_price=2_400.0)])
    rulebook = made(body)
    assert assess(coin, snapshot, rulebook).initial_margin == pytest.approx(0, abs=1e-9)
    staked = Account(id="staked", balances={"STETH": Decimal(1)})
    report = assess(staked, snapshot, rulebook)
    (table,) = report.pools[0].scenario_tables
    assert table.row == "ETH"
    assert [row.pnl for row in table.scenarios] == pytest.approx([-0.2 * 2_390, 0.2 * 2_390, -0.1 * 2_390])
