"""What one run of the benchmark works on: how many accounts, threads and repetitions, the limits, the books."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from crossmargin.bench.accounts import compact_accounts
from crossmargin.bench.market import coin_market, perpetual_market
from crossmargin.margin.program.program import make_market
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.bench.machine import Limits
    from crossmargin.bench.market import Market
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.compact import CompactBook
    from crossmargin.scenarios import Contracts

__all__ = ["DERIBIT", "FORMULA_RULEBOOKS", "NotHereError", "Setting", "Stage"]

DERIBIT: Final = "deribit-portfolio@2024-04-01"
FORMULA_RULEBOOKS: Final = ("derive-standard", "binance-usdm")


class NotHereError(Exception):
    """A work that cannot be done here; says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A market, a rulebook, and accounts laid out for it."""

    market: Market
    rulebook: Rulebook
    book: CompactBook

    def contracts(self) -> Contracts:
        """Return the columns of every contract of the book's universe, at the market's prices."""
        return make_market(self.book.universe, self.market.snapshot, self.rulebook).priced.contracts


@dataclass(frozen=True, slots=True)
class Setting:
    """One run. `threads` are the numbers of threads that works are timed on, 1 first; `limits` by number of cores.

    `enough` seconds of turns end a comparison before all `repetitions` are done: what is slow is timed less often.
    """

    accounts: int
    repetitions: int
    threads: tuple[int, ...]
    quick: bool
    limits: Mapping[int, Limits]
    enough: float
    stages: dict[tuple[str, int], Stage] = field(default_factory=dict)

    def read_limit(self, threads: int, moved: int) -> tuple[str, float] | None:
        """Return the name and the least seconds of reading so many bytes from the second-level caches."""
        limits = self.limits.get(threads)
        return ("L2 reads", moved / limits.read_bytes) if limits else None

    def stage(self, spec: str = DERIBIT, accounts: int | None = None) -> Stage:
        """Return accounts on the rulebook's market; made once."""
        key = (spec, accounts or self.accounts)
        if key not in self.stages:
            self.stages[key] = make_stage(*key)
        return self.stages[key]


def make_stage(spec: str, accounts: int, legs: float = 20.0) -> Stage:
    """Return so many accounts of about so many positions on the market that the rulebook margins."""
    market, rulebook = market_of(spec), load_rulebook(spec)
    return Stage(market, rulebook, compact_accounts(market, rulebook, accounts, legs))


def market_of(spec: str) -> Market:
    """Return the market on which a rulebook is timed."""
    if spec.startswith("binance"):
        return perpetual_market()
    return coin_market(inverse=(), futures=False) if spec.startswith("derive") else coin_market()
