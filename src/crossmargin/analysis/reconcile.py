"""What the venue reported beside what the rulebook gives. The two are never mixed: a residual is shown, not closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from crossmargin.account import Account
from crossmargin.analysis.computed_lines import Place
from crossmargin.analysis.explanation import Contribution
from crossmargin.analysis.reported_lines import Differences, line_rows, read_lines, scenario_rows
from crossmargin.analysis.residuals import ReconciliationRow, compared, named_amounts, number, pool_amounts
from crossmargin.liquidation.prices import LiquidationPrice
from crossmargin.margin.report import MarginReport, PoolReport

if TYPE_CHECKING:
    from crossmargin.analysis.computed_lines import ComputedLines
    from crossmargin.market import Snapshot

__all__ = ["ReconciliationRow", "reconcile"]

_FIGURES: Final = (
    "equity",
    "adjusted_equity_initial",
    "adjusted_equity_maintenance",
    "initial_margin",
    "maintenance_margin",
    "available_margin",
    "maintenance_headroom",
    "coverage_ratio",
)
_MARGINS: Final = {"initial_margin": "initial", "maintenance_margin": "maintenance"}
# figures into which balances and profits enter in full, and with which sign a requirement enters them
_WORTH: Final = {
    "equity": None,
    "adjusted_equity_initial": None,
    "adjusted_equity_maintenance": None,
    "available_margin": "initial",
    "maintenance_headroom": "maintenance",
}
_RATIOS: Final = frozenset({"coverage_ratio"})


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both sides: what was reported, and everything computed that it is compared with."""

    account: Account
    reported: Mapping[str, Any]
    report: MarginReport
    liquidation: tuple[LiquidationPrice, ...]
    contributions: tuple[Contribution, ...]
    lines: ComputedLines | None
    differences: Differences | None
    snapshot: Snapshot | None

    def price(self, asset: str, reporting: str) -> float | None:
        """Return what one unit of an asset is worth in another, by the snapshot."""
        prices = [1.0 if name == self._numeraire else self._quoted(name) for name in (asset, reporting)]
        return None if None in prices or not prices[1] else prices[0] / prices[1]  # type: ignore[operator]

    @property
    def _numeraire(self) -> str | None:
        return None if self.snapshot is None else self.snapshot.reporting_asset

    def _quoted(self, asset: str) -> float | None:
        quote = None if self.snapshot is None else self.snapshot.assets.get(asset)
        return None if quote is None else quote.price


def reconcile(
    account: Account,
    report: MarginReport,
    liquidation: tuple[LiquidationPrice, ...] = (),
    contributions: tuple[Contribution, ...] = (),
    *,
    lines: ComputedLines | None = None,
    snapshot: Snapshot | None = None,
) -> tuple[ReconciliationRow, ...]:
    """Return reported against computed: the account's figures, pools', lines and scenarios, balances, positions.

    Empty where nothing is reported. What `reported` may hold is in the interchange's documentation.

    Parameters
    ----------
    liquidation
        Liquidation prices of the same account, for those that the venue reports by position.
    contributions
        What each position adds to the requirements, for margins that the venue reports by position.
    lines
        The account's lines by row; reported lines and scenarios are compared with them, and left out without.
    snapshot
        The market that the report was computed in: prices and marks, for figures in other assets and by position.
    """
    reported = account.reported or {}
    if not reported:
        return ()
    differences = None if lines is None else Differences(read_lines(reported.get("lines"), lines), lines)
    sides = _Sides(account, reported, report, liquidation, contributions, lines, differences, snapshot)
    return tuple(
        chain(_account_rows(sides), _pool_rows(sides), _line_rows(sides), _balance_rows(sides), _position_rows(sides))
    )


def _account_rows(sides: _Sides) -> Iterator[ReconciliationRow]:
    if not any(sides.reported.get(name) is not None for name in _FIGURES) and sides.reported.get("pools"):
        return  # reported by pool alone
    amounts = named_amounts(sides.account, sides.report)
    stated, own = sides.reported.get("asset"), sides.report.reporting_asset
    price = 1.0 if stated in {None, own} else sides.price(str(stated), own)
    for name in _FIGURES:
        row = ReconciliationRow(
            name=name, asset=None if stated in {None, own} else str(stated), reported=number(sides.reported.get(name)),
            computed=getattr(sides.report, name),
        )  # fmt: skip
        yield _figure(sides, row, amounts, Place(), own, price)


def _pool_rows(sides: _Sides) -> Iterator[ReconciliationRow]:
    computed = {pool.pool: pool for pool in sides.report.pools}
    for label, figures in _entries(sides.reported.get("pools"), "pool"):
        pool = computed.get(label)
        amounts = {} if pool is None else pool_amounts(sides.account, pool)
        own = "" if pool is None else pool.reporting_asset
        stated = figures.get("asset")
        price = 1.0 if pool is None or stated in {None, own} else sides.price(str(stated), own)
        unknown = () if pool is not None else (f"the rulebook makes other pools: {', '.join(computed)}",)
        for name in _FIGURES:
            if name in figures or pool is not None:
                row = ReconciliationRow(
                    name=name, pool=label, suggestions=unknown, asset=None if stated in {None, own} else str(stated),
                    reported=number(figures.get(name)), computed=None if pool is None else float(getattr(pool, name)),
                )  # fmt: skip
                yield _figure(sides, row, amounts, Place(pool=label), own, price, pool)


