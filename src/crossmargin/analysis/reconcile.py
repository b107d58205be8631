"""What the venue reported beside what the rulebook gives. The two are never mixed: a residual is shown, not closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from math import isfinite
from typing import Any

import msgspec

from crossmargin.account import Account
from crossmargin.analysis.explanation import Contribution
from crossmargin.liquidation.prices import LiquidationPrice
from crossmargin.margin.report import MarginReport, PoolReport

__all__ = ["ReconciliationRow", "reconcile"]

_FIGURES = (
    "equity",
    "adjusted_equity_initial",
    "adjusted_equity_maintenance",
    "initial_margin",
    "maintenance_margin",
    "available_margin",
    "maintenance_headroom",
    "coverage_ratio",
)
_MATCH = 1e-6  # relative: how near an amount must come to a residual to be named
_ROUNDING = 1e-9
# ratios that reported and computed figures often stand in, and what they would mean
_RATIOS = {
    0.8: "a collar of 0.8 on one side (a maintenance share of the initial requirement)",
    0.5: "half: maintenance reported for initial, or one of two hedged sides",
    2.0: "twice: both sides of a hedge, or initial for maintenance",
    1.3: "the factor from maintenance to initial",
    1 / 1.3: "the factor from initial to maintenance",
    -1.0: "the opposite sign",
    100.0: "a percent for a fraction",
    0.01: "a fraction for a percent",
}


class ReconciliationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One figure twice. None is "not reported" (or not computed), 0 is zero. Same asset as the report or its pool.

    `residual` is reported - computed, `relative` that over the larger of both. `suggestions` name what has the
    residual's amount: they may explain it; nothing is adjusted by them.
    """

    name: str
    pool: str | None = None
    instrument: str | None = None
    reported: float | None = None
    computed: float | None = None
    residual: float | None = None
    relative: float | None = None
    suggestions: tuple[str, ...] = ()


def reconcile(
    account: Account,
    report: MarginReport,
    liquidation: tuple[LiquidationPrice, ...] = (),
    contributions: tuple[Contribution, ...] = (),
) -> tuple[ReconciliationRow, ...]:
    """Return reported against computed: the account's figures, then pools', then positions'; empty if none reported.

    Parameters
    ----------
    liquidation
        Liquidation prices of the same account, for those that the venue reports by position.
    contributions
        What each position adds to the requirements, for margins that the venue reports by position.
    """
    reported = account.reported or {}
    if not reported:
        return ()
    amounts = _amounts(account, report)
    whole = (_row(name, reported.get(name), getattr(report, name), amounts) for name in _FIGURES)
    pools = _pool_rows(account, report, reported)
    positions = _position_rows(reported, liquidation, contributions)
    return tuple(chain(whole, pools, positions))


def _row(
    name: str,
    reported: object,
    computed: float | None,
    amounts: Mapping[str, float],
    pool: str | None = None,
    instrument: str | None = None,
) -> ReconciliationRow:
    theirs = _number(reported)
    row = ReconciliationRow(name=name, pool=pool, instrument=instrument, reported=theirs, computed=computed)
    if theirs is None or computed is None or not (isfinite(computed) and isfinite(theirs)):
        return row
    residual = theirs - computed
    largest = max(abs(theirs), abs(computed))
    return msgspec.structs.replace(
        row,
        residual=residual,
        relative=residual / largest if largest else 0.0,
        suggestions=_suggestions(theirs, computed, amounts),
    )


def _number(given: object) -> float | None:
    """Return a reported figure; what is no number counts as not reported."""
    if given is None or isinstance(given, bool):
        return None
    try:
        return float(str(given))
    except ValueError:
        return None


def _suggestions(reported: float, computed: float, amounts: Mapping[str, float]) -> tuple[str, ...]:
    """Return what has the residual's amount, or what the two figures stand in the ratio of."""
    residual = reported - computed
    if abs(residual) <= _ROUNDING * max(abs(reported), abs(computed), 1.0):
        return ()
    found = [
        f"may be {name} ({amount:,.8g}), {'counted' if residual * amount > 0 else 'left out'} by the venue"
        for name, amount in amounts.items()
        if amount and _near(abs(amount), abs(residual))
    ]
    if computed:
        quotient = reported / computed
        found += [f"may be {why}: reported is {x:.6g} x computed" for x, why in _RATIOS.items() if _near(quotient, x)]
    return tuple(found)


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= _MATCH * abs(wanted)


