"""Binance's notional brackets: rows of upper bound, rate, and the sum that the venue subtracts.

The rulebook's progressive table states no such sum; at a row's bound and inside it both must say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Rulebooks, Steps
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "binance-usdm@2024-01-01"
_COLUMNS: Final = 3
_STABLE: Final = "USDT"


def names(document: Fields) -> list[str]:
    """Return one case for each row."""
    return [f"rows[{index}]" for index in range(len(document.items("rows")))]


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one row: three positions, at the row's floor, inside and at its bound, each in a symbol of its own."""
    rows = _rows(document)
    floor = rows[index - 1][0] if index else 0.0
    bound, rate, subtracted = rows[index]
    if not floor < bound:
        refuse("bounds that rise", bound, f"rows[{index}][0]")
    notionals = {"floor": floor, "inside": (floor + bound) / 2.0, "bound": bound}
    symbols = {place: f"BTCUSDT-{place}" for place in notionals}
    table = [[row[0], row[1]] for row in rows]
    table[-1][0] = "inf"  # the last row has no bound in the rulebook
    changes: dict[str, Any] = {
        "charges.perpetuals.brackets": {"by": "instrument", **dict.fromkeys(symbols.values(), table)}
    }
    name = names(document)[index]
    held = {symbols[place]: notional for place, notional in notionals.items() if notional}
    return Case(
        name=name,
        account=Account(
            id=name,
            positions=tuple(
                Position(instrument=symbol, quantity=exact(notional), entry_price=exact(1.0))
                for symbol, notional in held.items()
            ),
        ),
        snapshot=Snapshot(
            as_of=AS_OF, reporting_asset=_STABLE, assets={}, listings={symbol: _listing(symbol) for symbol in held}
        ),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=f"rows[{index}]"),
        figures=tuple(
            Figure(f"maintenance at the {place}", notional * rate - subtracted, partial(_charged, symbols[place]))
            for place, notional in notionals.items()
            if notional
        ),
        changes=changes,
    )


def _rows(document: Fields) -> list[list[Any]]:
    out = []
    for index, row in enumerate(document.items("rows")):
        if not isinstance(row, list) or len(row) != _COLUMNS:
            refuse("an upper bound, a rate and a sum to subtract", row, f"rows[{index}]")
        out.append([as_number(cell, f"rows[{index}][{column}]") for column, cell in enumerate(row)])
    return out


def _listing(symbol: str) -> Listing:
    """Return a perpetual of price 1, so that contracts are notional."""
    return Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        underlying="BTC",
        quote_asset=_STABLE,
        settlement_asset=_STABLE,
        mark_price=1.0,
        index_price=1.0,
    )


def _charged(symbol: str, outcome: Outcome) -> float:
    """Return the maintenance charge of one instrument's leg."""
    resolved = outcome.book.resolved
    column = outcome.book.evaluation.line("perpetuals", "maintenance")
    symbols = resolved.contracts.symbol[resolved.legs.contract]
    names_of = resolved.names.symbols
    return sum(float(column[leg]) for leg, code in enumerate(symbols.tolist()) if names_of[code] == symbol)


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the table's bounds and rates stand: each case has all; the sum to subtract is what is compared."""
    del index
    out: dict[str, Steps] = {}
    for row, _ in enumerate(document.items("rows")):
        out |= {f"rows[{row}].bound": ("rows", row, 0), f"rows[{row}].rate": ("rows", row, 1)}
    return out


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds rows of three numbers and the formula that subtracts the third."""
    rows = document.get("rows")
    listed = rows if isinstance(rows, list) else []
    shaped = any(isinstance(row, list) and len(row) == _COLUMNS for row in listed)
    return shaped and "cum" in str(document.get("formula", ""))


FAMILY: Final = Family("binance_usdm", "brackets", recognises, names, pose, parameters)
