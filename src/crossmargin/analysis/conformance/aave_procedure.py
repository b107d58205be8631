"""Aave: the bonus, how much of a debt is repaid, and the health factor after it, run through the rulebooks.

Amounts and health factors are of accounts that are assessed; where a case states the health factor, it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from math import floor
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account
from crossmargin.analysis.conformance.aave import number
from crossmargin.analysis.conformance.case import Figure, ProcedureFamily, Run, case_names, of_kind
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.linear_market import decimal_at
from crossmargin.analysis.conformance.procedure_lines import evaluated, line_run
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.holdings import WALLET
from crossmargin.liquidation.moves import Desk, scope_of
from crossmargin.liquidation.postings import Venue
from crossmargin.liquidation.run import Outcome, begun, run
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Amount, Rulebooks
    from crossmargin.liquidation.pools import Pool
    from crossmargin.margin import Rulebook

V3: Final = "aave-v3@2026-01-27"
V4: Final = "aave-v4@2026-09-18"
_AS_OF: Final = datetime(2026, 9, 18, tzinfo=UTC)
_OWNER: Final = "borrower"
_BASIS_POINTS: Final = 10_000
_CLOSED: Final = 1e-9
_OWN: Final = "liquidation.parameters"


@dataclass(frozen=True, slots=True)
class _Lent:
    """What an account lends and owes: amount and price by asset; amounts owed are below 0."""

    amounts: Mapping[str, Fraction]
    prices: Mapping[str, float]

    def engine(self, rulebook: Rulebook) -> Engine:
        """Return what assesses it."""
        assets = {name: AssetQuote(price=price) for name, price in self.prices.items()}
        market = Snapshot(as_of=_AS_OF, reporting_asset="USD", assets=assets, listings={})
        balances = {name: exact(float(amount)) for name, amount in self.amounts.items()}
        return Engine(Account(id=_OWNER, balances=balances), lambda _elapsed: market, rulebook)


def _ran(lent: _Lent, rulebook: Rulebook, pair: str, told: Mapping[str, Amount]) -> Outcome:
    """Return what one repayment of one debt for one collateral leaves."""
    engine = lent.engine(rulebook)
    desk = Desk(stated=told, about=frozenset({pair}))
    return run(rulebook.procedure, engine.opening(), engine, Venue(_OWNER), desk, rounds=1)


def pose_bonus(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return the bonus at a health factor, in basis points, cut."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given, rulebook = case.needed("input"), rulebooks(V4)
    keys = {
        "health_factor": "health_factor",
        "hf_for_max_bonus": "hf_for_max_bonus",
        "bonus_factor": "bonus_factor",
        "collateral_most_bonus": "max_bonus",
    }
    told = {ours: Fraction(decimal_at(given, key)) for ours, key in keys.items()}
    expected = case.needed("expected").number("bonus_bps_floor")

    def read(_: str) -> int:
        return floor(evaluated(rulebook, "bonus", told, exactly=True) * _BASIS_POINTS)

    return line_run(name, {"bonus_bps_floor": (expected, 0.0)}, read)


def pose_to_target(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return the debt whose repayment brings the health factor to the target."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given, rulebook = case.needed("input"), rulebooks(V4)
    keys = {
        "debts": "total_debt_usd",
        "debt_price": "debt_price",
        "counted": "collateral_factor",
        "bonus": "bonus",
        "health_factor": "hf",
        "target": "target_hf",
    }
    told = {ours: Fraction(decimal_at(given, key)) for ours, key in keys.items()}
    expected = Fraction(decimal_at(case.needed("expected"), "debt"))
    return line_run(name, {"debt": (expected, 0.0)}, lambda _: evaluated(rulebook, "to_target", told, exactly=True))


def pose_amounts(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return what one repayment moves; the case states health factor and debt of a larger account."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given = case.needed("input")
    changes = {
        f"{_OWN}.hf_for_max_bonus": number(given, "hf_for_max_bonus"),
        f"{_OWN}.bonus_factor": number(given, "bonus_factor"),
        f"{_OWN}.most_bonus": {"by": "asset", "COLLATERAL": number(given, "max_bonus")},
        f"{_OWN}.liquidation_fee": number(given, "liquidation_fee"),
        f"{_OWN}.target": number(given, "target_hf"),
        f"{_OWN}.dust": number(given, "dust_threshold_usd"),
        "charges.haircuts.collateral_factor": {"by": "asset", "COLLATERAL": number(given, "collateral_factor")},
    }
    rulebook = with_values(rulebooks(V4), changes, source=case.at("input"))
    told = {
        "health_factor": number(given, "hf"),
        "debts": number(given, "total_debt_usd"),
        "debt_to_cover": number(given, "debt_to_cover"),
    }
    lent = _Lent(
        {
            "DEBT": -Fraction(decimal_at(given, "debt_balance")),
            "COLLATERAL": Fraction(decimal_at(given, "collateral_balance")),
        },
        {"DEBT": number(given, "debt_price"), "COLLATERAL": number(given, "collateral_price")},
    )
    reads: Mapping[str, Callable[[Outcome], float]] = {
        "collateral_to_liquidate": _given,
        "collateral_to_liquidator": lambda out: float(out.holdings.get("liquidator", WALLET, "COLLATERAL")),
        "debt_to_liquidate": lambda out: -float(out.holdings.get("liquidator", WALLET, "DEBT")),
    }
    expected = case.needed("expected")
    figures = tuple(Figure(key, number(expected, key), read) for key, read in reads.items() if key in expected)
    return Run(name, figures, partial(_ran, lent, rulebook, "DEBT/COLLATERAL", told))


def _given(outcome: Outcome) -> float:
    """Return the collateral that left the account."""
    owners = ("liquidator", "treasury")
    return float(sum((outcome.holdings.get(owner, WALLET, "COLLATERAL") for owner in owners), Fraction(0)))


def pose_close(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return an account whose health factor is assessed again after a repayment to the target."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given = case.needed("input")
    held, owed = given.objects("collaterals"), given.objects("debts")
    seized, repaid = (_chosen(given, key, listed) for key, listed in (("seize_index", held), ("repay_index", owed)))
    factors = {one.text("asset"): number(one, "collateral_factor") for one in held}
    changes = {
        f"{_OWN}.target": number(given, "target_hf"),
        f"{_OWN}.bonus_factor": 1.0,
        f"{_OWN}.most_bonus": {"by": "asset", **{one.text("asset"): number(one, "bonus") for one in held}},
        "charges.haircuts.collateral_factor": {"by": "asset", **factors, "default": 0},
    }
    rulebook = with_values(rulebooks(V4), changes, source=case.at("input"))
    listed = [(one, 1) for one in held] + [(one, -1) for one in owed]
    amounts = {one.text("asset"): sign * Fraction(decimal_at(one, "amount")) for one, sign in listed}
    lent = _Lent(amounts, {one.text("asset"): number(one, "price") for one, _ in listed})
    debt, collateral = repaid.text("asset"), seized.text("asset")
    prices = lent.prices
    reads: dict[str, Callable[[Outcome], float]] = {
        "hf_after": lambda out: float(out.pool.figures["coverage_ratio"]),
        "hf_before": lambda out: float(out.case.start.figures["coverage_ratio"]),
        "debt_to_repay_usd": lambda out: -float(out.holdings.get("liquidator", WALLET, debt)) * prices[debt],
        "collateral_left_usd": lambda out: float(out.holdings.get(_OWNER, WALLET, collateral)) * prices[collateral],
    }
    told = {**case.object("derived").value, **case.needed("expected").value}
    stated = Fields(told, case.place)
    tolerance = case.number("tolerance", _CLOSED)
    figures = tuple(Figure(key, number(stated, key), read, tolerance) for key, read in reads.items() if key in stated)
    return Run(name, figures, partial(_ran, lent, rulebook, f"{debt}/{collateral}", {}))


def _chosen(given: Fields, key: str, listed: list[Fields]) -> Fields:
    place = int(given.number(key))
    return listed[place] if 0 <= place < len(listed) else refuse(f"one of {len(listed)}", place, given.at(key))


def pose_close_factor(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return the share of the debt that may be repaid, of an account at a stated health factor."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given, expected = case.needed("input"), case.needed("expected")
    small = number(given, "small_position_threshold_usd")
    changes: dict[str, Any] = {
        f"{_OWN}.hf_of_whole": number(given, "close_factor_hf_threshold"),
        f"{_OWN}.small": small,
        "charges.haircuts.threshold": {"by": "asset", "default": number(given, "lt")},
    }
    rulebook = with_values(rulebooks(V3), changes, source=case.at("input"))
    health = number(given, "target_hf" if "target_hf" in given else "hf")
    lent = _lent_at(given, health)
    engine = lent.engine(rulebook)
    figures = [Figure("close_factor", number(expected, "close_factor"), partial(_factor, rulebook), tolerance=0.0)]
    if "debt_gt_threshold" in expected:
        above = float(expected.flag("debt_gt_threshold"))
        figures.append(Figure("debt_gt_threshold", above, lambda pool: float(pool.figures["debts"] > small), 0.0))
    return Run(name, tuple(figures), lambda: engine(engine.opening(), 0.0))


def _lent_at(given: Fields, health: float) -> _Lent:
    """Return an account of one or two collaterals that owes just as much as its health factor says."""
    if "weth_amount" in given:
        held = {"SEIZED": (Fraction(decimal_at(given, "weth_amount")), number(given, "weth_price"))}
    else:
        held = {
            "SEIZED": (Fraction(decimal_at(given, "seized_collateral_usd")), 1.0),
            "OTHER": (Fraction(decimal_at(given, "other_collateral_usd")), 1.0),
        }
    worth = sum(float(amount) * price for amount, price in held.values())
    owed = Fraction(worth * number(given, "lt") / health)
    amounts = {name: amount for name, (amount, _) in held.items()} | {"DEBT": -owed}
    return _Lent(amounts, {name: price for name, (_, price) in held.items()} | {"DEBT": 1.0})


def _factor(rulebook: Rulebook, pool: Pool) -> Amount:
    debt, seized = pool.leg("DEBT"), pool.leg("SEIZED")
    assert debt is not None
    assert seized is not None
    scope = scope_of(rulebook.procedure, pool, begun(pool), Desk())
    return replace(scope, sides={"debt_": debt, "collateral_": seized}).named("close_factor")


FAMILIES: Final = tuple(
    ProcedureFamily("aave", kind, of_kind(kind), pose)
    for kind, pose in (
        ("v4_bonus", pose_bonus),
        ("v4_debt_to_target", pose_to_target),
        ("v4_amounts", pose_amounts),
        ("v4_close_property", pose_close),
        ("v37_close_factor", pose_close_factor),
        ("v37_close_factor2", pose_close_factor),
    )
)
