"""How a refusal is told: what, where, and what to do; as a block on stderr, or as JSON on stdout."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from crossmargin._version import __version__
from crossmargin.cli.exit_codes import ExitCode
from crossmargin.errors import FailureReason, InputError, RulebookError
from crossmargin.units import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_R = FailureReason
RULEBOOK_REASONS: Final = {_R.UNKNOWN_RULEBOOK, _R.INVALID_RULEBOOK, _R.NOT_EFFECTIVE}

HINTS: Final[Mapping[FailureReason, str]] = {
    _R.MALFORMED_INPUT: "correct the file; `crossmargin schema accounts` and `schema snapshot` print its form",
    _R.DUPLICATE_ACCOUNT: "merge the rows, or give each account its own id",
    _R.DUPLICATE_POSITION: "merge the rows, or tell them apart by `side` or `pool`",
    _R.DUPLICATE_INSTRUMENT: "keep one row for each symbol",
    _R.UNKNOWN_ACCOUNT: "name an account of the file; `assess` without --account lists them",
    _R.UNKNOWN_INSTRUMENT: "add the instrument to the snapshot, or correct its symbol",
    _R.UNKNOWN_ASSET: "add the asset with its price to the snapshot",
    _R.UNKNOWN_PARAMETER: "use a rulebook that knows it, or add an entry to the rulebook's table",
    _R.MISSING_QUOTE: "add the price to the snapshot; a missing price is never taken as zero",
    _R.MISSING_VOL: "give mark_iv, or enough quotes of the same expiry to interpolate",
    _R.MISSING_ENTRY_PRICE: "give entry_price: a margined contract's P&L starts there",
    _R.MISSING_CALIBRATION: "add the table to the snapshot's `calibration`",
    _R.STALE_QUOTE: "take a newer snapshot, or allow older quotes with --max-quote-age SECONDS",
    _R.INVALID_PRICE: "correct the price: it must be a positive, finite number",
    _R.INVALID_QUANTITY: "correct the quantity: a finite number other than 0, + long and - short",
    _R.INVALID_INSTRUMENT: "correct the contract's terms in the snapshot",
    _R.EXPIRED: "remove the position, or value it at a snapshot before its expiry",
    _R.AWAITING_SETTLEMENT: "give the delivery_price, or book the settlement into the balances",
    _R.OUT_OF_SCOPE: "use a rulebook whose scope holds it (`crossmargin rulebooks list`); `reference` takes any",
    _R.NOT_EFFECTIVE: "choose a date from which the rulebook holds (`crossmargin rulebooks list`)",
    _R.UNKNOWN_RULEBOOK: "`crossmargin rulebooks list` names the rulebooks; or give the path of a TOML file",
    _R.INVALID_RULEBOOK: "correct the rulebook; `crossmargin rulebooks lint FILE` checks it",
    _R.NOT_CONVERGED: "the rulebook counts no reporting cash; check its [equity]",
    _R.INCONSISTENT_ROW: "quotes of one row must agree; correct the snapshot",
    _R.UNDEFINED_RESULT: "the formula has no value here; check the figures that it reads",
    _R.OUT_OF_ORDER: "send the commands that are missing first: each source counts its own without gaps",
    _R.TIME_BACKWARDS: "give a time at or after the last command's",
    _R.INSUFFICIENT_MARGIN: "deposit first, or take less: initial headroom must stay at or above 0",
    _R.NOT_HEALTHY: "bring the pool back to healthy before money leaves it",
    _R.LOCKED_OUT: "wait until the pool's case is closed; in reduce-only, trade towards 0",
    _R.HALTED: "wait until the halt is lifted, or reduce",
    _R.ALREADY_ACCRUED: "each index moves once at a time; give a later time",
    _R.UNKNOWN_CASE: "name a case that is open",
    _R.MOVED_ON: "read the case's last step and bid on that",
    _R.CONFIGURATION_DIFFERS: "send the document that the hash names, or start with the rulebook that is configured",
    _R.WRONG_SCHEMA_VERSION: "open the journal with the version that wrote it, or copy its records into a new one",
    _R.CORRUPT_JOURNAL: "recover the journal to its last whole record",
    _R.FENCED: "stop this writer: another one writes the journal",
}


def tell(error: Exception, words: Sequence[str]) -> int:
    """Tell of an error that a command raised; exit code."""
    if isinstance(error, InputError):
        return tell_refusal(error, words)
    if isinstance(error, OSError) and error.strerror:  # no such path, no permission, a full disk
        refused = InputError(_R.MALFORMED_INPUT, error.strerror, path=str(error.filename) if error.filename else None)
        return tell_refusal(refused, words, "check the path, its permissions, and that there is room")
    if isinstance(error, ImportError) and error.name in {"polars", "pyarrow"}:
        return _tell_block("usage", {}, "Parquet needs an extra", "pip install 'crossmargin[frames]'", words)
    return _tell_internal(error, words)


def tell_refusal(error: InputError, words: Sequence[str], hint: str | None = None) -> int:
    """Tell of refused input; exit code."""
    where = {"path": error.path, "account": error.account, "instrument": error.instrument}
    about_rulebook = isinstance(error, RulebookError) or error.reason in RULEBOOK_REASONS
    _tell_block(error.reason.value, where, error.message, hint or HINTS[error.reason], words)
    return ExitCode.RULEBOOK if about_rulebook else ExitCode.INPUT_REFUSED


def tell_usage(error: click.ClickException, words: Sequence[str]) -> int:
    """Tell of a command line that cannot be understood; exit code."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "crossmargin"
    return _tell_block("usage", {}, error.format_message(), f"see `{command} --help`", words)


def wants_json(words: Sequence[str]) -> bool:
    """Whether the command line asks for JSON, even where it is otherwise wrong."""
    pairs = zip(words, [*words[1:], ""], strict=False)
    return any(a in {"--format=json", "-fjson"} or (a in {"--format", "-f"} and b == "json") for a, b in pairs)


def failure_place(path: str | None, account: str | None, instrument: str | None) -> str:
    """Where something was found, in words; empty where it is not known."""
    places = [path, account and f"account {account}", instrument and f"instrument {instrument}"]
    return ", ".join(place for place in places if place)


def _tell_block(reason: str, where: Mapping[str, str | None], message: str, hint: str, words: Sequence[str]) -> int:
    click.secho(f"crossmargin: refused ({reason})", fg="red", bold=True, err=True)
    place = failure_place(where.get("path"), where.get("account"), where.get("instrument"))
    for label, text in (("where", place), ("what", message), ("do", hint)):
        if text:
            click.echo(f"  {click.style(f'{label:<6}', bold=True)} {text}", err=True)
    if wants_json(words):
        _tell_json({"reason": reason, "message": message, **where, "hint": hint})
    return ExitCode.USAGE


def _tell_internal(error: Exception, words: Sequence[str]) -> int:
    if "--debug" in words:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    told = " ".join(f"{type(error).__name__}: {error}".split())
    line = f"crossmargin: internal error ({told}); please report it with the command line"
    click.secho(line + ("" if "--debug" in words else " (`crossmargin --debug ...` shows where)"), fg="red", err=True)
    if wants_json(words):
        _tell_json({"reason": "internal", "message": told})
    return ExitCode.INTERNAL


def _tell_json(error: Mapping[str, str | None]) -> None:
    from crossmargin.cli.output import to_json

    with suppress(OSError):  # stdout itself may be what failed
        click.echo(to_json({"schema_version": SCHEMA_VERSION, "engine_version": __version__, "error": error}))
