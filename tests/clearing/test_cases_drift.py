"""Drift's published liquidations, run through the state machine: each unit function's number, read off what is posted.

A case states a shortage, weights and prices; the account is made so that the engine finds just that shortage.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin import load_rulebook
from crossmargin.analysis.conformance.linear_market import decimal_at, perpetual
from crossmargin.analysis.conformance.linear_market import snapshot_of as market_with
from crossmargin.clearing import Outside
from crossmargin.clearing.events import Asked, Posted
from crossmargin.clearing.ledger import FUND, HELD, WALLET, Row
from crossmargin.margin import with_values
from tests.clearing.posed import DIGITS, Posed, units
from tests.clearing.published import case_at, cases_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.fields import Fields

FILE = "drift_v2_margin_liquidation"
OWN = "liquidation.parameters"
BTC = "BTC-USDC"
LOTS = 9  # digits of a contract, and of a token that is owed
NO_CUSHION = dict.fromkeys(("maintenance", "initial", "fill", "liquidation"), 0)


def exact(given: Fields, key: str, default: float = 0) -> Fraction:
    return Fraction(decimal_at(given, key)) if key in given else Fraction(default)


def posted(posed: Posed, cause: str) -> dict[tuple[str, str, str], Fraction]:
    """Return what the first posting of a cause moved, by owner, purse and asset; contracts in lots, money in ones."""
    event = next(r.event for r in posed.records if isinstance(r.event, Posted) and r.event.cause == cause)
    found: dict[tuple[str, str, str], Fraction] = {}
    for owner, purse, asset, amount in event.rows:
        unit = 1 if purse == HELD else 10**DIGITS
        found[owner, purse, asset] = found.get((owner, purse, asset), Fraction(0)) + Fraction(amount, unit)
    return found


# --- perpetuals: closed against a liquidator, with a fee to the fund


def perpetual_house(given: Fields, contracts: Fraction, shortage: Fraction, inputs: Mapping[str, float]) -> Posed:
    """An account of one long position, opened at the oracle's price, that lacks `shortage`."""
    ratio, price = exact(given, "margin_ratio", 0.1), exact(given, "oracle_price", 100)
    fees = {"liquidation_fee": "base_fee", "liquidator_fee": "base_fee", "if_fee": "fund_fee", "max_if_fee": "fund_fee"}
    numbers = {ours: float(exact(given, key)) for key, ours in fees.items() if key in given}
    millionths = {"base_fee_1e6": "base_fee", "max_fee_1e6": "most_fee", "increase_per_slot_1e6": "per_slot"}
    numbers |= {ours: float(exact(given, key) / 10**6) for key, ours in millionths.items() if key in given}
    plain = {"grace_slots": "grace", "small_shortage_threshold": "small_shortage"}
    numbers |= {ours: float(exact(given, key)) for key, ours in plain.items() if key in given}
    stated = {"base_fee": 0.0, "most_fee": 1.0, "fund_fee": 0.0, **numbers}
    changes: dict[str, Any] = {f"{OWN}.{key}": value for key, value in stated.items()} | {
        "parameters.cushion": NO_CUSHION,
        "parameters.maintenance_ratio": {"by": "bucket", "BTC": float(ratio)},
        "parameters.perpetual_imf": {"by": "bucket", "BTC": 0},
    }
    rulebook = with_values(load_rulebook("drift-v2"), changes, source="a case")
    market = market_with(
        [perpetual("BTC", float(price), "USDC")], "USD", {"USDC": float(exact(given, "quote_price", 1))}
    )
    outside = Outside(taker="liquidator", inputs=inputs)
    posed = Posed(rulebook, market, outside, ("user", "liquidator"), quantity_digits={BTC: LOTS})
    posed.quote()
    rows: list[Row] = [
        ("user", WALLET, "USDC", units(contracts * price * ratio - shortage)),
        ("liquidator", WALLET, "USDC", 10 ** (DIGITS + 9)),
        ("user", HELD, BTC, units(contracts, LOTS)),
        ("user", f"basis:{BTC}", "USDC", -units(contracts * price)),
    ]
    posed.open(rows)
    posed.quote()
    return posed


