"""What all readers of ccxt structures share: numbers, times and symbols. ccxt itself is never imported.

ccxt gives numbers as floats or as strings (``exchange.number = str``), leaves out what a venue does not say,
and names a contract ``BTC/USD:BTC-260626-70000-C``: base, quote, settlement, expiry, strike, type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

import msgspec

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.sources.messages import as_text, refuse, refuse_syntax

Shape: TypeAlias = Mapping[str, Any]

_SYMBOL: Final = re.compile(
    r"(?P<base>[^/:]+)/(?P<quote>[^/:]+)"
    r"(?::(?P<settle>[^-]+)(?:-(?P<day>\d{6})(?:-(?P<strike>\d+(?:\.\d+)?)-(?P<type>[CP]))?)?)?"
)
_EXPIRY_HOUR: Final = 8  # every venue that ccxt reaches expires at 08:00 UTC; markets give the moment itself
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Assets that stand for the dollar one to one: quoted in one and settled in another is still linear.
_DOLLARS: Final = frozenset({"USD", "USDC", "USDT", "USDE", "USDS", "DAI", "FDUSD", "BUSD", "TUSD", "PYUSD"})


@dataclass(frozen=True, slots=True)
class SymbolTerms:
    """What a unified symbol says about its contract. Only the multiplier is missing."""

    kind: InstrumentKind
    base: str
    quote: str
    settle: str
    contract: ContractKind
    expiry: datetime | None
    strike: Decimal | None
    option_type: OptionType | None


def parse_symbol(symbol: str) -> SymbolTerms:
    """Return the terms in a ccxt symbol; raises :class:`InputError` for a text that is none."""
    found = _SYMBOL.fullmatch(symbol)
    if not found:
        raise InputError(
            FailureReason.MALFORMED_INPUT,
            "expected a ccxt symbol such as BTC/USD:BTC-260626-70000-C",
            instrument=symbol,
        )
    base, quote, settle = found["base"], found["quote"], found["settle"] or found["quote"]
    kind = _kind(found)
    return SymbolTerms(
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        contract=ContractKind.LINEAR if kind == InstrumentKind.SPOT else contract_kind(base, quote, settle),
        expiry=_expiry(symbol, found["day"]) if found["day"] else None,
        strike=Decimal(found["strike"]) if found["strike"] else None,
        option_type={"C": OptionType.CALL, "P": OptionType.PUT}.get(found["type"] or ""),
    )


def _kind(found: re.Match[str]) -> InstrumentKind:
    if found["type"]:
        return InstrumentKind.OPTION
    if found["day"]:
        return InstrumentKind.FUTURE
    return InstrumentKind.PERPETUAL if found["settle"] else InstrumentKind.SPOT


def _expiry(symbol: str, day: str) -> datetime:
    try:
        return datetime.strptime(day, "%y%m%d").replace(hour=_EXPIRY_HOUR, tzinfo=UTC)
    except ValueError as error:
        message = f"expected an expiry YYMMDD in the symbol, found {day}"
        raise InputError(FailureReason.MALFORMED_INPUT, message, instrument=symbol) from error


def contract_kind(base: str, quote: str, settle: str) -> ContractKind:
    """Return how a contract settles, from its three assets."""
    if settle == quote or {settle, quote} <= _DOLLARS:
        return ContractKind.LINEAR
    return ContractKind.INVERSE if settle == base else ContractKind.QUANTO


def number(shape: Shape, *keys: str) -> Decimal | None:
    """Return the first of the keys that holds a number; None where all are absent, null or empty."""
    for key in keys:
        value = shape.get(key)
        if value is None or value == "":
            continue
        try:
            found = Decimal("sNaN") if isinstance(value, bool | list | Mapping) else Decimal(str(value))
            if found.is_snan():  # no comparison takes one
                raise InvalidOperation  # noqa: TRY301
        except InvalidOperation as error:
            message = f"{key}: expected a number, found {str(value)[:60]!r}"
            raise InputError(FailureReason.MALFORMED_INPUT, message) from error
        return found
    return None


def real(shape: Shape, *keys: str) -> float | None:
    """Return the same as float, for prices, vols and rates."""
    found = number(shape, *keys)
    return None if found is None else float(found)


def text(shape: Shape, *keys: str) -> str | None:
    """Return the first of the keys that holds a text; None where all are absent."""
    return next((shape[key] for key in keys if isinstance(shape.get(key), str) and shape[key]), None)


def mapping(shape: Shape, key: str) -> Shape:
    """Return the inner object under a key; empty where there is none."""
    value = shape.get(key)
    return value if isinstance(value, Mapping) else {}


def moment(shape: Shape, key: str = "timestamp") -> datetime | None:
    """Return a time that ccxt states in milliseconds since 1970, in UTC; None where absent."""
    milliseconds = number(shape, key)
    if milliseconds is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=int(milliseconds))
    except (OverflowError, ValueError) as error:
        message = f"{key}: expected milliseconds since 1970, found {milliseconds}"
        raise InputError(FailureReason.MALFORMED_INPUT, message) from error


def records(value: object) -> list[Shape]:
    """Return the objects in what ccxt returns as a list or as a map by symbol."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [item for item in items if isinstance(item, Mapping)]


def top_keys(content: bytes) -> frozenset[str]:
    """Return the keys of a JSON object without reading what stands under them; none where it is no such object."""
    try:
        return frozenset(msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()


def decode_shape(content: bytes, name: str) -> Shape:
    """Return a JSON object with every number as text, so that no digit is lost."""
    document_text = as_text(content, name)
    try:
        document = json.loads(document_text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        refuse_syntax(error, document_text, name)
    if not isinstance(document, dict):
        refuse("expected an object {...}", f"{name}: $")
    return document
