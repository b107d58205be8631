"""What one trade does to what is held: the opposite closes and is realised, the rest joins at its price.

The rule stands here once; the compiled engine's what-if is its twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["Holding", "Terms", "TradeCheck", "TradeChecks", "joined", "trade"]

_DUST: Final = 2.0**-50  # of what is moved: less is left over from rounding


class TradeCheck(NamedTuple):
    """What an account would stand at after a trade, account-wide, in the report's reporting asset; signed."""

    initial_margin: float
    maintenance_margin: float
    available_margin: float
    maintenance_headroom: float


class TradeChecks(NamedTuple):
    """The same of many trades, each on its own, in columns [trades]; NaN where the account would be refused."""

    initial_margin: Floats
    maintenance_margin: Floats
    available_margin: Floats
    maintenance_headroom: Floats


class Terms(NamedTuple):
    """How a contract is paid: an option its premium, what is margined its gain; `inverse` gains in 1 / price."""

    option: bool
    inverse: bool
    multiplier: float


@dataclass(slots=True)
class Holding:
    """One leg: signed contracts, their cost (quantity x entry, / entry where inverse), funding not paid yet."""

    quantity: float
    cost: float
    accrued: float

    def close(self, closing: float) -> tuple[float, float]:
        """Take `closing` contracts (signed as the trade) off; return the cost and the funding that go with them."""
        if not closing:
            return 0.0, 0.0
        share = -closing / self.quantity
        whole = share == 1.0
        cost, funding = share * self.cost, share * self.accrued
        self.quantity = 0.0 if whole else self.quantity + closing
        self.cost = 0.0 if whole else self.cost - cost
        self.accrued = 0.0 if whole else self.accrued - funding
        return cost, funding


def trade(terms: Terms, opposite: Holding, same: Holding, amount: float, price: float) -> tuple[float, float]:
    """Change what is held by a trade of `amount` signed contracts at `price`; return what goes into the wallet.

    What rounding alone would leave of a leg (see :func:`joined`) is closed with it, and opens nothing.

    Parameters
    ----------
    opposite, same
        The leg that the trade closes, and the one that it opens; one and the same where opposite positions net.

    Returns
    -------
    tuple
        Funding, and premium or gain: signed amounts of the settlement asset, to be added in this order.
    """
    closing, opened = _parts(opposite.quantity, amount)
    cost, funding = opposite.close(closing)
    if terms.option:
        same.quantity += opened
        same.cost += opened * price if same.cost else 0.0  # only where what is held states its entry
        return funding, -(amount * terms.multiplier * price)
    price_of_one = 1.0 / price if terms.inverse else price
    gained = -cost - closing * price_of_one
    same.quantity += opened
    same.cost += opened * price_of_one
    return funding, gained * terms.multiplier * (-1.0 if terms.inverse else 1.0)


def joined(held: float, amount: float) -> float:
    """Return a sum; 0 where what is left of the larger part is within rounding of nothing, 2^-50 of it."""
    after, larger = held + amount, max(abs(held), abs(amount))
    return 0.0 if abs(after) <= _DUST * larger < inf else after


def _parts(held: float, amount: float) -> tuple[float, float]:
    """Return the parts of a trade that close what is held and that open: signed as the trade."""
    if joined(held, amount) == 0:
        return -held, 0.0
    if held * amount >= 0:
        return 0.0, amount
    closing = amount if abs(amount) <= abs(held) else -held
    return closing, amount - closing
