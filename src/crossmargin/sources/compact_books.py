"""Compact books as Arrow files, read in place, or as Parquet; needs pyarrow, of the extra `frames`.

A book is a directory: meta.json (the contracts, pools and names that numbers point into) beside five tables. An Arrow
table is one batch without compression, so that a memory-mapped column is the array that the engine reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.program.book import CompactBook, LegArrays
from crossmargin.margin.program.ids import Ids
from crossmargin.margin.program.template import Rows
from crossmargin.margin.program.universe import PoolClass, Universe
from crossmargin.margin.resolve import asset_key
from crossmargin.margin.terms import ContractTerms
from crossmargin.market import Listing
from crossmargin.units import SCHEMA_VERSION

if TYPE_CHECKING:
    from types import ModuleType

    import numpy.typing as npt

__all__ = ["arrow", "read_compact_book", "write_compact_book"]

META: Final = "meta.json"
_FORM: Final = "crossmargin compact book 1"
_TABLES: Final = {
    "accounts": {"id": "large_string", "class": "uint8"},
    "pools": {
        "account": "int32",
        "key": "int64",
        "class": "uint8",
        **dict.fromkeys(("start", "count", "extra_start", "extra_count"), "uint32"),
    },
    "legs": {"row": "uint16 or int32", "quantity": "double"},
    "extras": {"leg": "uint32", "value": "double"},
    "rows": {"contract": "int64", "pool_class": "int64"},
}
_INPUT: Final = "input "  # + its number: a column of pools


class _Meta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a compact book's numbers point into."""

    schema_version: str
    form: str
    rulebook: str
    inputs: int
    account_classes: tuple[str, ...]
    assets: tuple[str, ...]
    listings: tuple[Listing, ...]
    pools: tuple[PoolClass, ...]
    labels: dict[int, str]
    failures: dict[int, Failure]


def arrow() -> ModuleType:
    """Return pyarrow, or say in one line how to get it."""
    try:
        import pyarrow as pa
    except ImportError as error:
        message = "Arrow files need the extra `frames`: pip install 'crossmargin[frames]'"
        raise InputError(FailureReason.MALFORMED_INPUT, message) from error
    return pa  # type: ignore[no-any-return]  # ships no types


