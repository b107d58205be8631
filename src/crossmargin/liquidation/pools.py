"""What a procedure reads of a pool: its figures and its legs, as numbers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from crossmargin.liquidation.formulas import Amount

__all__ = ["Figures", "Leg", "Pool", "Terms"]


class Figures(Mapping[str, "Amount"]):
    """Numbers by name, of which some are made only when they are asked for.

    Parameters
    ----------
    known
        Numbers at hand.
    made
        What makes the others; each is made once.
    """

    def __init__(self, known: Mapping[str, Amount], made: Mapping[str, Callable[[], Amount]] | None = None) -> None:
        self._known = dict(known)
        self._made: Mapping[str, Callable[[], Amount]] = made or {}

    def __getitem__(self, name: str) -> Amount:
        """Return a number; raises KeyError for a name that there is not."""
        if name not in self._known:
            self._known[name] = self._made[name]()
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is a number of that name, without making it."""
        return name in self._known or name in self._made

    def __iter__(self) -> Iterator[str]:
        """Yield every name once."""
        yield from {**self._known, **self._made}

    def __len__(self) -> int:
        """Return how many names there are."""
        return len({**self._known, **self._made})


@dataclass(frozen=True, slots=True)
class Terms:
    """What changes hands when contracts do.

    Parameters
    ----------
    settles_in
        The asset that pays.
    multiplier
        As the interchange has it: base units per contract, of an inverse contract quote units.
    form
        `linear` and `inverse` contracts keep the money of a trade with the position; a `premium`, or the price of
        spot, is paid at once; an `asset` is itself what is held.
    mark
        Mark price, as the instrument quotes it.
    """

    settles_in: str
    multiplier: Fraction = Fraction(1)
    form: Literal["linear", "inverse", "premium", "asset"] = "linear"
    mark: Fraction = Fraction(0)

    def money(self, contracts: Fraction, price: Fraction) -> Fraction:
        """Return what whoever takes `contracts` more receives in `settles_in`, signed; a buyer's is negative."""
        if self.form == "inverse":
            return contracts * self.multiplier / price
        return -contracts * self.multiplier * price


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """One position or balance of a pool.

    Parameters
    ----------
    words
        What `of` may ask for: its kind, `long`, `call`, tags of the rulebook ...
    keys
        What keyed tables look it up by: `bucket`, `instrument`, `asset` ...
    figures
        Numbers of the vocabulary.
    """

    name: str
    figures: Mapping[str, Amount]
    words: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)
    terms: Terms = field(default_factory=lambda: Terms("USD"))

    def fits(self, of: tuple[frozenset[str], ...]) -> bool:
        """Return whether one of the conjunctions of words holds; no conjunction: any leg does."""
        return not of or any(words <= self.words for words in of)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """A pool at one moment: its own figures and those of its legs, in listed order."""

    figures: Mapping[str, Amount]
    legs: Sequence[Leg] = ()

    def leg(self, name: str) -> Leg | None:
        """Return a leg by name; None where the pool has none."""
        return next((leg for leg in self.legs if leg.name == name), None)