def _amounts(account: Account, report: MarginReport) -> dict[str, float]:
    """Return every named amount of the report, account-wide, that a residual is looked for among."""
    amounts: dict[str, float] = {}
    for name, line in report.lines.items():
        amounts[f"line {name} (initial)"] = line.initial
        amounts[f"line {name} (maintenance)"] = line.maintenance
    for pool in report.pools:
        if len(report.pools) == 1 or pool.reporting_asset == report.reporting_asset:
            amounts |= _pool_amounts(account, pool)
    return amounts


def _pool_amounts(account: Account, pool: PoolReport) -> dict[str, float]:
    amounts: dict[str, float] = {}
    price = {row.asset: row.price for row in pool.collateral}
    for name, line in pool.lines.items():
        amounts[f"line {name} (initial)"] = line.initial
        amounts[f"line {name} (maintenance)"] = line.maintenance
    for requirement, terms in (("initial", pool.initial_terms), ("maintenance", pool.maintenance_terms)):
        amounts |= {f"term {term.expression} ({requirement})": term.amount for term in terms}
    for row in pool.collateral:
        amounts[f"the balance of {row.asset}"] = row.value
        amounts[f"the haircut of {row.asset}"] = row.value - row.adjusted_value_maintenance
    for asset, amount in account.accrued.items():
        amounts[f"accrued interest of {asset}"] = float(amount) * price.get(asset, 0.0)
    for position in account.positions:
        # in settlement asset: exact for a pool that reports in it, the amount itself for any dollar
        amounts[f"accrued funding of {position.instrument}"] = float(position.accrued_funding)
    return amounts


def _entries(given: object, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name, figures) of a mapping by name, or of a list of rows that name themselves by `key`."""
    if isinstance(given, Mapping):
        yield from ((str(name), row) for name, row in given.items() if isinstance(row, Mapping))
    elif isinstance(given, list | tuple):
        yield from ((str(row[key]), row) for row in given if isinstance(row, Mapping) and key in row)


def _pool_rows(account: Account, report: MarginReport, reported: Mapping[str, Any]) -> Iterator[ReconciliationRow]:
    computed = {pool.pool: pool for pool in report.pools}
    for label, figures in _entries(reported.get("pools"), "pool"):
        pool = computed.get(label)
        amounts = {} if pool is None else _pool_amounts(account, pool)
        for name in _FIGURES:
            if name in figures or pool is not None:
                ours = None if pool is None else float(getattr(pool, name))
                yield _row(name, figures.get(name), ours, amounts, pool=label)


def _position_rows(
    reported: Mapping[str, Any], liquidation: tuple[LiquidationPrice, ...], contributions: tuple[Contribution, ...]
) -> Iterator[ReconciliationRow]:
    """Yield what is reported by position: margins against contributions, the liquidation price against the nearest."""
    for instrument, figures in _entries(reported.get("positions"), "instrument"):
        mine = [row for row in contributions if row.name == instrument]
        for name in ("initial_margin", "maintenance_margin"):
            if figures.get(name) is not None:
                ours = sum(float(getattr(row, name)) for row in mine) if mine else None
                yield _row(name, figures[name], ours, {}, instrument=instrument)
        if figures.get("liquidation_price") is not None:
            ours = _liquidation_of(instrument, _number(figures["liquidation_price"]), liquidation)
            yield _row("liquidation_price", figures["liquidation_price"], ours, {}, instrument=instrument)


def _liquidation_of(instrument: str, reported: float | None, prices: tuple[LiquidationPrice, ...]) -> float | None:
    """Return our liquidation price of an instrument: its mark at a flip, on the side nearer to the reported one."""
    sides = [level for row in prices for level in row.marks.get(instrument, ()) if level is not None]
    if not sides or reported is None:
        return None
    return min(sides, key=lambda level: abs(level - reported))
