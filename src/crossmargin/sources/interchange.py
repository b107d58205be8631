"""The interchange as JSON: accounts.json and snapshot.json, both ways, exact (docs/interchange.md).

A file that is no JSON is refused whole. One account that does not fit the format becomes one failure row; the
others are read as if it were absent. Prices are not judged here: the engine refuses a bad quote it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from crossmargin.account import Account, Position
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources.messages import (
    RepeatedKeys,
    as_text,
    refuse,
    refuse_content,
    refuse_repeated,
    refuse_syntax,
)
from crossmargin.units import SCHEMA_VERSION, as_utc

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T", bound=msgspec.Struct)

_ACCOUNT: Final = msgspec.json.Decoder(Account)  # made once: a book decodes thousands


class AccountsDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An accounts.json: the accounts, each still to be decoded on its own."""

    accounts: list[msgspec.Raw]
    schema_version: str | None = None
    note: str | None = None


class SnapshotDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A snapshot.json: one moment of the market, its instruments in a list."""

    as_of: datetime
    reporting_asset: str
    assets: Mapping[str, AssetQuote]
    instruments: tuple[Listing, ...]
    calibration: Mapping[str, Any] = msgspec.field(default_factory=dict)
    schema_version: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedAccounts:
    """Accounts as they stood in the file, in its order: an account, or why that one was refused."""

    rows: tuple[Account | Failure, ...]

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that were read."""
        return tuple(row for row in self.rows if isinstance(row, Account))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The refusals; `Failure.account` is the id, or ``accounts[3]`` where it has none."""
        return tuple(row for row in self.rows if isinstance(row, Failure))

    def require(self) -> tuple[Account, ...]:
        """Return all accounts; raises :class:`InputError` for the first refusal."""
        for failure in self.failures:
            raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
        return self.accounts


def decode_accounts(content: bytes, name: str = "accounts.json") -> LoadedAccounts:
    """Return the accounts of an accounts.json, a failure in place of each that does not fit.

    Parameters
    ----------
    content
        The JSON, UTF-8.
    name
        The file's name, for messages.

    Raises
    ------
    InputError
        MALFORMED_INPUT when the document cannot be read: no JSON, no ``accounts``, another schema version.
    """
    text = as_text(content, name)
    document = _decode(text, name, AccountsDocument)
    check_schema_version(document.schema_version, name)
    repeated = _repeated_keys(text, name)
    return LoadedAccounts(tuple(_row(bytes(raw), i, name, careful=repeated) for i, raw in enumerate(document.accounts)))


def _repeated_keys(text: str, name: str) -> bool:
    """Return whether some inner object repeats a key; the document itself must not."""
    try:
        repeated = RepeatedKeys(text)
    except RecursionError as error:
        refuse_syntax(error, text, name)
    if repeated.outermost:
        refuse_repeated(repeated.outermost, f"{name}: $")
    return bool(repeated.keys)


def _row(raw: bytes, index: int, name: str, *, careful: bool) -> Account | Failure:
    try:
        if careful and (keys := RepeatedKeys(raw.decode()).keys):
            refuse_repeated(keys, f"{name}: $.accounts[{index}]")
        return decode_account(raw, name, f"$.accounts[{index}]")
    except InputError as error:
        place = f"{error.path}: " if error.path else ""
        owner = error.account or _readable_id(raw) or f"accounts[{index}]"
        return Failure(error.reason, f"{place}{error.message}", owner, error.instrument)


def decode_account(raw: bytes, name: str, root: str = "$") -> Account:
    """Return one account from its JSON; raises :class:`InputError` with the place in the document."""
    try:
        account = _ACCOUNT.decode(raw)
    except msgspec.ValidationError as error:
        refuse_content(error, raw, name, root, Account)
    except RecursionError as error:
        refuse_syntax(error, "", name)
    check_structure(account, f"{name}: {root}")
    if account.being_liquidated_since is None:
        return account
    since = zoned(account.being_liquidated_since, f"{name}: {root}.being_liquidated_since")
    return msgspec.structs.replace(account, being_liquidated_since=since)


class _Named(msgspec.Struct):
    id: str


def _readable_id(raw: bytes) -> str | None:
    try:
        return msgspec.json.decode(raw, type=_Named).id or None
    except (msgspec.DecodeError, RecursionError):
        return None


def check_structure(account: Account, path: str) -> None:
    """Raise :class:`InputError` for an account without a name or with one position written twice.

    Fills given to the Python API are netted; a file states positions, and two of one key there are a mistake
    that nobody but its writer can resolve.
    """
    if not account.id:
        refuse('expected a name, found ""; give every account an id of its own', f"{path}.id")
    seen: dict[tuple[str, str | None, str], int] = {}
    for index, position in enumerate(account.positions):
        first = seen.setdefault((position.instrument, position.side, position.pool or ""), index)
        if first != index:
            _refuse_duplicate(account, position, first, f"{path}.positions[{index}]")


def _refuse_duplicate(account: Account, position: Position, first: int, path: str) -> None:
    side = f"side {position.side}" if position.side else "no side"
    pool = f"pool {position.pool}" if position.pool else "no pool"
    message = (
        f"positions[{first}] has the same instrument, {side} and {pool}; "
        "merge the two (add the quantities, average the entry prices) or give each its own side or pool"
    )
    raise InputError(
        FailureReason.DUPLICATE_POSITION,
        message,
        account=account.id,
        instrument=position.instrument,
        path=path,
    )


def decode_snapshot(content: bytes, name: str = "snapshot.json") -> Snapshot:
    """Return the snapshot of a snapshot.json.

    Raises
    ------
    InputError
        MALFORMED_INPUT with the place, or DUPLICATE_INSTRUMENT. Terms and prices are the engine's to check.
    """
    text = as_text(content, name)
    document = _decode(text, name, SnapshotDocument)
    check_schema_version(document.schema_version, name)
    repeated = RepeatedKeys(text)
    if repeated.keys:
        refuse_repeated(repeated.keys, f"{name}: $")
    return build_snapshot(document, name)


def build_snapshot(document: SnapshotDocument, name: str) -> Snapshot:
    """Return the snapshot of a decoded document: times in UTC, instruments by symbol."""
    listings: dict[str, Listing] = {}
    for index, listing in enumerate(document.instruments):
        path = f"{name}: $.instruments[{index}]"
        if listing.symbol in listings:
            message = f"the symbol {listing.symbol!r} stands more than once; remove one or rename it"
            raise InputError(
                FailureReason.DUPLICATE_INSTRUMENT, message, instrument=listing.symbol, path=f"{path}.symbol"
            )
        listings[listing.symbol] = _in_utc(listing, ("expiry", "observed_at"), path)
    assets = {
        asset: _in_utc(quote, ("observed_at",), f"{name}: $.assets.{asset}") for asset, quote in document.assets.items()
    }
    return Snapshot(
        as_of=zoned(document.as_of, f"{name}: $.as_of"),
        reporting_asset=document.reporting_asset,
        assets=assets,
        listings=listings,
        calibration=document.calibration,
    )


_S = TypeVar("_S", AssetQuote, Listing)


def _in_utc(quote: _S, fields: tuple[str, ...], path: str) -> _S:
    moments = {field: getattr(quote, field) for field in fields}
    moved = {field: zoned(at, f"{path}.{field}") for field, at in moments.items() if at is not None}
    return msgspec.structs.replace(quote, **moved) if moved else quote


def zoned(moment: datetime, path: str) -> datetime:
    """Return the moment in UTC; one without a zone is refused with its place."""
    try:
        return as_utc(moment)
    except (ValueError, OverflowError):
        refuse(f'expected a time with its zone, found {moment.isoformat()}; end it with "Z" for UTC', path)


def check_schema_version(found: str | None, name: str) -> None:
    """Raise :class:`InputError` for a document of another major version of the format."""
    major = SCHEMA_VERSION.split(".")[0]
    if found is not None and found.split(".")[0] != major:
        refuse(
            f"expected schema_version {major}.x, found {found!r}; convert the file",
            f"{name}: $.schema_version",
        )


def _decode(text: str, name: str, document: type[_T]) -> _T:
    raw = text.encode()
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)  # the syntax of the whole before the content of any part
        return msgspec.json.decode(raw, type=document)
    except msgspec.ValidationError as error:
        refuse_content(error, raw, name, "$", document)
    except (msgspec.DecodeError, RecursionError) as error:
        refuse_syntax(error, text, name)


def encode_accounts(accounts: Iterable[Account], *, indent: int = 2) -> bytes:
    """Return the accounts.json of these accounts: decimals as strings, so that reading gives equal accounts.

    `indent` 0 writes one line.
    """
    rows = [msgspec.Raw(msgspec.json.encode(account)) for account in accounts]
    return _laid_out(AccountsDocument(accounts=rows, schema_version=SCHEMA_VERSION), indent)


def encode_snapshot(snapshot: Snapshot, *, indent: int = 2) -> bytes:
    """Return the snapshot.json of this snapshot; a price that is not finite has no JSON and is refused."""
    check_finite(snapshot)
    document = SnapshotDocument(
        as_of=snapshot.as_of,
        reporting_asset=snapshot.reporting_asset,
        assets=snapshot.assets,
        instruments=tuple(snapshot.listings.values()),
        calibration=snapshot.calibration,
        schema_version=SCHEMA_VERSION,
    )
    return _laid_out(document, indent)


def check_finite(snapshot: Snapshot) -> None:
    """Raise :class:`InputError` where a number of a quote is NaN or infinite: JSON would write null."""
    for owner, quote in (*snapshot.assets.items(), *snapshot.listings.items()):
        _check_finite(owner, quote)


def _check_finite(owner: str, quote: msgspec.Struct) -> None:
    for field in quote.__struct_fields__:
        value = getattr(quote, field)
        if isinstance(value, msgspec.Struct):
            _check_finite(owner, value)
        elif isinstance(value, float) and not isfinite(value):
            message = f"{field} must be a finite number to be written, found {value}"
            raise InputError(FailureReason.INVALID_PRICE, message, instrument=owner)


_LINE_END: Final = b"\n"


def _laid_out(document: msgspec.Struct, indent: int) -> bytes:
    encoded = msgspec.json.encode(document)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded) + _LINE_END
