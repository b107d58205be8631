"""What conditions of [[halt]] read of one underlying at one moment: the worst of the prices that count for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from crossmargin.clearing import means
from crossmargin.clearing.contracts import worth
from crossmargin.clearing.guards import live
from crossmargin.clearing.heard import FINE, Cell
from crossmargin.clearing.ledger import FUND, WALLET
from crossmargin.clearing.scales import to_decimal

if TYPE_CHECKING:
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.state import State
    from crossmargin.margin.procedure_prices import PriceRule

__all__ = ["View", "expired"]


def expired(terms: Terms, state: State) -> bool:
    """Return whether a contract's time is over."""
    expiry = terms.contract.instrument.expiry
    return expiry is not None and state.as_of is not None and state.as_of >= expiry


@dataclass(frozen=True, slots=True)
class View:
    """One underlying of a state, and the rule of each price that counts for it."""

    state: State
    underlying: str
    rules: Mapping[str, PriceRule]

    @property
    def as_of(self) -> datetime:
        """The moment."""
        assert self.state.as_of is not None
        return self.state.as_of

    def measure(self, name: str, window: float) -> float:
        """Return a measure of `HALT_MEASURES`; `window` in seconds."""
        ways: Mapping[str, Callable[[], float]] = {
            "price_move": partial(self._price_move, window),
            "twap_gap": self._twap_gap,
            "live_feeds": self._live_feeds,
            "quote_age": self._quote_age,
            "quote_confidence": self._quote_confidence,
            "liquidated": partial(self._liquidated, window),
            "fund": self._fund,
        }
        return ways[name]()

    def _parts(self, name: str, window: float) -> tuple[int, tuple[Cell, ...]] | None:
        """Return the last price and the parts of a window until now; None before there was a price."""
        heard = self.state.heard[name]
        if heard.price is None:
            return None
        return heard.price, means.cells(heard, window, self.as_of)

    def _price_move(self, window: float) -> float:
        known = [found for name in self.rules if (found := self._parts(name, window)) is not None]
        return max((means.furthest(parts, price) for price, parts in known), default=0.0)

    def _twap_gap(self) -> float:
        gaps = [0.0]
        for name, rule in self.rules.items():
            found = None if rule.twap_window is None else self._parts(name, rule.twap_window)
            if found is not None and rule.twap_window is not None:
                price, parts = found
                gaps.append(means.apart(price * FINE, means.mean(parts, price, rule.twap_window, self.as_of)))
        return max(gaps)

    def _live_feeds(self) -> float:
        return float(min(len(live(rule, self.state.heard[name], self.as_of)) for name, rule in self.rules.items()))

    def _quote_age(self) -> float:
        stood = [self.state.heard[name].at for name in self.rules]
        return max(inf if at is None else (self.as_of - at).total_seconds() for at in stood)

    def _quote_confidence(self) -> float:
        marks = self.state.marks
        return min(float(marks[n].figures.get("confidence", "1")) if n in marks else 1.0 for n in self.rules)

    def _liquidated(self, window: float) -> float:
        """Return the value, in the reporting asset, of what cases closed or handed over within the window."""
        return sum(self._closed(name, window) for name in self.rules if name in self.state.configuration.terms)

    def _closed(self, symbol: str, window: float) -> float:
        found = self._parts(symbol, window)
        if found is None:
            return 0.0
        price, parts = found
        contracts = self.state.heard[symbol].closed - parts[0].closed if parts else 0
        terms = self.state.configuration.terms[symbol]
        money = abs(worth(terms, contracts, price)) if contracts and price else 0
        return float(money) * self._unit_price(terms.settlement, unknown=inf) if money else 0.0

    def _fund(self) -> float:
        wallets = {a: units for (purse, a), units in self.state.balances.get(FUND, {}).items() if purse == WALLET}
        return sum(units * self._unit_price(asset, unknown=0.0) for asset, units in wallets.items())

    def _unit_price(self, asset: str, *, unknown: float) -> float:
        """Return what one unit of an asset's balance is worth in the reporting asset; `unknown` without a price."""
        standing, mark = self.state.configuration, self.state.marks.get(asset)
        scale = standing.assets[asset]
        reporting = "USD" if standing.rulebook is None else standing.rulebook.reporting_asset
        if mark is not None:
            return float(to_decimal(mark.price, scale.price_digits)) * 10.0**-scale.digits
        return 10.0**-scale.digits if asset == reporting else unknown
