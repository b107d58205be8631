"""The numbers that a program reads: constants, tables, forms, lanes, tiers and scenario rows, each held once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.margin.program.nodes import COLUMNS, QUANTITY, Op, Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["WIDTH", "LegSums", "Pool", "Pools", "lane_group", "leg_sums"]

WIDTH: Final = 8  # numbers in a cache line, and in the widest vector


_LARGE: Final = 1 << 17  # bytes: to find that such an array is there already takes longer than to lay it out again


class Pool:
    """Arrays laid end to end; equal ones once, but for the large."""

    def __init__(self, dtype: Any = np.float64) -> None:  # noqa: ANN401 - what NumPy takes for one
        self.dtype = np.dtype(dtype)
        self.length = 0
        self._parts: list[npt.NDArray[Any]] = []
        self._place: dict[tuple[tuple[int, ...], bytes], int] = {}

    def add(self, values: Any) -> int:  # noqa: ANN401 - anything like an array
        """Return where the values stand."""
        part = np.ascontiguousarray(values, dtype=self.dtype)
        if part.nbytes > _LARGE:
            return self._laid(part)
        key = part.shape, part.tobytes()
        if key not in self._place:
            self._place[key] = self._laid(part)
        return self._place[key]

    def _laid(self, part: npt.NDArray[Any]) -> int:
        self._parts.append(part.ravel())
        self.length += part.size
        return self.length - part.size

    def array(self) -> npt.NDArray[Any]:
        """Return all of it in one array."""
        if len(self._parts) == 1:
            return self._parts[0]
        return np.concatenate(self._parts) if self._parts else np.zeros(0, dtype=self.dtype)


@dataclass(slots=True)
class Pools:
    """The pools of one program. Rows of integers whose numbers may be operands are kept as lists until the end."""

    constants: Pool = field(default_factory=Pool)
    tables: Pool = field(default_factory=Pool)
    shares: Pool = field(default_factory=Pool)
    lanes: Pool = field(default_factory=Pool)
    matrices: Pool = field(default_factory=Pool)
    upto: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    which: Pool = field(default_factory=lambda: Pool(np.int32))
    forms: list[tuple[int, int]] = field(default_factory=list)
    tier_sets: list[tuple[int, int, int, int]] = field(default_factory=list)
    lane_groups: list[tuple[int, int, int, int]] = field(default_factory=list)
    lane_terms: list[tuple[int, int]] = field(default_factory=list)
    scans: list[tuple[int, ...]] = field(default_factory=list)
    folds: list[list[Any]] = field(default_factory=list)
    segments: list[list[Any]] = field(default_factory=list)
    _tiers_at: dict[Any, int] = field(default_factory=dict)

    def form(self, terms: Sequence[tuple[str, Floats]]) -> int:
        """Return where a sum of leg numbers begins: a row for each of its terms."""
        self.forms += [(COLUMNS.index(name), self.tables.add(values)) for name, values in terms]
        return len(self.forms) - len(terms)

    def tiers(self, upto: Floats, rate: Floats, which: npt.NDArray[np.int32] | None) -> int:
        """Return the number of a set of tier tables [tables, tiers], and which one each row reads."""
        key = upto.shape, upto.tobytes(), rate.tobytes()
        if key not in self._tiers_at:
            self._tiers_at[key] = len(self.upto)
            self.upto += upto.ravel().tolist()
            self.rate += rate.ravel().tolist()
        place = -1 if which is None else self.which.add(which)
        self.tier_sets.append((self._tiers_at[key], upto.shape[1], upto.shape[0], place))
        return len(self.tier_sets) - 1


class LegSums(NamedTuple):
    """Sums of legs onto one level, each once, and the lane of each node among them."""

    distinct: list[Terms]
    lane_of: dict[int, int]

    def takes(self, name: str) -> bool:
        """Whether some sum takes a number of the leg."""
        return any(name in terms.by for terms in self.distinct)

    def coefficients(self, name: str) -> Floats:
        """Return what each sum takes of a number of the leg [template legs, lanes]."""
        return np.stack([terms.by.get(name, self._nothing) for terms in self.distinct], axis=1)

    @property
    def _nothing(self) -> Floats:
        return np.zeros(next(values.shape[0] for terms in self.distinct for values in terms.by.values()))


def leg_sums(nodes: Sequence[Op]) -> LegSums:
    """Return sums of legs onto one level; equal ones share a lane."""
    lane_of: dict[int, int] = {}
    known: dict[tuple[Any, ...], int] = {}
    distinct: list[Terms] = []
    for node in nodes:
        (terms,) = node.parts
        assert isinstance(terms, Terms)
        key = tuple((name, terms.by[name].tobytes()) for name in sorted(terms.by))
        if key not in known:
            known[key] = len(distinct)
            distinct.append(terms)
        lane_of[id(node)] = known[key]
    return LegSums(distinct, lane_of)


def lane_group(sums: LegSums, pools: Pools, first: int = 0, *, left: bool = False) -> int:
    """Return the number of a group of lanes from `first` on; a scan may have `left` what quantities add to them."""
    wide = -(-(first + len(sums.distinct)) // WIDTH) * WIDTH
    names = [name for name in COLUMNS if sums.takes(name) and not (left and name == QUANTITY)]
    blocks = [sums.coefficients(name) for name in names]
    laid = np.zeros((len(blocks), blocks[0].shape[0] if blocks else 0, wide))
    for place, block in zip(laid, blocks, strict=True):
        place[:, first : first + block.shape[1]] = block
    pools.lane_terms += [(COLUMNS.index(name), number) for number, name in enumerate(names)]
    start = pools.lanes.add(laid) if blocks else 0
    pools.lane_groups.append((start, wide, len(pools.lane_terms) - len(names), len(names)))
    return len(pools.lane_groups) - 1