@pytest.mark.parametrize("at", cases_of(FILE, {"base_to_cover_shortage"}))
def test_base_to_cover(at: tuple[str, int]) -> None:
    """As many lots are closed as cover the shortage."""
    case = case_at(at)
    given = case.needed("input")
    posed = perpetual_house(given, Fraction(10), exact(given, "margin_shortage"), {})
    moved = posted(posed, "liquidation: perpetual")
    assert -moved["user", HELD, BTC] == case.needed("expected").number("base_1e9")


@pytest.mark.parametrize("at", cases_of(FILE, {"perp_if_fee"}))
def test_fee_of_a_perpetual(at: tuple[str, int]) -> None:
    """What the fund is paid is the fee's share of what was closed."""
    case = case_at(at)
    given = case.needed("input")
    base = exact(given, "base")
    posed = perpetual_house(given, base, exact(given, "margin_shortage"), {})
    moved = posted(posed, "liquidation: perpetual")
    assert -moved["user", HELD, BTC] == units(base, LOTS)
    closed_for = base * exact(given, "oracle_price")
    paid = moved.get((FUND, WALLET, "USDC"), Fraction(0)) / closed_for
    expected = case.needed("expected").number("fee_1e6")
    assert float(paid * 10**6) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("at", cases_of(FILE, {"time_ramped_liquidation_fee"}))
def test_ramped_fee(at: tuple[str, int]) -> None:
    """The liquidator buys so much below the oracle's price as the fee has grown to."""
    case = case_at(at)
    given = case.needed("input")
    slots = float(exact(given, "slots_elapsed"))
    posed = perpetual_house(given, Fraction(10), Fraction(10), {"slots": slots})
    told = next(r.event for r in posed.records if isinstance(r.event, Asked) and r.event.what == "perpetual")
    fee = case.needed("expected").number("fee_1e6")
    assert float((1 - Fraction(told.limits["price"]) / 100) * 10**6) == pytest.approx(fee, rel=1e-12)
    moved = posted(posed, "liquidation: perpetual")
    closed, paid = -moved["user", HELD, BTC] / 10**LOTS, -moved["liquidator", f"basis:{BTC}", "USDC"]
    assert float(paid / closed) == pytest.approx(100 * (1 - fee / 10**6), rel=1e-12)


@pytest.mark.parametrize("at", cases_of(FILE, {"max_pct_to_liquidate"}))
def test_most_at_once(at: tuple[str, int]) -> None:
    """A small shortage is covered at once, with all that covers it; a larger one only with a share of it."""
    case = case_at(at)
    given = case.needed("input")
    shortage = exact(given, "margin_shortage")

    def share(lacking: Fraction) -> Fraction:
        posed = perpetual_house(given, Fraction(100), lacking, {})
        relief = exact(given, "oracle_price", 100) * exact(given, "margin_ratio", 0.1)
        lots = -posted(posed, "liquidation: perpetual")["user", HELD, BTC]
        return lots * relief / lacking / Fraction(units(1, LOTS))

    assert round(share(shortage) * 10**4) == case.needed("expected").number("pct_1e4")
    assert float(share(exact(given, "small_shortage_threshold"))) == pytest.approx(0.05, rel=1e-6)


# --- tokens: a debt repaid for collateral


