"""The simulated market: what is listed, and how prices move - drawn from a seed, or along recorded ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.commands import Quote
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.instruments import ContractKind, Instrument, InstrumentKind, OptionType
from crossmargin.pricing.black76 import price as black76

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["COINS", "Market", "Path", "Venue", "generated", "listed"]

COINS: Final[Mapping[str, float]] = {"BTC": 60_000.0, "ETH": 2_000.0}
"""Underlyings and where their prices begin."""
_YEAR: Final = 365.0 * 86_400.0
_PRICE_DIGITS: Final = 2
_VOL: Final = 0.6
_JUMPS: Final = 1 / 500  # a step

Path = Sequence[Mapping[str, float]]
"""One price of each coin a step."""


@dataclass(frozen=True, slots=True)
class Venue:
    """What a simulated house lists: assets and contracts in a dollar, and the coins they are on."""

    dollar: str
    assets: Mapping[str, Asset]
    contracts: Mapping[str, Contract]
    expiry: datetime


def listed(dollar: str, begin: datetime) -> Venue:
    """Return a venue of perpetuals (linear, one inverse), a dated future, a call and a put on BTC, settled in a dollar.

    Parameters
    ----------
    dollar
        The settlement asset that the rulebook knows: USDC, USDT ...
    begin
        When the simulation begins; what expires does so a day later.
    """
    expiry = begin + timedelta(days=1)
    assets = {"BTC": Asset(digits=8, price_digits=2), "ETH": Asset(digits=8, price_digits=2)}
    assets[dollar] = Asset(digits=6, pegged_to="USD", interest=True)
    found = [
        _contract("BTC-PERP", "BTC", dollar, InstrumentKind.PERPETUAL),
        _contract("ETH-PERP", "ETH", dollar, InstrumentKind.PERPETUAL),
        _contract("BTC-COIN", "BTC", "BTC", InstrumentKind.PERPETUAL, contract=ContractKind.INVERSE, multiplier=10.0),
        _contract("BTC-DAY", "BTC", dollar, InstrumentKind.FUTURE, expiry=expiry),
        _option("BTC-DAY-62000-C", 62_000.0, OptionType.CALL, dollar, expiry),
        _option("BTC-DAY-56000-P", 56_000.0, OptionType.PUT, dollar, expiry),
    ]
    return Venue(dollar, assets, {one.instrument.symbol: one for one in found}, expiry)


def _contract(
    symbol: str,
    coin: str,
    settled: str,
    kind: InstrumentKind,
    *,
    contract: ContractKind = ContractKind.LINEAR,
    multiplier: float = 1.0,
    expiry: datetime | None = None,
) -> Contract:
    quoted = settled if settled != coin else "USD"
    instrument = Instrument(
        symbol=symbol,
        kind=kind,
        contract=contract,
        underlying=coin,
        quote_asset=quoted,
        settlement_asset=settled,
        multiplier=multiplier,
        expiry=expiry,
    )
    return Contract(
        instrument=instrument, quantity_digits=0 if contract == "inverse" else 3, price_digits=_PRICE_DIGITS
    )


def _option(symbol: str, strike: float, side: OptionType, dollar: str, expiry: datetime) -> Contract:
    instrument = Instrument(
        symbol=symbol,
        kind=InstrumentKind.OPTION,
        underlying="BTC",
        quote_asset=dollar,
        settlement_asset=dollar,
        strike=strike,
        option_type=side,
        expiry=expiry,
    )
    return Contract(instrument=instrument, quantity_digits=3, price_digits=_PRICE_DIGITS)


def generated(rng: Generator, steps: int, *, step_seconds: float, stress: float = 1.0) -> list[dict[str, float]]:
    """Return a path of every coin: a diffusion of 60 % a year with jumps, both coins moved by one factor in part.

    Parameters
    ----------
    stress
        How many times as large as on a calm day moves are; a jump of about 4 % comes every 500 steps.
    """
    spots = dict(COINS)
    scale = _VOL * stress * (step_seconds / _YEAR) ** 0.5
    path = []
    for _ in range(steps):
        common = float(rng.standard_normal()) * scale
        if rng.random() < _JUMPS:
            common += float(rng.normal(-0.01, 0.04)) * min(stress, 3.0)
        for coin, spot in spots.items():
            own = float(rng.standard_normal()) * scale * 0.5
            spots[coin] = max(spot * (1 + max(common + own, -0.5)), COINS[coin] / 100)
        path.append(dict(spots))
    return path


@dataclass(slots=True)
class Market:
    """Where prices stand; `follow` moves them along a path."""

    venue: Venue
    path: Iterator[Mapping[str, float]]
    spots: dict[str, float] = field(default_factory=lambda: dict(COINS))

    def follow(self) -> None:
        """Move to the next prices of the path; at its end they stay."""
        self.spots.update(next(self.path, {}))

    def mark(self, symbol: str, as_of: datetime) -> float:
        """Return the fair price of a contract, as it is quoted."""
        instrument = self.venue.contracts[symbol].instrument
        spot = self.spots[instrument.underlying]
        if instrument.kind != InstrumentKind.OPTION:
            return spot
        assert instrument.expiry is not None
        assert instrument.strike is not None
        years = max((instrument.expiry - as_of).total_seconds(), 1.0) / _YEAR
        is_call = instrument.option_type == OptionType.CALL
        return float(black76(spot, instrument.strike, _VOL, years, is_call))

    def quotes(self, as_of: datetime, names: Sequence[str], shift: float = 0.0) -> dict[str, Quote]:
        """Return what one feed says of these contracts and of every asset, moved by a fraction of it."""
        out = {name: self._quoted(name, as_of, 1 + shift) for name in names}
        coins = {coin: _quote(spot * (1 + shift), 2, as_of) for coin, spot in self.spots.items()}
        return {**out, **coins, self.venue.dollar: _quote(1.0, 8, as_of)}

    def _quoted(self, name: str, as_of: datetime, factor: float) -> Quote:
        instrument = self.venue.contracts[name].instrument
        spot = repr(round(self.spots[instrument.underlying] * factor, 6))
        figures = {"index_price": spot}
        if instrument.kind in {InstrumentKind.OPTION, InstrumentKind.FUTURE}:
            figures["forward_price"] = spot
        if instrument.kind == InstrumentKind.OPTION:
            figures["mark_iv"] = repr(_VOL)
        plain = _quote(self.mark(name, as_of) * factor, _PRICE_DIGITS, as_of)
        return Quote(price=plain.price, observed_at=as_of, figures=figures)


def _quote(price: float, digits: int, as_of: datetime) -> Quote:
    return Quote(price=max(round(price * 10**digits), 1), observed_at=as_of)
