"""The interchange as Parquet tables, for large books; needs the extra `frames`.

Accounts are a directory of four tables, a snapshot of two and a small meta.json. Columns carry the names of
the JSON keys. Decimals are written as strings, so that they stay exact; numeric columns are read too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from crossmargin.account import Account
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.sources.interchange import (
    LoadedAccounts,
    SnapshotDocument,
    build_snapshot,
    check_finite,
    check_schema_version,
    decode_account,
)
from crossmargin.sources.messages import refuse, suggest
from crossmargin.units import SCHEMA_VERSION

if TYPE_CHECKING:
    from types import ModuleType

    from crossmargin.market import Snapshot

_Row: TypeAlias = dict[str, Any]

ACCOUNT_TABLES: Final = ("accounts.parquet", "balances.parquet", "positions.parquet", "orders.parquet")
SNAPSHOT_TABLES: Final = ("instruments.parquet", "assets.parquet", "meta.json")

# Column -> type. Texts that hold JSON (inputs, reported, isolated_collateral) keep a table flat.
_ACCOUNTS: Final = dict.fromkeys(("id", "margin_mode", "class", "being_liquidated_since", "inputs", "reported"), "text")
_BALANCES: Final = dict.fromkeys(("account", "asset", "amount", "accrued"), "text")
_POSITIONS: Final = dict.fromkeys(
    (
        *("account", "instrument", "quantity", "entry_price", "side", "pool", "margin_mode"),
        *("isolated_collateral", "leverage", "accrued_funding"),
    ),
    "text",
)
_ORDERS: Final = {
    **dict.fromkeys(("account", "instrument", "quantity", "limit_price"), "text"),
    "reduce_only": "flag",
}
_CONFIDENCE: Final = {f"confidence.{feed}": "number" for feed in ("spot", "forward", "vol", "rate", "perpetual", "own")}
_ASSETS: Final = {
    "asset": "text",
    "price": "number",
    "stable_price": "number",
    "twap": "number",
    "pegged_to": "text",
    "wraps": "text",
    "deposits": "number",
    "borrows": "number",
    "observed_at": "text",
    "confidence": "number",
}
_INSTRUMENTS: Final = {
    **dict.fromkeys(("symbol", "kind", "underlying", "quote_asset", "settlement_asset", "contract"), "text"),
    "multiplier": "number",
    "expiry": "text",
    "strike": "number",
    "option_type": "text",
    **dict.fromkeys(("mark_price", "index_price", "forward_price", "fixed_forward", "rate", "mark_iv"), "number"),
    **dict.fromkeys(("bid", "ask", "funding_rate", "open_interest", "skew", "delivery_price"), "number"),
    **dict.fromkeys(("volume", "stable_price", "twap", "max_price"), "number"),
    "observed_at": "text",
    "confidence": "number",
    **_CONFIDENCE,
}
_JSON_COLUMNS: Final = ("inputs", "reported", "isolated_collateral")


def _polars() -> ModuleType:
    """Return polars, or say in one line how to get it."""
    try:
        import polars as pl
    except ImportError as error:
        message = "Parquet needs the extra `frames`: pip install 'crossmargin[frames]'"
        raise InputError(FailureReason.MALFORMED_INPUT, message) from error
    return pl


def write_accounts(accounts: Iterable[Account], folder: Path) -> None:
    """Write the four tables of these accounts into `folder`, which is made when absent."""
    tables: dict[str, list[_Row]] = {name: [] for name in ACCOUNT_TABLES}
    for account in accounts:
        row = msgspec.to_builtins(account, str_keys=True)
        balances, accrued = row.pop("balances", {}), row.pop("accrued", {})
        tables["balances.parquet"] += [
            {
                "account": account.id,
                "asset": asset,
                "amount": balances.get(asset),
                "accrued": accrued.get(asset),
            }
            for asset in {**balances, **accrued}
        ]
        for name in ("positions", "orders"):
            tables[f"{name}.parquet"] += [{"account": account.id, **_packed(item)} for item in row.pop(name, ())]
        tables["accounts.parquet"].append(_packed(row))
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in zip(ACCOUNT_TABLES, (_ACCOUNTS, _BALANCES, _POSITIONS, _ORDERS), strict=True):
        _write(tables[name], columns, folder / name)


def _packed(row: _Row) -> _Row:
    return {
        key: msgspec.json.encode(value).decode() if key in _JSON_COLUMNS and value is not None else value
        for key, value in row.items()
    }


def read_accounts(folder: Path) -> LoadedAccounts:
    """Return the accounts of a directory of tables, in the order of accounts.parquet.

    A missing table of balances, positions or orders is an empty one. An account whose rows do not fit becomes
    a failure; rows of an account that accounts.parquet does not list are refused: they would be left out.
    """
    owners = _read(folder / ACCOUNT_TABLES[0], _ACCOUNTS)
    known = {row.get("id") for row in owners}
    parts: dict[str, dict[str, list[_Row]]] = {}
    tables = (("balances", _BALANCES), ("positions", _POSITIONS), ("orders", _ORDERS))
    for name, columns in tables:
        parts[name] = {}
        place = folder / f"{name}.parquet"
        for row in _read(place, columns) if place.is_file() else ():
            owner = row.pop("account", None)
            if owner not in known:
                refuse(f"account {owner!r} is not in accounts.parquet; add it there", str(place))
            parts[name].setdefault(owner, []).append(row)
    return LoadedAccounts(tuple(_account(row, index, parts, folder) for index, row in enumerate(owners)))


def _account(row: _Row, index: int, parts: Mapping[str, Mapping[str, list[_Row]]], folder: Path) -> Account | Failure:
    own = {name: rows.get(row.get("id", ""), []) for name, rows in parts.items()}
    try:
        fields = {
            **_unpacked(row, folder),
            "balances": _amounts(own["balances"], "amount", folder),
            "accrued": _amounts(own["balances"], "accrued", folder),
            "positions": [_unpacked(item, folder) for item in own["positions"]],
            "orders": own["orders"],
        }
        return decode_account(msgspec.json.encode(fields), folder.name, f"accounts[{index}]")
    except InputError as error:
        place = f"{error.path}: " if error.path else ""
        owner = error.account or row.get("id") or f"accounts[{index}]"
        return Failure(error.reason, f"{place}{error.message}", str(owner), error.instrument)


def _amounts(rows: Sequence[_Row], column: str, folder: Path) -> _Row:
    found: _Row = {}
    for row in rows:
        asset = row.get("asset")
        if asset is None or (column in row and asset in found):
            refuse(f"expected one row for each asset, found {asset!r} again or none", f"{folder.name}: balances")
        if column in row:
            found[asset] = row[column]
    return found


def _unpacked(row: _Row, folder: Path) -> _Row:
    unpacked = dict(row)
    for column in _JSON_COLUMNS:
        if column in row:
            try:
                unpacked[column] = msgspec.Raw(msgspec.json.encode(msgspec.json.decode(row[column])))
            except (msgspec.DecodeError, TypeError, RecursionError):
                refuse(f"expected JSON text in column {column}, found {str(row[column])[:60]!r}", folder.name)
    return unpacked


def write_snapshot(snapshot: Snapshot, folder: Path) -> None:
    """Write the two tables and meta.json of this snapshot into `folder`, which is made when absent."""
    check_finite(snapshot)
    folder.mkdir(parents=True, exist_ok=True)
    assets = [{"asset": name, **_flat(quote)} for name, quote in snapshot.assets.items()]
    _write([_flat(listing) for listing in snapshot.listings.values()], _INSTRUMENTS, folder / SNAPSHOT_TABLES[0])
    _write(assets, _ASSETS, folder / SNAPSHOT_TABLES[1])
    meta = {
        "schema_version": SCHEMA_VERSION,
        "as_of": snapshot.as_of,
        "reporting_asset": snapshot.reporting_asset,
        "calibration": snapshot.calibration,
    }
    (folder / SNAPSHOT_TABLES[2]).write_bytes(msgspec.json.encode(meta))


def read_snapshot(folder: Path) -> Snapshot:
    """Return the snapshot of a directory with instruments.parquet, assets.parquet and meta.json."""
    instruments = [_nested(row) for row in _read(folder / SNAPSHOT_TABLES[0], _INSTRUMENTS)]
    assets: dict[Any, _Row] = {}
    for row in _read(folder / SNAPSHOT_TABLES[1], _ASSETS):
        name = row.pop("asset", None)
        if name is None or name in assets:
            refuse(
                f"expected one row for each asset, found {name!r} again or none",
                str(folder / SNAPSHOT_TABLES[1]),
            )
        assets[name] = row
    try:
        meta = msgspec.json.decode((folder / SNAPSHOT_TABLES[2]).read_bytes(), type=dict[str, Any])
        document = msgspec.convert({**meta, "assets": assets, "instruments": instruments}, SnapshotDocument)
    except OSError as error:
        refuse(f"meta.json cannot be read ({error.strerror})", str(folder))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        refuse(f"the tables do not fit the format: {error}", str(folder))
    check_schema_version(document.schema_version, str(folder))
    return build_snapshot(document, folder.name)


def _nested(row: _Row) -> _Row:
    feeds = {key.partition(".")[2]: row.pop(key) for key in _CONFIDENCE if key in row}
    return {**row, "confidence": feeds} if feeds else row


def write_report_parquet(rows: Iterable[msgspec.Struct], path: Path) -> None:
    """Write report rows as one flat table: a nested value becomes a column named by its path.

    ``row.lines["scan"].initial`` stands in column ``lines.scan.initial``; a list becomes its JSON text; a
    column that some rows lack is null there. An infinite coverage ratio stays infinite.
    """
    flat = [_flat(row) for row in rows]
    columns: dict[str, None] = {key: None for row in flat for key in row}
    polars = _polars()
    frame = polars.DataFrame({column: _one_type([row.get(column) for row in flat]) for column in columns}, strict=True)
    _save(frame, path)


def _one_type(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return values


def _flat(value: object, prefix: str = "") -> _Row:
    """Return a struct or mapping as one level of columns, numbers as they are."""
    fields: Mapping[str, Any]
    if isinstance(value, msgspec.Struct):
        encoded = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        fields = {name: getattr(value, field) for name, field in encoded}
    elif isinstance(value, Mapping):
        fields = value
    elif is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclass_fields(value)}
    else:
        return {prefix: _cell(value)}
    row: _Row = {}
    for name, member in fields.items():
        row |= _flat(member, f"{prefix}.{name}" if prefix else str(name))
    return row


def _cell(value: object) -> object:
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
        return value
    plain = msgspec.to_builtins(value)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _write(rows: Sequence[_Row], columns: Mapping[str, str], path: Path) -> None:
    polars = _polars()
    kinds = {"text": polars.String, "number": polars.Float64, "flag": polars.Boolean}
    schema = {name: kinds[kind] for name, kind in columns.items()}
    data = {name: [row.get(name) for row in rows] for name in columns}
    _save(polars.DataFrame(data, schema=schema, strict=True), path)


def _save(frame: Any, path: Path) -> None:  # noqa: ANN401 (a frame of an extra that may be absent)
    try:
        frame.write_parquet(path)
    except OSError as error:
        refuse(f"this file cannot be written ({error.strerror or error})", str(path))


def _read(path: Path, columns: Mapping[str, str]) -> list[_Row]:
    """Return the rows of a table, each without its nulls; unknown columns are refused by name."""
    polars = _polars()
    try:
        frame = polars.read_parquet(path)
    except (OSError, polars.exceptions.PolarsError) as error:
        refuse(f"this Parquet file cannot be read ({str(error).splitlines()[0]})", str(path))
    for column in frame.columns:
        if column not in columns:
            refuse(f"unknown column {column!r}; {suggest(column, columns)}", str(path))
    texts = [name for name in frame.columns if columns[name] == "text"]
    return [_present(row, texts) for row in frame.iter_rows(named=True)]


def _present(row: _Row, texts: Sequence[str]) -> _Row:
    present = {name: value for name, value in row.items() if value is not None}
    for name in texts:
        if name in present and not isinstance(present[name], str):
            present[name] = _as_text(present[name])
    return present


def _as_text(value: object) -> str:
    convert: Callable[[Any], str] = getattr(type(value), "isoformat", str)
    return convert(value)
