"""What a contract is worth in integers: one exact ratio says how quantity and price become money."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import msgspec

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, Instrument, InstrumentKind, OptionType, check_terms
from crossmargin.units import exact

_MOST_DIGITS = 30


class Asset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One asset's scales: `digits` of an amount, `price_digits` of its price in the reporting asset.

    `wraps` and `pegged_to` are those of a snapshot's asset. `interest` says whether its balances bear any.
    """

    digits: int
    price_digits: int = 8
    wraps: str | None = None
    pegged_to: str | None = None
    interest: bool = False


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One instrument with the scales of its quantity and price. `premium_paid` options are paid for when traded."""

    instrument: Instrument
    quantity_digits: int
    price_digits: int
    premium_paid: bool = True


class Payment(StrEnum):
    """How a trade is paid: P&L margined (as `basis`), a premium from the wallet, or one asset for another."""

    MARGINED = "margined"
    PREMIUM = "premium"
    SPOT = "spot"


@dataclass(frozen=True, slots=True)
class Terms:
    """A contract in integers, in units: money = quantity * price * up / down, or quantity * up / (down * price).

    Parameters
    ----------
    symbol, settlement
        Asset of `held`, asset of the money.
    inverse
        Whether money is the second form: an inverse perpetual or future.
    spot_asset, spot_scale
        Asset that a spot trade delivers, and its units in one unit of quantity.
    strike
        Of an option, at the price's scale, with `call`.
    basis
        The purse that keeps the money received for it; it is the instrument's own, in the settlement asset.
    """

    symbol: str
    settlement: str
    payment: Payment
    inverse: bool
    up: int
    down: int
    contract: Contract
    spot_asset: str = ""
    spot_scale: int = 0
    coin_option: bool = False
    call: bool = False
    strike: Fraction = Fraction(0)
    basis: str = ""


def terms_of(contract: Contract, assets: dict[str, Asset]) -> Terms:
    """Return the integer terms of a contract.

    Raises
    ------
    InputError
        UNKNOWN_ASSET for an asset without a scale; INVALID_INSTRUMENT for terms that make no contract or scales
        outside 0 to 30.
    """
    instrument = contract.instrument
    check_terms(instrument)
    settlement = _scale(instrument, instrument.settlement_asset, assets)
    for digits in (contract.quantity_digits, contract.price_digits):
        if not 0 <= digits <= _MOST_DIGITS:
            _refuse(instrument, f"digits must be between 0 and {_MOST_DIGITS}, found {digits}")
    payment = _payment(contract)
    inverse = instrument.contract == ContractKind.INVERSE and instrument.kind != InstrumentKind.OPTION
    prices = contract.price_digits if inverse else -contract.price_digits
    ratio = _power(settlement - contract.quantity_digits + prices) * Fraction(exact(instrument.multiplier))
    spot_asset, spot_scale = _delivered(contract, assets) if payment == Payment.SPOT else ("", 0)
    strike = Fraction(exact(instrument.strike or 0.0)) * _power(contract.price_digits)
    return Terms(
        symbol=instrument.symbol,
        settlement=instrument.settlement_asset,
        payment=payment,
        inverse=inverse,
        up=ratio.numerator,
        down=ratio.denominator,
        contract=contract,
        spot_asset=spot_asset,
        spot_scale=spot_scale,
        coin_option=instrument.kind == InstrumentKind.OPTION and instrument.contract == ContractKind.INVERSE,
        call=instrument.option_type == OptionType.CALL,
        strike=strike,
        basis=f"basis:{instrument.symbol}",
    )


def _payment(contract: Contract) -> Payment:
    kind = contract.instrument.kind
    if kind == InstrumentKind.SPOT:
        return Payment.SPOT
    return Payment.PREMIUM if kind == InstrumentKind.OPTION and contract.premium_paid else Payment.MARGINED


def _delivered(contract: Contract, assets: dict[str, Asset]) -> tuple[str, int]:
    instrument = contract.instrument
    units = _power(_scale(instrument, instrument.underlying, assets) - contract.quantity_digits)
    units *= Fraction(exact(instrument.multiplier))
    if units.denominator != 1:
        _refuse(instrument, f"one unit of quantity must be whole units of {instrument.underlying}; give it more digits")
    return instrument.underlying, units.numerator


def _scale(instrument: Instrument, name: str, assets: dict[str, Asset]) -> int:
    found = assets.get(name)
    if found is None:
        message = f"asset {name} has no scale; configure it before the instrument"
        raise InputError(FailureReason.UNKNOWN_ASSET, message, instrument=instrument.symbol)
    return found.digits


def _power(digits: int) -> Fraction:
    return Fraction(f"1e{digits}")


def _refuse(instrument: Instrument, message: str) -> None:
    raise InputError(FailureReason.INVALID_INSTRUMENT, message, instrument=instrument.symbol)


def worth(terms: Terms, quantity: int, price: int | Fraction) -> Fraction:
    """Return what a quantity stands for at a price: exact money in units of the settlement asset, signed.

    Linear and quanto: + for a long. Inverse: - for a long, who owes coin that falls as the price rises. With `basis`
    it is the unrealised profit: `worth + basis`.
    """
    if terms.inverse:
        return Fraction(-quantity * terms.up, terms.down * price)
    return Fraction(quantity * price * terms.up, terms.down)


def trade_money(terms: Terms, quantity: int, price: int | Fraction) -> int:
    """Return what a trade of `quantity` > 0 moves, >= 0 in units: rounded up, once, for the side that pays.

    A price that a formula gives (of bankruptcy, say) need not be a whole number of ticks.
    """
    if terms.inverse:
        return int(-(-quantity * terms.up // (terms.down * price)))
    return int(-(-quantity * price * terms.up // terms.down))


def payoff(terms: Terms, quantity: int, settlement_price: int) -> Fraction:
    """Return what a quantity pays at expiry: exact money in units of the settlement asset, + for a long.

    A future pays `worth`; an option its intrinsic value, in coin divided by the price where it settles in coin.
    """
    if terms.contract.instrument.kind != InstrumentKind.OPTION:
        return worth(terms, quantity, settlement_price)
    gain = settlement_price - terms.strike if terms.call else terms.strike - settlement_price
    money = max(gain, Fraction(0)) * quantity * Fraction(terms.up, terms.down)
    if not terms.coin_option:
        return money
    # `up / down` takes a price at its scale; a coin option's payoff is a ratio of two prices
    return money * Fraction(10**terms.contract.price_digits, settlement_price)
