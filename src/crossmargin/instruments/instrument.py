"""The terms of a contract: spot, perpetual, dated future, European option."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from crossmargin.errors import FailureReason, InputError


class InstrumentKind(StrEnum):
    """What the contract pays on."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    FUTURE = "future"
    OPTION = "option"


class ContractKind(StrEnum):
    """How the contract settles.

    Linear: in the quote asset, or in a stable asset that stands for it one to one. Inverse: in the underlying
    coin. Quanto: in a third asset at a fixed rate.
    """

    LINEAR = "linear"
    INVERSE = "inverse"
    QUANTO = "quanto"


class OptionType(StrEnum):
    """Call or put."""

    CALL = "call"
    PUT = "put"


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One contract's terms.

    `multiplier`: linear - base units per contract; inverse perpetual or future - quote units per contract;
    inverse option - base units per contract; quanto - settlement units per unit of price.
    """

    symbol: str
    kind: InstrumentKind
    underlying: str
    quote_asset: str
    settlement_asset: str
    contract: ContractKind = ContractKind.LINEAR
    multiplier: float = 1.0
    expiry: datetime | None = None
    strike: float | None = None
    option_type: OptionType | None = None


def check_terms(instrument: Instrument) -> None:
    """Raise :class:`InputError` unless the terms make one well-defined contract."""
    problem = _problem(instrument)
    if problem:
        raise InputError(FailureReason.INVALID_INSTRUMENT, problem, instrument=instrument.symbol)


def _problem(instrument: Instrument) -> str | None:
    if not (0 < instrument.multiplier < float("inf")):
        return f"multiplier must be a positive number, found {instrument.multiplier}"
    return _expiry_problem(instrument) or _option_problem(instrument) or _settlement_problem(instrument)


def _expiry_problem(instrument: Instrument) -> str | None:
    if instrument.kind in {InstrumentKind.OPTION, InstrumentKind.FUTURE}:
        if instrument.expiry is None:
            return f"a {instrument.kind} needs an expiry"
        return None if instrument.expiry.tzinfo else "expiry needs a zone (end it with Z for UTC)"
    return None if instrument.expiry is None else f"a {instrument.kind} has no expiry"


def _option_problem(instrument: Instrument) -> str | None:
    if instrument.kind != InstrumentKind.OPTION:
        bare = instrument.strike is None and instrument.option_type is None
        return None if bare else f"a {instrument.kind} has neither strike nor option_type"
    if not (instrument.strike and 0 < instrument.strike < float("inf")):
        return f"an option needs a positive strike, found {instrument.strike}"
    return None if instrument.option_type else 'an option needs option_type "call" or "put"'


def _settlement_problem(instrument: Instrument) -> str | None:
    if instrument.contract == ContractKind.INVERSE and instrument.settlement_asset == instrument.quote_asset:
        return "an inverse contract settles in the coin, not in its quote asset"
    if instrument.kind == InstrumentKind.SPOT and instrument.contract != ContractKind.LINEAR:
        return "spot is linear"
    return None
