"""Compact books as Arrow files, read in place, or as Parquet; needs pyarrow, of the extra `frames`.

A book is a directory: meta.json (the contracts, pools and names that numbers point into, and which files are the
tables) beside five tables. An Arrow table is one batch without compression, so that a memory-mapped column is the array
that the engine reads.
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
from crossmargin.sources.compact_checks import check_ids, check_places, check_pools
from crossmargin.sources.compact_folder import META, Tables, Token, new_book, new_token, path_of, put, put_meta
from crossmargin.units import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import BinaryIO

__all__ = ["arrow", "read_compact_book", "read_written", "token_of", "write_compact_book"]

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
    token: Token
    tables: Tables
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
    """Write a compact book into a folder, which is made when absent, in place of the book that it holds.

    The change is one step: whoever reads the folder meanwhile, or after a writer was stopped at whatever point, finds
    the old book or the new one. Books read from the old files keep them, so that a book may be written back to where it
    was read from. Writers of one folder wait for one another, where the system has locks.

    Parameters
    ----------
    parquet
        Compressed tables for keeping, which are copied when read; otherwise Arrow files, which are read in place.

    Raises
    ------
    InputError
        When a term of an instrument is no finite number, or pyarrow is not installed.
    OSError
        When a file cannot be written; the folder's book is then the old one.
    """
    pa, place = arrow(), Path(folder)
    book = book.packed()
    tables: Tables = "parquet" if parquet else "arrow"
    token = new_token()
    content = _meta_of(book, token, tables, place)
    place.mkdir(parents=True, exist_ok=True)
    with new_book(place, token):
        for name, columns in _columns_of(book, pa).items():
            put(path_of(place, name, token, tables), _writer(pa, pa.table(columns), tables))
        put_meta(place, token, content)


def _writer(pa: ModuleType, table: Any, tables: Tables) -> Callable[[BinaryIO], None]:  # noqa: ANN401 - no types
    """Return what writes a table to a file."""

    def write(file: BinaryIO) -> None:
        if tables == "parquet":
            import pyarrow.parquet

            pyarrow.parquet.write_table(table, file)
            return
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    return write


def _meta_of(book: CompactBook, token: str, tables: Tables, place: Path) -> bytes:
    universe = book.universe
    meta = _Meta(
        schema_version=SCHEMA_VERSION,
        form=_FORM,
        token=token,
        tables=tables,
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

    A part needs memory for what it touches alone, so that several processes may each read one of the same files. What
    is written into the folder later changes nothing of a book that was read.

    Raises
    ------
    InputError
        When there is no such book, a table is missing, cut short or of other columns, a number points nowhere, a
        contract stands twice in a class, legs stand out of order, ids are no UTF-8 or end where none can, or pyarrow is
        not installed. DUPLICATE_ACCOUNT when an id stands twice and not as refused, which no book that was laid out
        does: the files were changed, and whose legs are whose cannot be told. Of a part, its own accounts are looked
        at. In which order a class has its contracts is looked at where prices are (:func:`assess_book`).
    """
    return read_written(folder, None, first, last)


def token_of(folder: str | Path) -> str:
    """Return what tells the book in a folder from every other that was written there; raises as reading it does."""
    path = Path(folder) / META
    return _decode(_content(path), path).token


def read_written(folder: str | Path, token: str | None, first: int, last: int | None) -> CompactBook:
    """Return what :func:`read_compact_book` does, refused where the folder's book is not that of a token."""
    pa, place = arrow(), Path(folder)
    meta, tables = _opened(pa, place)
    if token is not None and meta.token != token:
        message = "another book was written here since this one was cut into shards: cut it anew"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(place))
    book = _book(meta, tables)
    check_places(book, place)
    last = len(book) if last is None else last
    if not 0 <= first <= last <= len(book):
        message = f"accounts {first} to {last} are asked for; the book holds {len(book)}"
        raise InputError(FailureReason.UNKNOWN_ACCOUNT, message, path=str(place))
    part = book if (first, last) == (0, len(book)) else book.part(first, last)
    path = {name: str(path_of(place, name, meta.token, meta.tables)) for name in _TABLES}
    check_ids(part, first, pa, path["accounts"])
    check_pools(part, path)
    return part


def _opened(pa: ModuleType, place: Path) -> tuple[_Meta, dict[str, dict[str, Any]]]:
    """Return meta.json and the tables that it names; of the book that has come, where the one named first has gone."""
    content = _content(place / META)
    while True:
        meta = _decode(content, place / META)
        try:
            return meta, {name: _read(pa, place, name, meta) for name in _TABLES}
        except InputError:
            found = _content(place / META)
            if found == content:
                raise
            content = found


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


def _read(pa: ModuleType, folder: Path, name: str, meta: _Meta) -> dict[str, Any]:
    """Return the columns of a table by name, each an array of NumPy's over the file, or the ids."""
    path, inputs = path_of(folder, name, meta.token, meta.tables), meta.inputs if name == "pools" else 0
    try:
        if meta.tables == "arrow":
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        else:
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(path)
        table.validate()  # every column is as long as it says
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