def token_house(given: Fields, debt: Fraction, collateral: Fraction) -> Posed:
    """An account that owes a token at the oracle's price for a collateral."""
    weights = {
        "asset": float(exact(given, "asset_weight", 0.8)),
        "liability": float(exact(given, "liability_weight", 1.2)),
    }
    multipliers = {key: float(exact(given, key, 1)) for key in ("asset_multiplier", "liability_multiplier")}
    fund_fee = float(exact(given, "max_if_fee") if "max_if_fee" in given else exact(given, "if_fee"))
    changes: dict[str, Any] = {
        **{f"{OWN}.{key}": {"by": "asset", "default": value} for key, value in multipliers.items()},
        f"{OWN}.fund_fee": fund_fee,
        "parameters.cushion": NO_CUSHION,
        "parameters.spot_imf": {"by": "bucket", "default": 0},
        "parameters.is_quote": {"by": "bucket", "default": 0},
        **{f"parameters.maintenance_{key}": {"by": "bucket", "default": value} for key, value in weights.items()},
        **{f"parameters.initial_{key}": {"by": "bucket", "default": value} for key, value in weights.items()},
    }
    prices = {"HELD": float(exact(given, "asset_price", 1)), "OWED": float(exact(given, "liability_price", 100))}
    rulebook = with_values(load_rulebook("drift-v2"), changes, source="a case")
    posed = Posed(rulebook, market_with([], "USD", prices), Outside(taker="liquidator"), ("user", "liquidator"))
    posed.quote()
    rows: list[Row] = [
        ("user", WALLET, "HELD", units(collateral)),
        ("user", WALLET, "OWED", -units(debt)),
        ("liquidator", WALLET, "OWED", 10 ** (DIGITS + 9)),
    ]
    posed.open(rows)
    posed.quote()
    return posed


def lacking(given: Fields, shortage: Fraction, debt: Fraction = Fraction(10)) -> Posed:
    """An account that lacks just `shortage`."""
    needed = debt * exact(given, "liability_price") * exact(given, "liability_weight", 1.2)
    return token_house(
        given, debt, (needed - shortage) / exact(given, "asset_weight", 0.8) / exact(given, "asset_price", 1)
    )


def native(amount: Fraction, digits: int) -> int:
    """Return whole units of the chain: what is left of one is cut off, but for what doubles cannot tell."""
    return int(amount * 10**digits + Fraction(1, 1000))


@pytest.mark.parametrize("at", cases_of(FILE, {"liability_to_cover_shortage"}))
def test_liability_to_cover(at: tuple[str, int]) -> None:
    """As much of the debt is repaid as covers the shortage."""
    case = case_at(at)
    given = case.needed("input")
    moved = posted(lacking(given, exact(given, "margin_shortage")), "liquidation: token")
    repaid = -moved["liquidator", WALLET, "OWED"]  # with what the fund is paid of it
    assert native(repaid, LOTS) == case.needed("expected").number("liability_native")


@pytest.mark.parametrize("at", cases_of(FILE, {"liability_implied_by_asset"}))
def test_liability_of_all_collateral(at: tuple[str, int]) -> None:
    """Of a large shortage as much is repaid as the collateral pays for."""
    case = case_at(at)
    given = case.needed("input")
    moved = posted(token_house(given, Fraction(10), exact(given, "asset_amount")), "liquidation: token")
    assert native(moved["user", WALLET, "OWED"], LOTS) == case.needed("expected").number("liability_native")
    assert moved["user", WALLET, "HELD"] == -exact(given, "asset_amount")


@pytest.mark.parametrize("at", cases_of(FILE, {"asset_for_liability"}))
def test_asset_for_a_liability(at: tuple[str, int]) -> None:
    """So much collateral is given for a debt; the shortage is the one that just that debt covers."""
    case = case_at(at)
    given = case.needed("input")
    repaid = exact(given, "liability_amount")
    shortage = repaid * exact(given, "liability_price") * (Fraction("1.2") - Fraction("0.8"))
    moved = posted(lacking(given, shortage), "liquidation: token")
    assert native(moved["user", WALLET, "OWED"], LOTS) == units(repaid, LOTS)
    assert native(moved["liquidator", WALLET, "HELD"], 6) == case.needed("expected").number("asset_native")