def _figure(
    sides: _Sides,
    row: ReconciliationRow,
    amounts: Mapping[str, float],
    place: Place,
    own: str,
    price: float | None,
    pool: PoolReport | None = None,
) -> ReconciliationRow:
    """Return a figure with its residual; `price` turns the asset that it is stated in into the computed one's."""
    if row.reported is None or row.name in _RATIOS or row.computed is None:
        return compared(row)
    if price is None:
        unknown = f"the snapshot has no price of {row.asset}"
        return replace(row, computed=None, suggestions=(unknown,))
    parts: dict[str, float] = {}
    requirement = _MARGINS.get(row.name) or _WORTH.get(row.name)
    sign = 1.0 if row.name in _MARGINS else -1.0
    if requirement is not None and sides.differences is not None:
        parts |= {k: sign * v for k, v in sides.differences.into_requirement(requirement, place).items()}
        amounts = {**amounts, **sides.differences.missing(requirement, place)}
    if row.name in _WORTH:
        parts |= _worth(sides, own, pool)
    amounts = {name: amount / price for name, amount in amounts.items()}
    return compared(replace(row, computed=row.computed / price), amounts, {k: v / price for k, v in parts.items()})


def _worth(sides: _Sides, own: str, pool: PoolReport | None) -> dict[str, float]:
    """Return what balances and profits that differ are worth, in a pool or in the whole account."""
    inside = None if pool is None else {row.asset for row in pool.collateral} | {pool.reporting_asset}
    found: dict[str, float] = {}
    for row in chain(_balance_rows(sides), _position_rows(sides)):
        asset = row.asset or ""
        counts = row.name in {"balance", "unrealized_pnl"} and row.residual and (inside is None or asset in inside)
        price = sides.price(asset, own) if counts else None
        if counts and price is not None and row.residual is not None:
            found[f"{row.name.replace('_', ' ')} of {row.instrument or asset}"] = row.residual * price
    return found


def _line_rows(sides: _Sides) -> Iterator[ReconciliationRow]:
    if sides.lines is not None and sides.differences is not None:
        yield from line_rows(sides.differences)
        yield from scenario_rows(sides.reported.get("scenarios"), sides.lines)


def _balance_rows(sides: _Sides) -> Iterator[ReconciliationRow]:
    """Yield wallet balances beside those of the account: they are given, not computed, and must agree."""
    given = sides.reported.get("balances")
    for asset, amount in given.items() if isinstance(given, Mapping) else ():
        theirs, ours = number(amount), float(sides.account.balances.get(asset, 0))
        if theirs or ours:
            yield compared(ReconciliationRow(name="balance", asset=str(asset), reported=theirs, computed=ours))


def _position_rows(sides: _Sides) -> Iterator[ReconciliationRow]:
    """Yield what is reported by position: margins against contributions, the liquidation price against the nearest."""
    for instrument, figures in _entries(sides.reported.get("positions"), "instrument"):
        mine = [row for row in sides.contributions if row.name == instrument]
        for name in _MARGINS:
            if figures.get(name) is not None:
                ours = sum(float(getattr(row, name)) for row in mine) if mine else None
                yield _of_position(name, instrument, figures[name], ours)
        yield from _quoted_rows(sides, instrument, figures)
        if figures.get("liquidation_price") is not None:
            ours = _liquidation_of(instrument, number(figures["liquidation_price"]), sides.liquidation)
            yield _of_position("liquidation_price", instrument, figures["liquidation_price"], ours)


def _quoted_rows(sides: _Sides, instrument: str, figures: Mapping[str, Any]) -> Iterator[ReconciliationRow]:
    """Yield a position's mark beside the snapshot's, and its profit at it, where a snapshot is at hand."""
    listing = None if sides.snapshot is None else sides.snapshot.listings.get(instrument)
    if listing is None:
        return
    if figures.get("mark_price") is not None:
        yield _of_position("mark_price", instrument, figures["mark_price"], listing.mark_price, listing.quote_asset)
    profit = None if sides.lines is None else sides.lines.profit(instrument)
    if figures.get("unrealized_pnl") is not None and profit is not None:
        settled = listing.settlement_asset
        price = sides.price(settled, sides.report.reporting_asset)
        ours = None if price is None else profit / price
        yield _of_position("unrealized_pnl", instrument, figures["unrealized_pnl"], ours, settled)


def _of_position(
    name: str, instrument: str, reported: object, computed: float | None, asset: str | None = None
) -> ReconciliationRow:
    row = ReconciliationRow(name=name, instrument=instrument, asset=asset, reported=number(reported), computed=computed)
    return compared(row)


def _entries(given: object, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name, figures) of a mapping by name, or of a list of rows that name themselves by `key`."""
    if isinstance(given, Mapping):
        yield from ((str(name), row) for name, row in given.items() if isinstance(row, Mapping))
    elif isinstance(given, list | tuple):
        yield from ((str(row[key]), row) for row in given if isinstance(row, Mapping) and key in row)


def _liquidation_of(instrument: str, reported: float | None, prices: tuple[LiquidationPrice, ...]) -> float | None:
    """Return our liquidation price of an instrument: its mark at a flip, on the side nearer to the reported one."""
    sides = [level for row in prices for level in row.marks.get(instrument, ()) if level is not None]
    if not sides or reported is None:
        return None
    return min(sides, key=lambda level: abs(level - reported))
