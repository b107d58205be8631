"""Worlds under shipped rulebooks hold every invariant, are the same again, and a planted error shows its seed."""

from __future__ import annotations

import os
from typing import Any

import pytest

from crossmargin import load_rulebook
from crossmargin.clearing import House, decide, house
from crossmargin.clearing.events import Posted, Stage, Staged
from crossmargin.clearing.invariants import BrokenError
from crossmargin.clearing.procedure import losses, rows, trades
from crossmargin.errors import InputError
from crossmargin.simulation import BrokenWorldError, Faults, World, simulate
from crossmargin.simulation.checks import Checks
from crossmargin.simulation.market import COINS

# a slide of a third within an hour, then a crawl back: every kind of account is called, closed or taken over
SLIDE = [
    {coin: spot * (1 - 0.35 * min(step, 60) / 60 + 0.1 * max(step - 60, 0) / 200) for coin, spot in COINS.items()}
    for step in range(1, 200)
]
SEEDS = int(os.environ.get("CROSSMARGIN_SEEDS", "200"))
EVENTS = int(os.environ.get("CROSSMARGIN_EVENTS", "50000"))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("hyperliquid-cross@2025-01-01", True),
        ("okx-portfolio", False),
        ("deribit-portfolio", False),
        ("reference", False),
        ("mango-v4", True),
    ],
)
def test_a_slide_closes_accounts_and_every_invariant_holds(name: str, asked: bool) -> None:
    found = simulate(5, load_rulebook(name), events=1600, path=SLIDE, asked=asked)
    assert found.events >= 1600
    assert found.counts["stage: liquidating"] >= 1


def test_the_same_seed_gives_the_same_journal() -> None:
    rulebook = load_rulebook("hyperliquid-cross@2025-01-01")
    one, other = (simulate(5, rulebook, events=300, path=SLIDE) for _ in range(2))
    assert one == other
    assert simulate(6, rulebook, events=300, path=SLIDE).head != one.head


def test_faults_happen_and_are_harmless() -> None:
    world = World(8, load_rulebook("hyperliquid-cross@2025-01-01"), SLIDE, faults=Faults(killed=0.05, full=0.03))
    found = world.run(500)
    assert found.reopened > 5
    assert world.commands > found.events / 3


def test_a_rulebook_that_margins_nothing_here_is_refused() -> None:
    with pytest.raises(InputError, match="margins none"):
        simulate(1, load_rulebook("gmx-v2"), events=100)


@pytest.mark.parametrize("asked", [True, False])
def test_where_nothing_is_traded_people_borrow_and_debts_are_repaid_for_collateral(asked: bool) -> None:
    """Most owe coins against dollars: a squeeze makes those dear."""
    squeeze = [{coin: spot * (1 + 0.8 * min(step, 150) / 150) for coin, spot in COINS.items()} for step in range(200)]
    found = simulate(5, load_rulebook("aave-v3"), events=2500, path=squeeze, asked=asked)
    assert found.counts["stage: liquidating"] >= 3
    assert found.counts["liquidation: repay"] >= 3
    assert found.counts["stage: healthy"] >= 1


def unbooked_fee(patch: pytest.MonkeyPatch) -> None:
    honest = trades.traded

    def wrong(*words: Any, **named: Any) -> Any:  # noqa: ANN401
        return honest(*words, **named)[:-1]

    patch.setattr(rows, "traded", wrong)
    patch.setattr(losses, "traded", wrong)


def doubled_postings(patch: pytest.MonkeyPatch) -> None:
    honest = decide

    def twice(*words: Any) -> Any:  # noqa: ANN401
        events = honest(*words)
        cased = [event for event in events if isinstance(event, Posted) and event.case is not None]
        return (*events, *cased)

    patch.setattr(house, "decide", twice)


def forgotten_commands(patch: pytest.MonkeyPatch) -> None:
    honest = House.__init__

    def behind(self: House, *words: Any, **named: Any) -> None:  # noqa: ANN401
        honest(self, *words, **named)
        self.state.sources = {source: max(last - 1, 0) for source, last in self.state.sources.items()}

    patch.setattr(House, "__init__", behind)


@pytest.mark.parametrize("plant", [unbooked_fee, doubled_postings, forgotten_commands])
def test_a_planted_error_is_told_with_seed_and_step(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    plant(monkeypatch)
    rulebook = load_rulebook("hyperliquid-cross@2025-01-01")
    with pytest.raises((BrokenWorldError, AssertionError)):
        World(3, rulebook, SLIDE, asked=False, faults=Faults(killed=0.02)).run(900)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_long_world_holds_every_invariant(seed: int) -> None:
    names = ["reference", "hyperliquid-cross@2025-01-01", "okx-portfolio", "deribit-portfolio", "vega", "dydx-v4"]
    found = simulate(seed, load_rulebook(names[seed % len(names)]), events=EVENTS, stress=4.0)
    assert found.events >= EVENTS


def test_a_command_that_is_never_answered_is_told() -> None:
    """A world whose commands are no longer taken would go on for ever, and find nothing wrong."""
    world = World(8, load_rulebook("hyperliquid-cross@2025-01-01"), SLIDE)
    world.run(100)
    world.sequence += 1
    with pytest.raises(BrokenWorldError, match="commands arrived"):
        world.run(200)


def test_only_users_are_held_to_their_headroom() -> None:
    """A house owner disposes of what it took over however well it stands; a user who stands well is left alone."""
    cause = {"when": "it holds what a case left to it", "maintenance_headroom": "36369.98"}
    checks = Checks()
    checks._staged(Staged("network", Stage.CLOSED, Stage.LIQUIDATING, cause, "network at 10565"))
    with pytest.raises(BrokenError, match="alice is liquidated with headroom"):
        checks._staged(Staged("alice", Stage.HEALTHY, Stage.LIQUIDATING, cause, "alice at 7"))
