"""Synthetix v3: liquidation in windows, run call by call, and funding that moves by a velocity."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from crossmargin.analysis.conformance.case import Figure, ProcedureFamily, Run, case_names, of_kind
from crossmargin.analysis.conformance.procedure_lines import evaluated
from crossmargin.liquidation.case import Case, Done
from crossmargin.liquidation.moves import Desk, next_move
from crossmargin.liquidation.pools import Leg, Pool, Terms
from crossmargin.margin import with_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.case import Amount, Rulebooks
    from crossmargin.analysis.conformance.fields import Fields
    from crossmargin.margin import Rulebook

RULEBOOK: Final = "synthetix-perps@2026-01-20"
WINDOW: Final = "window"
FUNDING: Final = "funding"
_MARKET: Final = "BTC"


WINDOW_KEYS: Final = MappingProxyType(
    {
        "parameters.maker_fee": "maker_fee",
        "parameters.taker_fee": "taker_fee",
        "parameters.skew_scale": "skew_scale",
        "parameters.window_multiplier": "multiplier",
        "parameters.window_seconds": "window_seconds",
        "liquidation.parameters.max_premium_discount": "max_pd",
    }
)
"""Where the document keeps what a case of a window states."""


def by_market(stated: Fields, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the document's tables, each with what a case states for its one market."""
    return {ours: {"by": "bucket", _MARKET: stated.number(key)} for ours, key in keys.items()}


def pose_window(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return one position that is liquidated by several calls."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    stated, expected = case.needed("input"), case.needed("expected")
    rulebook = with_values(rulebooks(RULEBOOK), by_market(stated, WINDOW_KEYS), source=case.at("input"))
    tolerance = case.number("tolerance", 0.0)
    figures = [
        Figure(f"liquidated[{number}]", amount, partial(_nth, number), tolerance)
        for number, amount in enumerate(expected.numbers("liquidated"))
    ]
    most = evaluated(rulebook, "capacity", {}, leg=_leg(0.0))
    figures.append(Figure("max_in_window", expected.number("max_in_window"), lambda _: most, tolerance))
    return Run(name, tuple(figures), partial(_called, stated, rulebook))


def _nth(number: int, closed: list[float]) -> float:
    return closed[number]


def _leg(contracts: float) -> Leg:
    figures = {"contracts_held": contracts, "quantity": contracts, "price": 1.0}
    keys = {"bucket": _MARKET, "instrument": _MARKET}
    return Leg(_MARKET, figures, frozenset({"perpetual", "long"}), keys, Terms("USD"))


def _called(stated: Fields, rulebook: Rulebook) -> list[float]:
    """Return what each call liquidates, one case of one account with its memory."""
    calls = stated.objects("calls")
    case = Case(start=Pool({}, (_leg(calls[0].number("size")),)))
    closed = []
    for call in calls:
        case = replace(case, time=call.number("t"), position=0, passed=frozenset())
        pool = Pool({}, (_leg(call.number("size")),))
        desk = Desk(stated={"market": call.number("skew")}, steps=frozenset({"close"}))
        move, case = next_move(rulebook.procedure, pool, case, desk)
        amount = move.amount if move else Fraction(0)
        if move is not None:
            case = case.after(Done(case.time, move.step.name, move.about, "close", amount))
        closed.append(float(amount))
    return closed


def pose_funding(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return what a trader pays while the skew, and with it the funding rate, moves."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    stated, expected = case.needed("input"), case.needed("expected")
    keys = {
        "parameters.skew_scale": "skew_scale",
        "liquidation.parameters.max_velocity": "max_funding_velocity_per_day",
    }
    rulebook = with_values(rulebooks(RULEBOOK), by_market(stated, keys), source=case.at("input"))
    tolerance = case.number("tolerance", 0.0)
    figures = [
        Figure(f"{key}[{number}]", amount, partial(_at, key, number), tolerance)
        for key in ("accrued_cost", "funding_rate")
        for number, amount in enumerate(expected.numbers(key))
    ]
    return Run(name, tuple(figures), partial(_funded, stated, rulebook))


def _at(key: str, number: int, found: dict[str, list[Amount]]) -> Amount:
    return found[key][number]


def _funded(stated: Fields, rulebook: Rulebook) -> dict[str, list[Amount]]:
    """Return rate and cost after each step; the skew changes at its end."""
    skew, rate, paid = stated.number("initial_skew"), 0.0, 0.0
    found: dict[str, list[Amount]] = {"accrued_cost": [], "funding_rate": []}
    leg = _leg(stated.number("trader_size"))
    for step in stated.objects("steps"):
        told = {
            "market": skew,
            "rate_before": rate,
            "days_passed": step.number("days"),
            "price": stated.number("price"),
        }
        paid += float(evaluated(rulebook, "funding_paid", told, leg=leg))
        rate = float(evaluated(rulebook, "rate_after", told, leg=leg))
        found["accrued_cost"].append(paid)
        found["funding_rate"].append(rate)
        skew += step.number("skew_change")
    return found


FAMILIES: Final = (
    ProcedureFamily("synthetix_v3", WINDOW, of_kind(WINDOW), pose_window),
    ProcedureFamily("synthetix_v3", FUNDING, of_kind(FUNDING), pose_funding),
)