def write_compact_book(book: CompactBook, folder: str | Path, *, parquet: bool = False) -> None:
    """Write a compact book into a folder, which is made when absent; meta.json comes last, as it makes it a book.

    Parameters
    ----------
    parquet
        Compressed tables for keeping, which are copied when read; otherwise Arrow files, which are read in place.

    Raises
    ------
    InputError
        When a term of an instrument is no finite number, or pyarrow is not installed.
    """
    pa, place = arrow(), Path(folder)
    book = book.packed()
    content = _meta_of(book, place)
    place.mkdir(parents=True, exist_ok=True)
    (place / META).unlink(missing_ok=True)
    for name, columns in _columns_of(book, pa).items():
        table = pa.table(columns)
        if parquet:
            import pyarrow.parquet

            pyarrow.parquet.write_table(table, place / f"{name}.parquet")
            continue
        with pa.OSFile(str(place / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    (place / META).write_bytes(content)


def _meta_of(book: CompactBook, place: Path) -> bytes:
    universe = book.universe
    meta = _Meta(
        schema_version=SCHEMA_VERSION,
        form=_FORM,
        rulebook=book.rulebook,
        inputs=book.legs.inputs.shape[0],
        account_classes=universe.account_classes,
        assets=universe.assets,
        listings=tuple(universe.listings.values()),
        pools=universe.pools,
        labels=dict(book.pool_labels),
        failures=dict(book.failures),
    )
    content = msgspec.json.encode(meta, enc_hook=_plain)
    _decode(content, place / META)  # a term that JSON cannot hold is found now, not when the book is wanted
    return content


def _plain(value: object) -> object:
    """Return a number of NumPy's, as terms made from columns may hold, as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError


def _columns_of(book: CompactBook, pa: ModuleType) -> dict[str, dict[str, Any]]:
    legs, rows = book.legs, book.universe.rows
    ids = book.account_ids
    text = pa.LargeStringArray.from_buffers(len(ids), pa.py_buffer(ids.ends), pa.py_buffer(ids.text))
    inputs = {f"{_INPUT}{n}": values for n, values in enumerate(legs.inputs_of(slice(0, len(legs))))}
    return {
        "accounts": {"id": text, "class": book.account_class},
        "pools": {
            "account": book.pool_account,
            "key": book.pool_key,
            "class": legs.pool_class,
            "start": legs.start,
            "count": legs.count,
            "extra_start": legs.extra_start,
            "extra_count": legs.extra_count,
            **inputs,
        },
        "legs": {"row": legs.row, "quantity": legs.quantity},
        "extras": {"leg": legs.extra_leg, "value": legs.extra_value},
        "rows": {"contract": rows.contract, "pool_class": rows.pool_class},
    }


def read_compact_book(folder: str | Path, first: int = 0, last: int | None = None) -> CompactBook:
    """Return the compact book in a folder, or its accounts [first, last). Arrow files are mapped, not copied.

    A part needs memory for what it touches alone, so that several processes may each read one of the same files.

    Raises
    ------
    InputError
        When there is no such book, a table is missing, cut short or of other columns, a number points nowhere, a
        contract stands twice in a class, or pyarrow is not installed. In which order a class has its contracts is
        looked at where prices are (:func:`assess_book`).
    """
    pa, place = arrow(), Path(folder)
    meta = _decode(_content(place / META), place / META)
    tables = {name: _read(pa, place, name, meta.inputs if name == "pools" else 0) for name in _TABLES}
    book = _book(meta, tables)
    _check_places(book, place)
    last = len(book) if last is None else last
    if not 0 <= first <= last <= len(book):
        message = f"accounts {first} to {last} are asked for; the book holds {len(book)}"
        raise InputError(FailureReason.UNKNOWN_ACCOUNT, message, path=str(place))
    part = book if (first, last) == (0, len(book)) else book.part(first, last)
    _check_rows(part, place)
    return part


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"a compact book has a file {META}, which cannot be read ({error.strerror}); write the book anew"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(path)) from error


def _decode(content: bytes, path: Path) -> _Meta:
    try:
        meta = msgspec.json.decode(content, type=_Meta)
    except msgspec.DecodeError as error:
        message = f"this is not the {META} of a compact book: {error}"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(path)) from error
    if (meta.form, meta.schema_version) != (_FORM, SCHEMA_VERSION):
        message = f"expected form {_FORM!r} of schema {SCHEMA_VERSION}, found {meta.form!r} of {meta.schema_version}"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(path))
    return meta


def _read(pa: ModuleType, folder: Path, name: str, inputs: int) -> dict[str, Any]:
    """Return the columns of a table by name, each an array of NumPy's over the file, or the ids."""
    path = folder / f"{name}.arrow"
    try:
        if path.is_file():
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        else:
            import pyarrow.parquet

            path = folder / f"{name}.parquet"
            table = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        message = f"this table of a compact book cannot be read ({error}); write the book anew"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(path)) from error
    found = {field.name: str(field.type) for field in table.schema}
    stated = sum(column.startswith(_INPUT) for column in found)
    if stated != inputs:
        message = f"{META} counts {inputs} inputs, this table has columns of {stated}; write the book anew"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(path))
    expected = _TABLES[name] | {f"{_INPUT}{n}": "double" for n in range(inputs)}
    fits = found.keys() == expected.keys() and all(found[key] in kinds.split(" or ") for key, kinds in expected.items())
    if not fits or any(column.null_count for column in table.columns):
        message = f"expected columns {expected} without nulls, found {found}"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(path))
    whole = table.combine_chunks()
    return {key: _array(whole.column(key), pa) for key in found}


