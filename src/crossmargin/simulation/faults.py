"""How a delivery goes wrong: commands twice, late, out of order or lost; feeds that stand still or lie; a full disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from crossmargin.clearing import MemoryJournal

if TYPE_CHECKING:
    from numpy.random import Generator

    from crossmargin.clearing.commands import Command, Quote
    from crossmargin.clearing.records import Batch

__all__ = ["Delivery", "DiskFullError", "Faults", "FaultyJournal", "spoiled"]


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong, each a probability for one command or one round of prices.

    Parameters
    ----------
    repeated, reordered, dropped
        Of commands on their way; what is dropped is sent again later.
    stale, manipulated
        Of one feed, of three or more.
    killed, full
        Of the process at any point, and of the disk; the house is opened again from its journal.
    """

    repeated: float = 0.05
    reordered: float = 0.03
    dropped: float = 0.02
    stale: float = 0.05
    manipulated: float = 0.02
    killed: float = 0.002
    full: float = 0.001


class DiskFullError(OSError):
    """A batch that could not be kept."""


class FaultyJournal(MemoryJournal):
    """A journal whose next append may fail; nothing of it is kept then."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    def append(self, batches: Sequence[Batch]) -> None:
        """Keep batches, or none of them."""
        if self.fails:
            self.fails = False
            raise DiskFullError("the disk is full")
        super().append(batches)


@dataclass(slots=True)
class Delivery:
    """A way that commands of one source take. What it loses comes later: in the end each arrives, once or more."""

    rng: Generator
    faults: Faults
    waiting: deque[Command] = field(default_factory=deque)
    last: Command | None = None

    def deliver(self, command: Command) -> list[Command]:
        """Return what arrives when a command is sent: nothing, it, it twice, one ahead of it.

        A command that arrives ahead of one before it is not taken by the house (its number is not next); whoever sent
        it sends it again.
        """
        self.waiting.append(command)
        if self.rng.random() < self.faults.dropped:
            return []
        arriving = list(self.waiting)
        self.waiting.clear()
        if len(arriving) == 1 and self.rng.random() < self.faults.reordered and self.last is not None:
            arriving = [self.last, *arriving]
        if self.rng.random() < self.faults.repeated:
            arriving.append(arriving[-1])
        if len(arriving) > 1 and self.rng.random() < self.faults.reordered:
            arriving = [*arriving[1:], *arriving]
        self.last = command
        return arriving

    def rest(self) -> list[Command]:
        """Return what has not arrived yet."""
        left = list(self.waiting)
        self.waiting.clear()
        return left


def spoiled(
    feeds: dict[str, dict[str, Quote]], before: dict[str, dict[str, Quote]], rng: Generator, faults: Faults
) -> dict[str, dict[str, Quote]]:
    """Return the feeds' quotes, of which at most one stands still or lies."""
    bad = sorted(feeds)[int(rng.integers(len(feeds)))]
    if rng.random() < faults.stale and bad in before:
        return {**feeds, bad: before[bad]}
    if rng.random() < faults.manipulated:
        factor = float(rng.choice([0.2, 0.7, 1.5, 5.0]))
        return {**feeds, bad: {name: _moved(quote, factor) for name, quote in feeds[bad].items()}}
    return feeds


def _moved(quote: Quote, factor: float) -> Quote:
    return replace(quote, price=max(round(quote.price * factor), 1))
