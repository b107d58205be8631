"""What may explain a residual: a line that differs, an amount of the report, or a ratio that figures often stand in."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final

import msgspec

from crossmargin.account import Account
from crossmargin.margin.report import MarginReport, PoolReport

_MATCH: Final = 1e-6  # relative: how near an amount must come to a residual to be named
_ROUNDING: Final = 1e-9
# ratios that reported and computed figures often stand in, and what they would mean
_RATIOS: Final = {
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
    """One figure twice. None is "not reported" (or not computed), 0 is zero. In `asset`; None: of the report or pool.

    `residual` is reported - computed, `relative` that over the larger of both. `pool`, `bucket` and `instrument` say
    where the figure stands, `lines` which lines of the rulebook it is compared with (their sum), `scenario` which
    scenario of theirs. `by_line` is what each figure that differs carries into this residual, and `unexplained` what
    is left of it then. `suggestions` name what has that amount; nothing is adjusted by them.
    """

    name: str
    pool: str | None = None
    bucket: str | None = None
    instrument: str | None = None
    asset: str | None = None
    requirement: str | None = None
    lines: tuple[str, ...] = ()
    scenario: str | None = None
    reported: float | None = None
    computed: float | None = None
    residual: float | None = None
    relative: float | None = None
    by_line: Mapping[str, float] = {}
    unexplained: float | None = None
    suggestions: tuple[str, ...] = ()


def compared(
    row: ReconciliationRow, amounts: Mapping[str, float] | None = None, by_line: Mapping[str, float] | None = None
) -> ReconciliationRow:
    """Return a row with its residual and what may explain it; unchanged where one of its figures is missing.

    Parameters
    ----------
    amounts
        What the residual is looked for among, by name.
    by_line
        What figures that differ carry into it.
    """
    theirs, ours = row.reported, row.computed
    if theirs is None or ours is None or not (isfinite(theirs) and isfinite(ours)):
        return row
    residual = theirs - ours
    largest = max(abs(theirs), abs(ours))
    known = {name: part for name, part in (by_line or {}).items() if not is_rounding(part, largest)}
    if is_rounding(residual, largest):
        known = {}
    rest = residual - sum(known.values())
    named = () if is_rounding(rest, largest) else _suggestions(rest, theirs, ours, amounts or {}, alone=not known)
    return msgspec.structs.replace(
        row,
        residual=residual,
        relative=residual / largest if largest else 0.0,
        by_line=dict(sorted(known.items(), key=lambda item: -abs(item[1]))),
        unexplained=rest if known else None,
        suggestions=(*row.suggestions, *named),
    )


def is_rounding(amount: float, largest: float) -> bool:
    """Return whether an amount is what rounding leaves of figures as large as that."""
    return abs(amount) <= _ROUNDING * max(largest, 1.0)


def number(given: object) -> float | None:
    """Return a reported figure; what is no number counts as not reported."""
    if given is None or isinstance(given, bool):
        return None
    try:
        return float(str(given))
    except ValueError:
        return None


def _suggestions(
    rest: float, reported: float, computed: float, amounts: Mapping[str, float], *, alone: bool
) -> tuple[str, ...]:
    """Return what has the amount that is left, or what the two figures stand in the ratio of."""
    found = [
        f"may be {name} ({amount:,.8g}), {'counted' if rest * amount > 0 else 'left out'} by the venue"
        for name, amount in amounts.items()
        if amount and _near(abs(amount), abs(rest))
    ]
    if computed and alone:
        quotient = reported / computed
        found += [f"may be {why}: reported is {x:.6g} x computed" for x, why in _RATIOS.items() if _near(quotient, x)]
    return tuple(found)


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= _MATCH * abs(wanted)


def named_amounts(account: Account, report: MarginReport) -> dict[str, float]:
    """Return every named amount of the report, account-wide, that a residual is looked for among."""
    amounts: dict[str, float] = {}
    for name, line in report.lines.items():
        amounts[f"line {name} (initial)"] = line.initial
        amounts[f"line {name} (maintenance)"] = line.maintenance
    for pool in report.pools:
        if len(report.pools) == 1 or pool.reporting_asset == report.reporting_asset:
            amounts |= pool_amounts(account, pool)
    return amounts


def pool_amounts(account: Account, pool: PoolReport) -> dict[str, float]:
    """Return every named amount of one pool."""
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
