"""Recorded lives of a venue's accounts: payments, trades and liquidations as three Parquet tables, in order of time.

The tables are those of Hyperliquid's public `historical_data` of 2023, with a whole number for each wallet. Numbers
come as float64; each is taken as the shortest decimal that it prints as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeAlias

from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.messages import refuse
from crossmargin.units import exact

__all__ = ["Entry", "Liquidated", "Paid", "Traded", "read_recorded"]

_COLUMNS: Final = {
    "ledger": {"delta_usd": "number"},
    "trades": {"coin": "text", "side": "text", "px": "number", "sz": "number"},
    "liquidations": {"liquidated_ntl_pos": "number", "liquidated_account_value": "number", "leverage_type": "text"},
}
_SIDES: Final = {"Bid": 1, "Ask": -1}
_CROSS: Final = {"Cross": True, "Isolated": False}


@dataclass(frozen=True, slots=True)
class Paid:
    """Money that came (+) or went (-)."""

    as_of: datetime
    account: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Traded:
    """One trade: signed contracts (+ bought) of a coin's perpetual, and their price."""

    as_of: datetime
    account: str
    instrument: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Liquidated:
    """An account was liquidated by the trades of this second; notional and account value as the venue saw them."""

    as_of: datetime
    account: str
    notional: Decimal
    account_value: Decimal
    cross: bool


Entry: TypeAlias = Paid | Traded | Liquidated


def read_recorded(folder: str | Path, name: str = "hyperliquid_2023") -> tuple[Entry, ...]:
    """Return everything recorded in `NAME_ledger`, `NAME_trades` and `NAME_liquidations`.parquet, in order of time.

    Within a second payments come before trades and trades before liquidations, each in the order of its table.

    Raises
    ------
    InputError
        MALFORMED_INPUT where a table is absent or has other columns, or polars is not installed; INVALID_QUANTITY and
        INVALID_PRICE for a number that is none, with its table and row.
    """
    place = Path(folder)
    entries: list[Entry] = []
    for table, made in _MADE.items():
        entries += [made(row, at) for at, row in _rows(place / f"{name}_{table}.parquet", _COLUMNS[table])]
    return tuple(sorted(entries, key=lambda entry: entry.as_of))  # stable: tables stay in this order within a second


def _rows(path: Path, columns: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a table, each with its place."""
    try:
        import polars as pl
    except ImportError as error:
        message = "Parquet needs the extra `frames`: pip install 'crossmargin[frames]'"
        raise InputError(FailureReason.MALFORMED_INPUT, message) from error
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        refuse(f"this table cannot be read ({error})", str(path))
    kinds = {"ts": "time", "account_id": "whole", **columns}
    missing = [column for column in kinds if column not in frame.columns]
    if missing:
        refuse(f"expected columns {[*kinds]}, {missing} are missing", str(path))
    for number, row in enumerate(frame.select([*kinds]).iter_rows(named=True), start=1):
        place = f"{path.name}: row {number}"
        for column, kind in kinds.items():
            if not isinstance(row[column], _KINDS[kind]):
                refuse(f"expected a {kind} in column {column}, found {row[column]!r}", place)
        yield place, row


_KINDS: Final = {"number": (int, float), "text": (str,), "time": (datetime,), "whole": (int,)}


def _who(row: dict[str, Any]) -> tuple[datetime, str]:
    """Return when and who; times without a zone are UTC."""
    at: datetime = row["ts"]
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC), str(row["account_id"])


def _paid(row: dict[str, Any], place: str) -> Paid:
    amount = _number(row, "delta_usd", place)
    if not amount:
        raise InputError(FailureReason.INVALID_QUANTITY, "expected an amount other than 0", path=place)
    return Paid(*_who(row), amount)


def _traded(row: dict[str, Any], place: str) -> Traded:
    if row["side"] not in _SIDES:
        refuse(f"expected side Bid or Ask, found {row['side']!r}", place)
    contracts, price = _number(row, "sz", place), _number(row, "px", place)
    for number, reason in ((contracts, FailureReason.INVALID_QUANTITY), (price, FailureReason.INVALID_PRICE)):
        if number <= 0:
            raise InputError(reason, f"expected a number above 0, found {number}", path=place)
    return Traded(*_who(row), row["coin"], contracts * _SIDES[row["side"]], price)


def _liquidated(row: dict[str, Any], place: str) -> Liquidated:
    if row["leverage_type"] not in _CROSS:
        refuse(f"expected leverage_type Cross or Isolated, found {row['leverage_type']!r}", place)
    notional = _number(row, "liquidated_ntl_pos", place)
    if notional <= 0:
        raise InputError(FailureReason.INVALID_QUANTITY, f"expected a notional above 0, found {notional}", path=place)
    return Liquidated(
        *_who(row), notional, _number(row, "liquidated_account_value", place), _CROSS[row["leverage_type"]]
    )


def _number(row: dict[str, Any], column: str, place: str) -> Decimal:
    if not isfinite(row[column]):
        message = f"expected a finite number in column {column}, found {row[column]}"
        raise InputError(FailureReason.INVALID_QUANTITY, message, path=place)
    return exact(float(row[column]))


_MADE: Final[dict[str, Callable[[dict[str, Any], str], Entry]]] = {
    "ledger": _paid,
    "trades": _traded,
    "liquidations": _liquidated,
}
