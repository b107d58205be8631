"""Reading files: which reader a path asks for, and what is said when there is no such file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.ccxt_accounts import decode_ccxt_account, is_ccxt_account
from crossmargin.sources.ccxt_markets import decode_ccxt_snapshot, is_ccxt_snapshot
from crossmargin.sources.frames import ACCOUNT_TABLES, SNAPSHOT_TABLES, read_accounts, read_snapshot
from crossmargin.sources.interchange import LoadedAccounts, decode_accounts, decode_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.instruments import Instrument
    from crossmargin.market import Snapshot


def load_accounts(path: str | Path, *, instruments: Mapping[str, Instrument] | None = None) -> LoadedAccounts:
    """Return the accounts that a file or directory holds, in its order, refused ones as failures.

    Parameters
    ----------
    path
        An accounts.json, a JSON file of what ccxt returned, or a directory of Parquet tables.
    instruments
        Contract terms by symbol (``snapshot.listings``): ccxt positions of some venues need them.

    Raises
    ------
    InputError
        When the path cannot be read or is none of the three.
    """
    place = Path(path)
    if place.is_dir():
        return read_accounts(_with_table(place, ACCOUNT_TABLES, "accounts"))
    _refuse_single_table(place, "accounts")
    content = read_bytes(place)
    if is_ccxt_account(content):
        return decode_ccxt_account(content, place.name, stem=place.stem, instruments=instruments)
    return decode_accounts(content, place.name)


def load_snapshot(path: str | Path) -> Snapshot:
    """Return the snapshot in a snapshot.json, a file of what ccxt returned, or a directory of tables."""
    place = Path(path)
    if place.is_dir():
        return read_snapshot(_with_table(place, SNAPSHOT_TABLES, "snapshot"))
    _refuse_single_table(place, "snapshot")
    content = read_bytes(place)
    if is_ccxt_snapshot(content):
        return decode_ccxt_snapshot(content, place.name)
    return decode_snapshot(content, place.name)


def read_bytes(path: Path) -> bytes:
    """Return a file's content; raises :class:`InputError` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            FailureReason.MALFORMED_INPUT,
            f"this file cannot be read ({reason}); check the path",
            path=str(path),
        ) from error


def _with_table(place: Path, tables: tuple[str, ...], what: str) -> Path:
    if not (place / tables[0]).is_file():
        raise InputError(
            FailureReason.MALFORMED_INPUT,
            f"expected a directory of {what} with {', '.join(tables)}; {tables[0]} is not there",
            path=str(place),
        )
    return place


def _refuse_single_table(place: Path, what: str) -> None:
    if place.suffix == ".parquet":
        raise InputError(
            FailureReason.MALFORMED_INPUT,
            f"{what} are several Parquet tables; give the directory that holds them",
            path=str(place),
        )
