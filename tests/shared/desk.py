"""An options desk by a fixed rule, held through recorded chains and hedged to zero delta at each of them.

For each of three expiries: short the strangle nearest to 12 delta, long half as many wings nearest to 4 delta, all
chosen on the first chain. The hedge is a perpetual; its gains are settled into the balance whenever it is traded.
Collateral is coins and USDC. `Holding.linear` is the same desk in contracts settled in USDC, which pay the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from crossmargin.account import Account, MarginMode, Position
from crossmargin.pricing.greeks import greeks
from tests.shared.deribit_chain import Chain, linear

EXPIRIES = tuple(datetime(2026, month, day, 8, tzinfo=UTC) for month, day in ((2, 13), (2, 27), (3, 27)))
LEGS = ((0.12, -1.0), (0.04, 0.5))  # delta, lots
LOT = {"BTC": 10.0, "ETH": 300.0}
COINS = {"BTC": 12.0, "ETH": 360.0}
DOLLARS = 400_000.0


@dataclass(frozen=True)
class Holding:
    """The desk at one moment, after its hedge was traded: options by symbol, the perpetual in coins, balances."""

    as_of: datetime
    currency: str
    index: float
    options: dict[str, float]
    hedge: float
    coins: float
    dollars: float
    linear_dollars: float

    def inverse(self) -> Account:
        """Coin-settled options and perpetual, one dollar a contract."""
        hedge = Position(
            instrument=f"{self.currency}-PERPETUAL",
            quantity=_decimal(self.hedge * self.index),
            entry_price=_decimal(self.index),
        )
        return self._account(self.options, hedge, self.coins, self.dollars)

    def linear(self) -> Account:
        """The same in contracts settled in USDC: what the hedge gained is in dollars, the coins stay as they were."""
        hedge = Position(
            instrument=f"{self.currency}_USDC-PERPETUAL",
            quantity=_decimal(self.hedge),
            entry_price=_decimal(self.index),
        )
        options = {linear(name): quantity for name, quantity in self.options.items()}
        return self._account(options, hedge, COINS[self.currency], self.linear_dollars)

    def scaled(self, share: float) -> "Holding":
        """The same desk with a share of its options and hedge, balances kept."""
        options = {name: share * quantity for name, quantity in self.options.items()}
        return replace(self, options=options, hedge=share * self.hedge)

    def _account(self, options: dict[str, float], hedge: Position, coins: float, dollars: float) -> Account:
        held = tuple(Position(instrument=name, quantity=_decimal(quantity)) for name, quantity in options.items())
        return Account(
            id=f"{self.currency} desk",
            margin_mode=MarginMode.PORTFOLIO,
            balances={self.currency: _decimal(coins), "USDC": _decimal(dollars)},
            positions=(*held, hedge),
        )


def hold(chains: Sequence[Chain]) -> list[Holding]:
    """The desk at each chain of one currency: options of the first chain, the hedge of each."""
    first = chains[0]
    options = _chosen(first)
    start = Holding(first.as_of, first.currency, first.index, options, 0.0, COINS[first.currency], DOLLARS, DOLLARS)
    held: list[Holding] = []
    for chain in chains:
        before = held[-1] if held else start
        moved = before.hedge * (chain.index - before.index)  # dollars; in coins at the new price, as inverse pays
        held.append(
            replace(
                before,
                as_of=chain.as_of,
                index=chain.index,
                hedge=-option_delta(chain, options),
                coins=before.coins + moved / chain.index,
                linear_dollars=before.linear_dollars + moved,
            )
        )
    return held


def option_delta(chain: Chain, options: dict[str, float]) -> float:
    """The options' delta in coins, by Black-76 on the recorded forwards and vols."""
    rows = {chain.symbol(row): row for row in range(len(chain))}
    at = np.asarray([rows[name] for name in options])
    found = greeks(chain.forward[at], chain.strike[at], chain.vol[at], chain.years[at], chain.call[at])
    return float(found.delta @ np.asarray(list(options.values())))


def _chosen(chain: Chain) -> dict[str, float]:
    chosen: dict[str, float] = {}
    for expiry in EXPIRIES:
        of_expiry = np.asarray([moment == expiry for moment in chain.expiry])
        for call in (True, False):
            rows = np.flatnonzero(of_expiry & (chain.call == call))
            for delta, lots in LEGS:
                nearest = rows[np.argmin(np.abs(np.abs(chain.delta[rows]) - delta))]
                chosen[chain.symbol(int(nearest))] = lots * LOT[chain.currency]
    return chosen


def _decimal(number: float) -> Decimal:
    return Decimal(repr(float(number)))