@pytest.mark.parametrize("at", cases_of(FILE, {"spot_if_fee"}))
def test_fee_of_a_token(at: tuple[str, int]) -> None:
    """What the fund is paid in the token that was owed, and the debt grows by."""
    case = case_at(at)
    given = case.needed("input")
    debt = exact(given, "token_amount")
    moved = posted(lacking(given, exact(given, "margin_shortage"), debt), "liquidation: token")
    paid, repaid = moved.get((FUND, WALLET, "OWED"), Fraction(0)), -moved["liquidator", WALLET, "OWED"]
    assert float(paid / repaid * 10**6) == pytest.approx(case.needed("expected").number("fee_1e6"), rel=1e-12)
    assert moved["user", WALLET, "OWED"] == repaid - paid


# --- bankruptcies: what nobody else pays all open contracts, or all deposits, bear alike


def paid_by(posed: Posed, layer: str, asset: str) -> dict[str, Fraction]:
    """What each payer of a layer paid."""
    found: dict[str, Fraction] = {}
    for r in posed.records:
        if isinstance(r.event, Posted) and r.event.cause == f"waterfall: {layer}":
            for owner, purse, name, amount in r.event.rows:
                if amount < 0 and (purse, name) == (WALLET, asset):
                    found[owner] = found.get(owner, Fraction(0)) - Fraction(amount, 10**DIGITS)
    return found


@pytest.mark.parametrize("at", cases_of(FILE, {"bankruptcy_funding_delta"}))
def test_loss_by_funding(at: tuple[str, int]) -> None:
    """Each open contract, long and short, pays what the chain adds to its funding, which is counted up."""
    case = case_at(at)
    given = case.needed("input")
    held = {"long": exact(given, "base_long"), "short": exact(given, "base_short")}
    market = market_with([perpetual("BTC", 100.0, "USDC")], "USD", {"USDC": 1.0})
    posed = Posed(
        load_rulebook("drift-v2"), market, Outside(taker="liquidator"), ("user", *held), quantity_digits={BTC: LOTS}
    )
    posed.quote()
    rows: list[Row] = [("user", WALLET, "USDC", -units(exact(given, "loss")))]
    for owner, contracts in held.items():
        rows += [
            (owner, WALLET, "USDC", units(10_000)),
            (owner, HELD, BTC, units(contracts, LOTS)),
            (owner, f"basis:{BTC}", "USDC", -units(100 * contracts)),
        ]
    posed.open(rows)
    posed.quote()
    paid = paid_by(posed, "open_interest", "USDC")
    assert sum(paid.values()) == exact(given, "loss")
    expected = case.needed("expected").number("cumulative_funding_rate_delta_1e9")
    for owner, contracts in held.items():
        assert ceil(paid[owner] / abs(contracts) * 10**6) * 10**3 == expected, owner


@pytest.mark.parametrize("at", cases_of(FILE, {"bankruptcy_deposit_index_delta"}))
def test_loss_by_deposits(at: tuple[str, int]) -> None:
    """Each deposit pays the share of itself by which the chain lowers the deposit index, which is counted up."""
    case = case_at(at)
    given = case.needed("input")
    total, unit = exact(given, "deposits"), exact(given, "deposit_index_1e10")
    shares = {"first": total * Fraction(2, 3), "second": total / 3}
    posed = Posed(
        load_rulebook("drift-v2"), market_with([], "USD", {"USDC": 1.0}), Outside(taker="liquidator"), ("user", *shares)
    )
    posed.quote()
    rows: list[Row] = [("user", WALLET, "USDC", -units(exact(given, "loss")))]
    posed.open(rows + [(owner, WALLET, "USDC", units(amount)) for owner, amount in shares.items()])
    posed.quote()
    paid = paid_by(posed, "deposits", "USDC")
    assert sum(paid.values()) == exact(given, "loss")
    for owner, amount in shares.items():
        assert ceil(paid[owner] / amount * unit) == case.needed("expected").number("index_delta"), owner
