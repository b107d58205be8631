"""OKX's discount rates of a collateral coin: rows of an amount's bounds and rate, and the penalty that is the rest.

A tier's rate takes the venue's own word for what is lost, the penalty, as the expected figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from crossmargin.account import Account
from crossmargin.analysis.conformance.case import Case, Family, Figure, Read, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Snapshot
from crossmargin.units import exact

RULEBOOK: Final = "okx-portfolio@2025-01-15"
_EXAMPLE: Final = "own_example"
_BEYOND: Final = 1.0  # how much of an open last tier is looked at

_DISCOUNTED: Final[Read] = lambda outcome: outcome.pool.adjusted_equity_maintenance  # noqa: E731 - a table of reads
_LOST: Final[Read] = lambda outcome: outcome.report.lines["haircuts"].maintenance  # noqa: E731


def names(document: Fields) -> list[str]:
    """Return the tiers, then the example."""
    found = [f"{document.text('ccy')} tiers[{index}]" for index in range(len(document.items("tiers")))]
    return [*found, f"{document.text('ccy')} example"] if _EXAMPLE in document else found


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return what an amount counts for, at a price of 1: that of the example, or all of the tiers up to one."""
    tiers = document.objects("tiers")
    coin = document.text("ccy")
    changes: dict[str, Any] = {"charges.haircuts.tiers": {"by": "asset", coin: _table(document, tiers)}}
    if index < len(tiers):
        amount = _upper(tiers, index)
        figures = _tier_figures(tiers, index, amount)
    else:
        example = document.needed(_EXAMPLE)
        amount = example.number("amount")
        figures = (Figure("discounted", example.number("discounted"), _DISCOUNTED),)
    if amount < 0:
        refuse("an amount of at least 0", amount, document.at(_EXAMPLE))
    name = names(document)[index]
    return Case(
        name=name,
        account=Account(id=name, balances={coin: exact(amount)} if amount else {}),
        snapshot=Snapshot(as_of=AS_OF, reporting_asset="USD", assets={coin: AssetQuote(price=1.0)}, listings={}),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=f"tiers of {coin}"),
        figures=figures,
        changes=changes,
    )


def _table(document: Fields, tiers: list[Fields]) -> list[list[Any]]:
    """Return the rulebook's tiers; what lies beyond the last counts at the least rate."""
    rows: list[list[Any]] = []
    start = 0.0
    for tier in tiers:
        if tier.number("min", 0.0) != start:
            refuse("tiers that begin where the one before ends", tier.number("min", 0.0), tier.at("min"))
        bound = tier.number("max", inf)
        if not bound > start:
            refuse("a bound above the tier's floor", bound, tier.at("max"))
        rows.append(["inf" if bound == inf else bound, tier.number("rate")])
        start = bound
    if start < inf:
        rows.append(["inf", document.number("minDiscountRate", 0.0)])
    return rows


def _upper(tiers: list[Fields], index: int) -> float:
    return tiers[index].number("max", tiers[index].number("min", 0.0) + _BEYOND)


def _tier_figures(tiers: list[Fields], index: int, amount: float) -> tuple[Figure, ...]:
    """Return what is lost up to a tier's end by the stated penalties, and what counts by the rates."""
    parts = [(_upper(tiers, row) - tiers[row].number("min", 0.0), tiers[row]) for row in range(index + 1)]
    counted = sum(part * tier.number("rate") for part, tier in parts)
    figures = [Figure("discounted", counted, _DISCOUNTED)]
    if all("liqPenalty" in tier for _, tier in parts):
        lost = sum(part * tier.number("liqPenalty") for part, tier in parts)
        figures.append(Figure("penalty", lost, _LOST))
    return tuple(figures) if amount else ()


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where a tier's rate and bound stand; the example states no parameter of its own."""
    tiers = document.objects("tiers")
    if index >= len(tiers):
        return {}
    coin = document.text("ccy")
    return {f"{coin} tiers[{index}].{key}": ("tiers", index, key) for key in ("rate",) if key in tiers[index]}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document is one coin's tiers of discount rates."""
    tiers = document.get("tiers")
    listed = tiers if isinstance(tiers, list) else []
    return has_keys(document, "ccy", "tiers") and any(has_keys(tier, "rate", "max") for tier in listed)


FAMILY: Final = Family("okx_portfolio", "discount_tiers", recognises, names, pose, parameters)
