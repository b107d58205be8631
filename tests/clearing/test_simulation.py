"""Seeded runs hold every invariant; a planted error of each sort breaks one, which says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crossmargin import load_rulebook
from crossmargin.clearing import (
    MemoryJournal,
    contracts,
    decide,
    handlers_account,
    house,
    indexes,
    rules_of,
    state,
    trading,
)
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Posted
from crossmargin.errors import InputError
from tests.clearing import venue
from tests.clearing.world import World

SEEDS, COMMANDS = 10, 300
Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_world_holds_its_invariants(seed: int) -> None:
    world = World(seed).run(COMMANDS)
    assert 0 < world.refused < COMMANDS / 5


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 130))
def test_a_longer_world_holds_its_invariants(seed: int) -> None:
    assert World(seed).run(10_000).refused > 0


def test_a_world_is_the_same_again() -> None:
    one, other = World(3).run(60), World(3).run(60)
    assert one.desk.house.head == other.desk.house.head


def test_a_world_under_a_real_rulebook_holds_its_invariants() -> None:
    world = World(11, rules_of(load_rulebook("reference"), max_quote_age_seconds=None))
    quotes: dict[str, c.Quote] = {name: c.Quote(price=price) for name, price in world.marks.items()}
    quotes |= {"USDC": c.Quote(price=10**8), "BTC": c.Quote(price=6_000_000), "ETH": c.Quote(price=200_000)}
    world.send(c.Prices(**world.desk.named(), quotes=dict.fromkeys("abc", quotes)))
    for owner in venue.ACCOUNTS:
        world.send(c.Deposit(**world.desk.named(), owner=owner, asset="USDC", amount=300_000 * 10**6))
    world.run(100)
    assert world.refused > 10  # the engine says no now and then


# --- planted errors


def sign_of_the_basis(patch: pytest.MonkeyPatch) -> None:
    honest = trading.side_rows

    def wrong(terms: Any, owner: str, holdings: Any, quantity: int, money: int, fee: int) -> Any:  # noqa: ANN401
        return honest(terms, owner, holdings, quantity, -money, fee)

    patch.setattr(trading, "side_rows", wrong)


def sign_of_one_side(patch: pytest.MonkeyPatch) -> None:
    honest = trading.side_rows

    def wrong(terms: Any, owner: str, holdings: Any, quantity: int, money: int, fee: int) -> Any:  # noqa: ANN401
        return honest(terms, owner, holdings, quantity, -abs(money), fee)

    patch.setattr(trading, "side_rows", wrong)


def sign_of_a_fee(patch: pytest.MonkeyPatch) -> None:
    honest = trading.trade_rows

    def wrong(*words: Any) -> Any:  # noqa: ANN401
        rows = honest(*words)
        return [(owner, purse, asset, -amount if owner == "fees" else amount) for owner, purse, asset, amount in rows]

    patch.setattr(handlers_account, "trade_rows", wrong)


def sign_of_funding(patch: pytest.MonkeyPatch) -> None:
    honest = indexes.funding_step
    patch.setattr("crossmargin.clearing.handlers_market.funding_step", lambda *words: -honest(*words))


def rounding_of_a_trade(patch: pytest.MonkeyPatch) -> None:
    def down(terms: contracts.Terms, quantity: int, price: int) -> int:
        return int(abs(contracts.worth(terms, quantity, price)) // 1)

    patch.setattr(handlers_account, "trade_money", down)


def rounding_of_funding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(indexes, "owed", lambda quantity, index, due: (quantity * index - due) // indexes.PER_UNIT)


def rounding_of_profit(patch: pytest.MonkeyPatch) -> None:
    def up(held: int, basis: int, quantity: int, money: int) -> int:
        return -honest(held, -basis, quantity, -money)

    honest = trading.realised
    patch.setattr(trading, "realised", up)


def doubled_event(patch: pytest.MonkeyPatch) -> None:
    honest = decide

    def twice(*words: Any) -> Any:  # noqa: ANN401
        events = honest(*words)
        return events * 2 if isinstance(events[0], Posted) and events[0].cause == "trade" else events

    patch.setattr(house, "decide", twice)


def doubled_fold(patch: pytest.MonkeyPatch) -> None:
    honest = state.fold

    def twice(live: Any, record: Any) -> None:  # noqa: ANN401
        honest(live, record)
        honest(live, record)

    patch.setattr(house, "fold", twice)


def lost_event(patch: pytest.MonkeyPatch) -> None:
    honest = decide

    def none(*words: Any) -> Any:  # noqa: ANN401
        events = honest(*words)
        is_trade = isinstance(events[0], Posted) and events[0].cause == "trade"
        return (Posted("trade", None, ()),) if is_trade else events

    patch.setattr(house, "decide", none)


def lost_record(patch: pytest.MonkeyPatch) -> None:
    honest = MemoryJournal.append

    def some(self: MemoryJournal, batches: Any) -> None:  # noqa: ANN401
        honest(self, [batch for batch in batches if batch.first % 17])

    patch.setattr(MemoryJournal, "append", some)


def repeated_command(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(house, "known", lambda *_: False)


PLANTED: list[tuple[Plant, str]] = [
    (sign_of_the_basis, "rounded by"),
    (sign_of_one_side, "do not sum to 0"),
    (sign_of_a_fee, "do not sum to 0"),
    (sign_of_funding, "too little"),
    (rounding_of_a_trade, "rounded"),
    (rounding_of_funding, "would receive"),
    (rounding_of_profit, "rounded"),
    (doubled_event, "holds"),
    (doubled_fold, "cannot follow"),
    (lost_event, "holds"),
    (lost_record, "expected record"),
    (repeated_command, "answered before"),
]


@pytest.mark.parametrize(("plant", "told"), PLANTED, ids=lambda one: getattr(one, "__name__", ""))
def test_a_planted_error_is_caught(plant: Plant, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, InputError), match=told):
        World(1).run(COMMANDS)
