"""A stated cost model for instruments of which no order book is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.liquidation.plan_costs import Costs, Impact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.liquidation.plan_costs import Ladder, Liquidity
    from crossmargin.market import Listing, Snapshot

__all__ = ["CostModel", "stated_costs"]

_DAYS: Final = 365.0
_MOST: Final = 100
_HALF: Final = 0.5  # an option's price moves by about half of what its underlying does: at the money by its delta


@dataclass(frozen=True, slots=True)
class CostModel:
    """What trading is said to cost where the market says nothing; every number is an assumption, none a measurement.

    Parameters
    ----------
    spread
        Half the spread of futures, perpetuals and spot, of the price; where a listing has bid and ask, half of what
        lies between them is taken instead, for options too.
    option_spread, least_option_spread
        Half the spread of options, of the premium, and at least so much of the underlying's price.
    factor
        What the square-root law multiplies a day's volatility with.
    vol
        Volatility of a year, where no implied one is quoted.
    volume
        What trades in a day, reporting money of notional, where the listing states no volume; of one option a
        hundredth of it.
    fee
        Of what a trade pays.
    """

    spread: float = 0.0005
    option_spread: float = 0.02
    least_option_spread: float = 0.0002
    factor: float = 0.7
    vol: float = 0.6
    volume: float = 100_000_000.0
    fee: float = 0.0005

    def __post_init__(self) -> None:
        """Refuse numbers that no market has."""
        for name in ("spread", "option_spread", "least_option_spread", "factor", "vol", "fee"):
            if not 0 <= getattr(self, name) < _MOST:
                message = (
                    f"{name} of a cost model is a fraction at least 0 and below {_MOST}, found {getattr(self, name)}"
                )
                raise InputError(FailureReason.INVALID_QUANTITY, message)
        if not 0 < self.volume < float("inf"):
            message = f"volume of a cost model is money above 0, found {self.volume}"
            raise InputError(FailureReason.INVALID_QUANTITY, message)


def stated_costs(snapshot: Snapshot, model: CostModel, books: Mapping[str, Ladder] | None = None) -> Costs:
    """Return what trading each listed instrument costs: its recorded book, or the stated model."""
    known: dict[str, Liquidity] = {
        name: impact_of(listing, snapshot, model) for name, listing in snapshot.listings.items() if listing.mark_price
    }
    return Costs({**known, **(books or {})}, model.fee)


def impact_of(listing: Listing, snapshot: Snapshot, model: CostModel) -> Impact:
    """Return the stated model of one instrument, in its own price."""
    mark = listing.mark_price or 0.0
    underlying = _underlying_price(listing)
    option = listing.kind == InstrumentKind.OPTION
    coin_option = option and listing.contract == ContractKind.INVERSE
    moves = 1.0 if coin_option else underlying
    daily = (listing.mark_iv or model.vol) / sqrt(_DAYS) * (moves * _HALF if option else mark)
    spread = max(model.option_spread * mark, model.least_option_spread * moves) if option else model.spread * mark
    if listing.bid and listing.ask and listing.ask > listing.bid:
        spread = (listing.ask - listing.bid) / 2
    return Impact(spread, model.factor * daily, _volume(listing, snapshot, model))


def _underlying_price(listing: Listing) -> float:
    for price in (listing.index_price, listing.forward_price, listing.mark_price):
        if price:
            return price
    return 0.0


def _volume(listing: Listing, snapshot: Snapshot, model: CostModel) -> float:
    """Return contracts that trade in a day."""
    if listing.volume:
        return listing.volume
    inverse_future = listing.contract == ContractKind.INVERSE and listing.kind != InstrumentKind.OPTION
    quote = snapshot.assets.get(listing.quote_asset)
    rate = quote.price if quote is not None else 1.0
    each = listing.multiplier * rate * (1.0 if inverse_future else _underlying_price(listing) or 1.0)
    share = 0.01 if listing.kind == InstrumentKind.OPTION else 1.0
    return max(model.volume * share / each, 1e-9)
