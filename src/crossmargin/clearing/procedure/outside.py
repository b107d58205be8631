"""Who stands outside the house: takes its market orders and offers, or is asked and answers by command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.contracts import Payment
from crossmargin.clearing.ledger import TREASURY
from crossmargin.liquidation.formulas import Amount, as_fraction
from crossmargin.liquidation.postings import quoted
from crossmargin.margin.procedure import MARKET

if TYPE_CHECKING:
    from crossmargin.clearing.configuration import Configuration
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.state import State
    from crossmargin.liquidation import Leg

__all__ = ["OFFERED", "Outside", "currency_of", "price_of"]

OFFERED: Final = frozenset({"bidder", "liquidator"})
"""Who takes what a document offers to nobody by name: whoever bids for it."""


@dataclass(frozen=True, slots=True)
class Outside:
    """How the house deals with who is not in it.

    Parameters
    ----------
    taker
        The owner who takes every market order and every offer at once, as in a simulation, or in a replay where it is
        `book`; None: an order or an offer is asked for (`asked`), and a `trade` or a `bid` that names the case answers.
    slippage
        What a market order that is taken at once gets less than the mark, as a fraction of it, >= 0.
    keeper
        Who receives what a document pays its keeper, where no bidder acts.
    currency
        The asset that shares of accounts are paid in; None: see `currency_of`.
    inputs
        Names that a document leaves to whoever runs it, with what they are.
    steps
        Names of the steps that are carried out; None: all. Liquidators of some venues choose which of its
        instructions they call.
    depth
        Contracts that the market offers at once, by instrument; without an entry any number.
    """

    taker: str | None = None
    slippage: float = 0.0
    keeper: str = TREASURY
    currency: str | None = None
    inputs: Mapping[str, Amount] = field(default_factory=dict)
    steps: frozenset[str] | None = None
    depth: Mapping[str, Fraction] = field(default_factory=dict)

    def owner(self, named: str, acting: str | None) -> str | None:
        """Return the owner behind a document's word for who takes something; None: somebody must be asked."""
        if named in OFFERED:
            return acting or self.taker
        if named == MARKET:
            return self.taker
        return acting or self.keeper if named == "keeper" else named


def currency_of(outside: Outside, standing: Configuration, reporting: str) -> str:
    """Return the asset that stands for money: as stated, else the reporting asset where something settles in it.

    Else the one that most contracts settle in, ties by name.
    """
    settled = Counter(terms.settlement for terms in standing.terms.values())
    if outside.currency is not None or not settled or reporting in settled:
        return outside.currency or reporting
    return min(settled, key=lambda asset: (-settled[asset], asset))


def price_of(state: State, terms: Terms, leg: Leg, quantity: int, price: Fraction | None, slippage: float) -> Fraction:
    """Return the price of a move in ticks: the document's own, exact, or the mark less slippage, rounded outwards.

    Parameters
    ----------
    quantity
        Signed contracts that the account receives.
    price
        Reporting money per unit; None: at the market.
    """
    ticks = Fraction(10**terms.contract.price_digits)
    least = Fraction(terms.payment is not Payment.PREMIUM)
    if price is not None:
        return max(quoted(leg, price) * ticks, least)
    worse = 1 + as_fraction(slippage) * (1 if quantity > 0 else -1)
    exact = Fraction(state.marks[terms.symbol].price) * worse
    return max(Fraction(-(-exact // 1) if quantity > 0 else exact // 1), least)
