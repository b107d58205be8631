"""OKX's documented response of its position builder: risk units of one perpetual each, and what is borrowed.

The response states each unit's delta and grid of profit and loss, no price: a unit's index is 1 USD, so its delta
is its quantity, and its mark follows from one cell of the grid. All else is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Read, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "okx-portfolio@2025-01-15"
_STABLE: Final = "USDT"
_CELL: Final = 1e-9  # within which two moves are one

# entry of the rulebook, by bucket: the unit's key (a shock's sign is that of the loss)
TABLES: Final[Mapping[str, str]] = {
    "parameters.move": "mr1_shock",
    "charges.mr4_perpetual.rate": "mr4_rate",
    "charges.mr7.cost": "mr7_rate",
}


def names(document: Fields) -> list[str]:
    """Return the units, then the account."""
    found = [f"units[{i}] {u.text('unit', '')}".strip() for i, u in enumerate(document.objects("units"))]
    return [*found, "account"] if "account" in document else found


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one unit, or the account (after the units), on the whole response's account and market."""
    units = document.objects("units")
    total = document.object("account")
    changes = _changes(units)
    name = names(document)[index]
    figures = _unit_figures(units[index]) if index < len(units) else _account_figures(total)
    return Case(
        name=name,
        account=_account(units, total, name),
        snapshot=_snapshot(units),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source="units"),
        figures=tuple(figures),
        changes=changes,
    )


def _symbol(unit: Fields) -> str:
    return f"{unit.text('unit')}-USDT-SWAP"


def _account(units: list[Fields], total: Fields, name: str) -> Account:
    positions = [
        Position(instrument=_symbol(unit), quantity=exact(unit.number("delta")), entry_price=exact(_mark(unit)))
        for unit in units
        if unit.number("delta")
    ]
    worth = total.number("eq", 0.0)
    return Account(id=name, balances={_STABLE: exact(worth)} if worth else {}, positions=tuple(positions))


def _snapshot(units: list[Fields]) -> Snapshot:
    listings = {}
    for unit in units:
        symbol = _symbol(unit)
        listings[symbol] = Listing(
            symbol=symbol,
            kind=InstrumentKind.PERPETUAL,
            underlying=unit.text("unit"),
            quote_asset=_STABLE,
            settlement_asset=_STABLE,
            mark_price=_mark(unit),
            index_price=1.0,
        )
    assets = {_STABLE: AssetQuote(price=1.0), **{unit.text("unit"): AssetQuote(price=1.0) for unit in units}}
    return Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings=listings)


def _mark(unit: Fields) -> float:
    """Return the price that the grid's widest cell implies, in units of the index."""
    cells = _cells(unit)
    if not cells or not unit.number("delta"):
        return 1.0
    move = max(cells, key=abs)
    mark = cells[move] / (move * unit.number("delta"))
    return mark if mark > 0 else refuse("a grid that falls where the delta falls", cells[move], unit.at("grid"))


def _cells(unit: Fields) -> dict[float, float]:
    grid = unit.object("grid")
    out = {}
    for key in grid:
        try:
            move = float(key)
        except ValueError:
            refuse("moves as keys", key, grid.place)
        if move:
            out[move] = grid.number(key)
    return out


def _changes(units: list[Fields]) -> dict[str, object]:
    """Return the entries of the rulebook that the units state, by bucket."""
    out: dict[str, Any] = {}
    for entry, key in TABLES.items():
        if all(key in unit for unit in units):
            out[entry] = {"by": "bucket", **{unit.text("unit"): abs(unit.number(key)) for unit in units}}
    if "parameters.move" in out:
        within = {unit.text("unit"): _within(unit) for unit in units}
        for place, entry in enumerate(("parameters.inner", "parameters.middle")):
            out[entry] = {"by": "bucket", **{name: moves[place] for name, moves in within.items()}}
    if all("mr6_shock" in unit for unit in units):
        widths = {"by": "bucket", **{unit.text("unit"): abs(unit.number("mr6_shock")) for unit in units}}
        out["scenarios.extreme.0.spot"] = [-1, 1]
        out["scenarios.extreme.0.scale"] = widths
    return out