def _array(column: Any, pa: ModuleType) -> Any:  # noqa: ANN401 - pyarrow ships no types
    if not column.num_chunks:
        return Ids.of(()) if pa.types.is_large_string(column.type) else np.zeros(0, column.type.to_pandas_dtype())
    chunk = column.chunk(0)
    if not pa.types.is_large_string(column.type):
        return chunk.to_numpy(zero_copy_only=True)
    _, ends, text = chunk.buffers()
    places = np.frombuffer(ends, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return Ids(places, np.frombuffer(text or b"", dtype=np.uint8))


def _book(meta: _Meta, tables: dict[str, dict[str, Any]]) -> CompactBook:
    accounts, pools, legs = tables["accounts"], tables["pools"], tables["legs"]
    inputs = [pools[f"{_INPUT}{n}"] for n in range(meta.inputs)]
    listings = ContractTerms.of({listing.symbol: listing for listing in meta.listings})
    names = (*listings, *map(asset_key, meta.assets))
    return CompactBook(
        account_ids=accounts["id"],
        account_class=accounts["class"],
        pool_account=pools["account"],
        pool_key=pools["key"],
        pool_labels=meta.labels,
        universe=Universe(
            listings, meta.assets, meta.account_classes, meta.pools, Rows(**tables["rows"]),
            {name: n for n, name in enumerate(names)},
        ),
        legs=LegArrays(
            row=legs["row"], quantity=legs["quantity"], extra_leg=tables["extras"]["leg"],
            extra_value=tables["extras"]["value"], pool_class=pools["class"],
            inputs=inputs[0][None] if len(inputs) == 1 else np.reshape(inputs, (len(inputs), pools["class"].shape[0])),
            **{name: pools[name] for name in ("start", "count", "extra_start", "extra_count")},
        ),
        failures=meta.failures,
        rulebook=meta.rulebook,
    )  # fmt: skip


def _check_places(book: CompactBook, place: Path) -> None:
    """Refuse a book whose numbers of accounts, classes, names or contracts point nowhere."""
    universe, account = book.universe, book.pool_account
    rows = universe.rows
    _within(account, len(book), "accounts", place)
    _within(book.account_class, len(universe.account_classes), "account classes", place)
    _within(book.legs.pool_class, len(universe.pools), "classes of pools", place)
    _within(rows.contract, universe.contract_count, "contracts", place)
    _within(rows.pool_class, len(universe.pools), "classes of pools", place)
    key = rows.pool_class.astype(np.int64) * universe.contract_count + rows.contract
    if (np.diff(rows.pool_class) < 0).any() or np.unique(key).shape != key.shape:  # prices say more: `check_layout`
        message = "template rows must stand in the order of classes, each contract once in a class; write the book anew"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(place))
    names = np.fromiter(book.pool_labels, np.int64, len(book.pool_labels))
    if not np.isin(np.unique(book.pool_key), names).all() or (np.diff(account) < 0).any():
        message = "pools must stand in the order of accounts, each with a name of meta.json; write the book anew"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(place))


def _check_rows(book: CompactBook, place: Path) -> None:
    """Refuse pools whose legs lie outside the table of legs, or point at no row of the template."""
    legs = book.legs
    for start, count, held, what in (
        (legs.start, legs.count, legs.row, "legs"),
        (legs.extra_start, legs.extra_count, legs.extra_leg, "extras"),
    ):
        _within(start.astype(np.int64) + count, held.shape[0] + 1, what, place)
    if len(legs):
        low, high = int(legs.start.min()), int((legs.start.astype(np.int64) + legs.count).max())
        _within(legs.row[low:high], len(book.universe.rows), "template rows", place)


def _within(places: npt.NDArray[Any], count: int, what: str, place: Path) -> None:
    if places.size and (int(places.min()) < 0 or int(places.max()) >= count):
        message = f"a number points outside the book's {count} {what}; write the book anew"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(place))
