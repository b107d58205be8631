"""Where a formula is evaluated: the rows of a level, and the legs that count there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.tape import plain
from crossmargin.margin.touched import looks_at_balances
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.measures import Measures
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_EVERYTHING = (frozenset({"*"}),)
_NOT_MUTED = frozenset({"-muted"})


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a formula is evaluated: a level's rows, and the legs that count there.

    `legs` and `rows` are indices, or None for all; `row_of` gives the position among `rows` of each of `legs`.
    """

    level: str
    of: tuple[frozenset[str], ...]
    legs: Ints
    rows: Ints
    row_of: Ints

    @property
    def key(self) -> tuple[str, tuple[frozenset[str], ...]]:
        """What makes two frames of one evaluation the same."""
        return self.level, self.of


class Frames:
    """The frames of one evaluation, each made on first use."""

    def __init__(
        self, resolved: Resolved, rulebook: Rulebook, measures: Measures, shared: dict[Any, Any] | None = None
    ) -> None:
        self.resolved = resolved
        self.rulebook = rulebook
        self.measures = measures
        legs, quantity = resolved.legs, plain(measures.contracts_held)
        self._any_muted = bool(legs.muted.any())
        self._active = (quantity != 0) | (legs.cost != 0) | (plain(legs.accrued) != 0)
        self._active |= (plain(legs.bids) != 0) | (plain(legs.asks) != 0)  # an order's leg is looked up before it fills
        if looks_at_balances(rulebook):  # an asset that is settled in has a row before it has a balance
            self._active |= measures.of_contract("kind") == ASSET
        # which legs hold anything, and on which side: all that frames depend on
        self.sides = (self._active.tobytes(), np.sign(quantity).tobytes(), np.sign(legs.quantity).tobytes())
        self._legs: dict[tuple[frozenset[str], ...], Ints] = {}  # what levels have in common
        self._kept: dict[tuple[str, tuple[frozenset[str], ...]], Frame] = (
            {} if shared is None else shared.setdefault(("frames", self.sides), {})
        )

    def row_count(self, level: str) -> int:
        """Return the number of rows of a level."""
        return self.resolved.legs.contract.shape[0] if level == "leg" else len(self.resolved.levels[level])

    def account(self) -> Frame:
        """Return the frame of requirements: every unit, every leg."""
        key = ("account", _EVERYTHING)
        if key not in self._kept:
            legs = np.arange(self.row_count("leg"))
            self._kept[key] = Frame(*key, legs, np.arange(len(self.resolved.units)), self.resolved.legs.unit)
        return self._kept[key]

    def of(self, level: str, of: tuple[frozenset[str], ...], *, charged: bool) -> Frame:
        """Return the rows of `level` that hold a selected leg. `charged` leaves out muted opposite positions."""
        muted = charged and self._any_muted
        key = (level, (*of, _NOT_MUTED) if muted else of)
        if key not in self._kept:
            if key[1] not in self._legs:
                chosen = self.selected(of)
                if muted:
                    chosen = chosen & ~self.resolved.legs.muted
                self._legs[key[1]] = chosen.nonzero()[0]
            self._kept[key] = self._frame(key, self._legs[key[1]])
        return self._kept[key]

    def _frame(self, key: tuple[str, tuple[frozenset[str], ...]], legs: Ints) -> Frame:
        level = key[0]
        if level == "leg":
            return Frame(*key, legs, legs, np.arange(legs.shape[0]))
        full = self.resolved.levels[level].row_of_leg[legs]
        present = np.zeros(self.row_count(level), dtype=bool)
        present[full] = True
        place = np.cumsum(present, dtype=np.int64) - 1
        return Frame(*key, legs, present.nonzero()[0], place[full])

    def selected(self, of: tuple[frozenset[str], ...]) -> Flags:
        """Return which legs count: those that hold anything and that `of` selects (none given: all)."""
        active = self._active
        if not of:
            return np.asarray(active)
        union = np.zeros(active.shape, dtype=bool)
        for conjunction in of:
            chosen = active
            for word in sorted(conjunction):
                chosen = chosen & (self._tagged(word) if word in self.rulebook.tags else self.measures.word(word))
            union |= chosen
        return union

    def _tagged(self, word: str) -> Flags:
        tag, names, c = self.rulebook.tags[word], self.resolved.names, self.resolved.contracts
        by_symbol = np.asarray([s in tag.instruments for s in names.symbols], dtype=bool)[c.symbol]
        by_asset = np.asarray([a in tag.assets for a in names.assets], dtype=bool)[c.own_asset] & (c.kind == ASSET)
        by_bucket = np.asarray([b in tag.underlyings for b in names.buckets], dtype=bool)[c.bucket]
        return np.asarray((by_symbol | by_asset | by_bucket)[self.resolved.legs.contract])
