"""The numbers that a program reads: constants, tables, forms, lanes, tiers and scenario rows, each held once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.margin.program.nodes import COLUMNS, Op, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["TIERED", "WIDTH", "LegSums", "Pool", "Pools", "leg_sums"]

WIDTH: Final = 8  # numbers in a cache line, and in the widest vector


TIERED: Final = frozenset({"marginal", "step", "ramp"})
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
            return self.extend(part)
        key = part.shape, part.tobytes()
        if key not in self._place:
            self._place[key] = self.extend(part)
        return self._place[key]

    def extend(self, part: npt.NDArray[Any]) -> int:
        """Return where the values stand, which are laid behind what is there."""
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
    upto: Pool = field(default_factory=Pool)
    pieces: Pool = field(default_factory=Pool)
    which: Pool = field(default_factory=lambda: Pool(np.int32))
    tier_sets: list[tuple[int, int, int, int]] = field(default_factory=list)
    lane_groups: list[list[int]] = field(default_factory=list)
    scans: list[tuple[int, ...]] = field(default_factory=list)
    folds: list[list[Any]] = field(default_factory=list)
    segments: list[list[Any]] = field(default_factory=list)
    _tiers_at: dict[Any, int] = field(default_factory=dict)

    def sums(self, coefficients: Mapping[str, Floats]) -> int:
        """Return the number of a group of sums of legs; what they take of each column [template legs, sums]."""
        places = {name: self.lanes.add(_padded(values)) for name, values in coefficients.items()}
        self.lane_groups.append([places.get(name, -1) for name in COLUMNS])
        return len(self.lane_groups) - 1

    def tiers(self, name: str, upto: Floats, rate: Floats, which: npt.NDArray[np.int32] | None) -> int:
        """Return the number of a set of tier tables [tables, tiers], and which one each row reads."""
        key = name, upto.shape, upto.tobytes(), rate.tobytes()
        if key not in self._tiers_at:
            self._tiers_at[key] = self.upto.extend(upto)
            self.pieces.extend(_pieces(name, upto, rate))
        place = -1 if which is None else self.which.add(which)
        self.tier_sets.append((self._tiers_at[key], upto.shape[1], upto.shape[0], place))
        return len(self.tier_sets) - 1


def _pieces(name: str, upto: Floats, rate: Floats) -> Floats:
    """Return what a function of tiers is on each: base, start, span, slope of base + (x - start) / span * slope.

    A piece whose span has no end is level.
    """
    start = np.concatenate([np.zeros((upto.shape[0], 1)), upto[:, :-1]], axis=1)
    if name == "step":
        base, span, slope = rate, np.full(upto.shape, np.inf), np.zeros(upto.shape)
    elif name == "ramp":
        base = np.concatenate([rate[:, :1], rate[:, :-1]], axis=1)
        span, slope = np.where(upto < np.inf, upto, np.inf) - np.where(upto < np.inf, start, 0.0), rate - base
        span[:, 0] = np.inf
    else:
        with np.errstate(invalid="ignore"):  # tiers behind one without end are never reached
            below = np.cumsum((upto - start) * rate, axis=1)
        base = np.concatenate([np.zeros((upto.shape[0], 1)), below[:, :-1]], axis=1)
        span, slope = np.ones(upto.shape), rate
    return np.stack([base, start, span, slope], axis=-1)


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


def _padded(values: Floats) -> Floats:
    """Return the columns filled up to whole cache lines, but for a single one."""
    columns = values.shape[1]
    return values if columns == 1 else np.pad(values, ((0, 0), (0, -columns % WIDTH)))


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