def _within(unit: Fields) -> tuple[float, float]:
    """Return a unit's two smaller moves: of its grid; a grid that states fewer has thirds."""
    widest = abs(unit.number("mr1_shock"))
    stated = sorted({abs(move) for move in _cells(unit)} - {widest})
    return (stated[0], stated[1]) if len(stated) > 1 else (widest / 3, 2 * widest / 3)


def _unit_figures(unit: Fields) -> list[Figure]:
    bucket = unit.text("unit")
    out = [Figure(name, unit.number(name), partial(read, bucket)) for name, read in _UNIT.items() if name in unit]
    for move, pnl in _cells(unit).items():
        out.append(Figure(f"grid[{move:g}]", pnl, partial(_cell, bucket, "mr1", move)))
    if "mr6_pnl" in unit and "mr6_shock" in unit:
        move = unit.number("mr6_shock")
        out.append(Figure("mr6_pnl", unit.number("mr6_pnl"), partial(_cell, bucket, "mr6", move)))
    return out


def _account_figures(total: Fields) -> list[Figure]:
    return [Figure(name, total.number(name), read) for name, read in _ACCOUNT.items() if name in total]


def _cell(bucket: str, line: str, move: float, outcome: Outcome) -> float:
    """Return the P&L of a unit at a move, before its weight, on today's vol."""
    detail = outcome.detail(line)
    resolved = outcome.book.resolved
    level = resolved.levels["bucket"]
    found = False
    for row, full in enumerate(detail.frame.rows.tolist()):
        contract = int(resolved.legs.contract[level.first_leg[full]])
        if resolved.names.buckets[int(resolved.contracts.bucket[contract])] != bucket:
            continue
        found = True
        moves, vols = detail.cells.spot[contract], detail.cells.axes.vol
        near = [s for s, vol in enumerate(vols) if vol == "same" and abs(float(moves[s]) - move) < _CELL]
        if near:
            return float(detail.pnl[row, near[0]] / detail.cells.weight[contract, near[0]])
    return float("nan") if found else 0.0  # a unit without a position gains nothing; else no scenario has this move


def _on(line: str, requirement: str, *, times_factor: bool = False) -> Callable[[str, Outcome], float]:
    def read(bucket: str, outcome: Outcome) -> float:
        amount = outcome.on_level(line, "bucket", bucket, requirement)
        return amount * _factor(outcome) if times_factor else amount

    return read


def _factor(outcome: Outcome) -> float:
    """Return what the initial requirement multiplies the units by, from the requirement itself."""
    terms = [term.amount for term in outcome.pool.initial_terms if "unit" in term.expression]
    units = outcome.report.lines["unit"].initial
    return terms[0] / units if units else float("nan")


_UNIT: Final = {
    "mr1": _on("mr1", "initial"),
    "mr4": _on("mr4_perpetual", "initial"),
    "mr6": _on("mr6", "initial"),
    "mr7": _on("mr7", "initial"),
    "mmr": _on("unit", "maintenance"),
    "imr": _on("unit", "initial", times_factor=True),
}
_ACCOUNT: Final[Mapping[str, Read]] = {
    "eq": lambda outcome: outcome.report.equity,
    "borrowMmr": lambda outcome: outcome.report.lines["mr8"].maintenance,
    "borrowImr": lambda outcome: outcome.report.lines["mr8"].initial,
    "derivMmr": lambda outcome: outcome.report.lines["unit"].maintenance,
    "totalMmr": lambda outcome: outcome.report.maintenance_margin,
    "totalImr": lambda outcome: outcome.report.initial_margin,
}


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where a unit's parameters stand; the account's row states none of its own."""
    units = document.objects("units")
    if index >= len(units):
        return {}
    unit = units[index]
    keys = [key for key in (*TABLES.values(), "mr6_shock") if key in unit]
    return {f"{unit.text('unit')}.{key}": ("units", index, key) for key in keys}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds risk units with a grid and the terms of the unit's margin."""
    units = document.get("units")
    listed = units if isinstance(units, list) else []
    return any(has_keys(unit, "unit", "delta", "mr1", "mr1_shock") for unit in listed)


FAMILY: Final = Family("okx_portfolio", "position_builder", recognises, names, pose, parameters)
