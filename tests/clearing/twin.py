"""A slow, obvious ledger beside the real one: fractions, no rounding, no rows; fed with commands alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing import commands as c
from crossmargin.clearing.indexes import bearing, owed
from crossmargin.clearing.ledger import DUE, HELD, HOUSE, WALLET

if TYPE_CHECKING:
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.state import State

Key = tuple[str, str]


def price_of(terms: Terms, price: int) -> Fraction:
    """What one unit of quantity gains a long per unit, as a level: linear the price, inverse minus its reciprocal."""
    ratio = Fraction(terms.up, terms.down)
    return -ratio / price if terms.inverse else ratio * price


@dataclass
class Twin:
    """Money by owner and asset as if every position were bought for money and sold back; what is held beside it."""

    money: dict[Key, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    held: dict[Key, int] = field(default_factory=lambda: defaultdict(int))
    roundings: dict[Key, int] = field(default_factory=lambda: defaultdict(int))

    def take(self, command: c.Command, state: State) -> None:
        """Follow one accepted command; `state` is the one before it, read for its terms alone."""
        match command:
            case c.Deposit():
                self._pay(command.owner, command.asset, command.amount)
            case c.Withdraw():
                self._pay(command.owner, command.asset, -command.amount)
            case c.Transfer():
                self._pay(command.owner, command.asset, -command.amount)
                self._pay(command.target, command.asset, command.amount)
            case c.Trade():
                self._trade(command, state.configuration.terms[command.instrument])
            case c.Accrue() if command.index in state.configuration.terms:
                self._fund(command, state.configuration.terms[command.index])
            case c.Accrue():
                self._bear(command, state)

    def _pay(self, owner: str, asset: str, amount: Fraction | int) -> None:
        self.money[owner, asset] += amount
        self.roundings[owner, asset] += 1

    def _trade(self, command: c.Trade, terms: Terms) -> None:
        level = price_of(terms, command.price)
        for owner, side, fee in ((command.buyer, 1, command.buyer_fee), (command.seller, -1, command.seller_fee)):
            self._pay(owner, terms.settlement, -side * command.quantity * level - fee)
            self.held[owner, terms.symbol] += side * command.quantity

    def _fund(self, command: c.Accrue, terms: Terms) -> None:
        assert command.mark is not None
        one = abs(price_of(terms, command.mark))
        for (owner, symbol), held in self.held.items():
            if symbol == terms.symbol:
                self._pay(owner, terms.settlement, -held * one * Fraction(command.rate))

    def _bear(self, command: c.Accrue, state: State) -> None:
        """Interest on what stood in the real wallets: how much that is, everything else here says again."""
        side, asset = command.index.split(":")
        for owner in state.configuration.owners - HOUSE:
            wallet = state.balances.get(owner, {}).get((WALLET, asset), 0)
            bears = min(wallet, 0) if side == "borrow" else max(wallet, 0)
            self._pay(owner, asset, bears * Fraction(command.rate))


def equity(state: State, owner: str, asset: str, marks: dict[str, int]) -> Fraction:
    """What an owner has in one asset by the real ledger, unsettled funding and interest included."""
    holdings = state.balances.get(owner, {})
    wallet = holdings.get((WALLET, asset), 0)
    found = Fraction(wallet)
    for name, quantity in bearing(asset, 0 if owner in HOUSE else wallet):
        found -= owed(quantity, state.indices.get(name, 0), holdings.get((DUE, name), 0))
    for terms in state.configuration.terms.values():
        if terms.settlement == asset and terms.symbol in marks:
            held = holdings.get((HELD, terms.symbol), 0)
            found += holdings.get((terms.basis, asset), 0) + held * price_of(terms, marks[terms.symbol])
            found -= owed(held, state.indices.get(terms.symbol, 0), holdings.get((DUE, terms.symbol), 0))
    return found


def compare(twin: Twin, state: State, owners: list[str], marks: dict[str, int]) -> list[str]:
    """Where the ledger differs from the twin by more than one unit for each time something was rounded."""
    wrong = []
    for owner in owners:
        for terms in state.configuration.terms.values():
            real = state.balances.get(owner, {}).get((HELD, terms.symbol), 0)
            if real != twin.held[owner, terms.symbol]:
                wrong.append(f"{owner} holds {real} of {terms.symbol}, the twin {twin.held[owner, terms.symbol]}")
        for asset in state.configuration.assets:
            exact = twin.money[owner, asset] + sum(
                (
                    twin.held[owner, t.symbol] * price_of(t, marks[t.symbol])
                    for t in state.configuration.terms.values()
                    if t.settlement == asset and t.symbol in marks
                ),
                Fraction(0),
            )
            off = exact - equity(state, owner, asset, marks)
            if abs(off) > 2 * twin.roundings[owner, asset] + 2:
                wrong.append(f"{owner} has {float(off):g} units of {asset} too little")
    return wrong


def check_rounding(command: c.Command, before: State, after: State) -> None:
    """Assert that a trade was rounded up for its payer, and profit down for both, each by less than two units."""
    if not isinstance(command, c.Trade):
        return
    terms = before.configuration.terms[command.instrument]
    exact = command.quantity * price_of(terms, command.price)  # what the buyer pays; an inverse one receives
    for owner, sign, fee in ((command.buyer, 1, command.buyer_fee), (command.seller, -1, command.seller_fee)):
        old, new = (_position(state, owner, terms) for state in (before, after))
        assert new[0] - old[0] == sign * command.quantity, (
            f"{owner} holds {new[0]} after {old[0]}{sign * command.quantity:+}"
        )
        received = new[1] + new[2] - old[1] - old[2] + fee + settled(before, after, owner, terms)
        short = -sign * exact - received
        pays = sign * exact > 0
        assert 0 <= (short if pays else -short) < 1, f"{owner}'s trade is rounded by {float(short):g} the wrong way"
        quantity = new[0] - old[0]
        if old[0] * quantity < 0:
            closed = Fraction(min(abs(quantity), abs(old[0])))
            profit = received * closed / abs(quantity) + old[2] * closed / abs(old[0])
            realised = new[1] - old[1] + fee + settled(before, after, owner, terms)
            assert 0 <= profit - realised < 2, f"{owner}'s profit is rounded by {float(profit - realised):g}"


def _position(state: State, owner: str, terms: Terms) -> tuple[int, int, int]:
    holdings = state.balances.get(owner, {})
    return (
        holdings.get((HELD, terms.symbol), 0),
        holdings.get((WALLET, terms.settlement), 0),
        holdings.get((terms.basis, terms.settlement), 0),
    )


def settled(before: State, after: State, owner: str, terms: Terms) -> int:
    """What funding and interest took from an owner's wallet within one command, by the old balances."""
    holdings, wallet = before.balances.get(owner, {}), _position(before, owner, terms)
    index = before.indices.get(terms.symbol, 0)
    paid = owed(wallet[0], index, holdings.get((DUE, terms.symbol), 0))
    if owner in HOUSE:
        return paid
    changed = _position(after, owner, terms)[1] != wallet[1]
    for name, quantity in bearing(terms.settlement, wallet[1]):
        paid += owed(quantity, before.indices.get(name, 0), holdings.get((DUE, name), 0)) if changed else 0
    return paid
