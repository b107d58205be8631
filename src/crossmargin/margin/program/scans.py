"""Scans lowered: those that may share one pass over the legs do, side by side in one matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.margin.program.nodes import Op, Table, walk
from crossmargin.margin.program.pools import WIDTH
from crossmargin.margin.program.scan_columns import Beside, Layout, layout_of
from crossmargin.margin.program.template import SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from crossmargin.margin.program.kinds import Bend, Scanned
    from crossmargin.margin.program.pools import Pools

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["LEVEL_NUMBER", "NONE", "add_scan", "scan_groups"]

LEVEL_NUMBER: Final = {"leg": 0, "strike": 1, "expiry": 2, "bucket": 3, "asset": 4, "account": 5}
NONE: Final = -(1 << 31)
"""An operand that is not there."""
_MEASURES: Final = {"worst": 0, "expected_shortfall": 1, "value_at_risk": 1, "mean": 2, "row": 2}
_CELLS: Final = 3


class _Rows(NamedTuple):
    """The rows of scenarios that a pass reads: the contract of each and its scale in each scan, 0 where left out.

    `of_leg` is None where each row of the template has its own.
    """

    of_leg: npt.NDArray[np.int32] | None
    contract: Ints
    scale: Floats


def scan_groups(nodes: Sequence[Op]) -> list[tuple[Op, ...]]:
    """Return which scans share a pass over the legs: those that climb the same levels.

    One that closes out has a pass of its own, and so has one that reads another's result: it stands behind it.
    """
    groups: dict[Any, list[Op]] = {}
    for node in nodes:
        behind = any(isinstance(n, Op) and n.name == "scan" for n in walk(list(node.parts)))
        alone = behind or node.more.shocked is not None
        groups.setdefault((node.more.chain, id(node) if alone else 0), []).append(node)
    return [tuple(members) for members in groups.values()]


def add_scan(
    slots: Sequence[Sequence[Op]],
    contract: Ints,
    pools: Pools,
    operand: Callable[[Op, int], Any],
    made: Sequence[Any],
    sums: Beside | None = None,
) -> int:
    """Return the number of a scan of several lines; `operand(node, place)` is the value of one of a node's parts.

    `contract` [template legs] is each leg's contract, `made` what stands for the lines of each slot, and then for the
    `sums` of :func:`lanes_beside`, of which the scan leaves those of quantities.
    """
    members = [node for slot in slots for node in slot]
    chain = members[0].more.chain
    first_fold, first_segment = len(pools.folds), len(pools.segments)
    rows = _distinct(members, contract) if sums is None else _each(members, contract)
    layout = layout_of(slots, sums)
    bends: list[tuple[int, list[Any]]] = []
    for (node, *_), value, start, last in zip(slots, made, layout.starts, layout.ends, strict=False):
        bends += [
            (chain.index(bend.level), _fold(bend, (start, last), layout.pitch, node, operand, pools))
            for bend in node.more.bends
        ]
        pools.segments.append(_segment(node, start, last, operand, value, pools))
    starts = [start for slot, start in zip(slots, layout.starts, strict=True) for _ in slot]
    if sums is not None:
        first = layout.pitch - WIDTH + layout.first
        pools.segments.append([first, first + sums.lanes, _CELLS, 1, -1, made[len(slots)], _constant(1.0, pools), 0])
    pools.folds += [row for _, row in sorted(bends, key=lambda found: found[0])]
    cells = _cells(rows, [node.more.gain for node in members], starts, layout, sums)
    shocked = members[0].more.shocked
    if shocked is not None:  # beside them, as far apart as the fold says that closes out
        cells = np.hstack([cells, _cells(rows, [shocked], starts, layout)])
    levels = [LEVEL_NUMBER[level] for level in chain]
    pools.scans.append(
        (
            -1 if rows.of_leg is None else pools.which.add(rows.of_leg),
            pools.matrices.add(cells),
            cells.shape[1],
            *levels,
            *[0] * (3 - len(levels)),
            first_segment,
            len(pools.segments) - first_segment,
            first_fold,
            len(pools.folds) - first_fold,
            0 if sums is None else sum(one << layout.first + lane for lane, one in enumerate(sums.unsigned)),
        )
    )
    return len(pools.scans) - 1


def _distinct(members: Sequence[Op], contract: Ints) -> _Rows:
    """Return the distinct rows of the template's legs: most often one for each contract, and one of zeros."""
    scale = np.stack([node.more.scale for node in members])
    code = contract.astype(np.int64)
    for one in scale:
        code = _told_apart(code, one, contract)
    code[~scale.any(axis=0)] = -1  # what no scan takes
    _, first, of_leg = np.unique(code, return_index=True, return_inverse=True)
    return _Rows(of_leg.astype(np.int32), contract[first], scale[:, first])


def _told_apart(code: Ints, scale: Floats, contract: Ints) -> Ints:
    """Return codes that differ where they did, or where the scale does: nearly all legs of a contract have the same."""
    usual = np.zeros(int(contract.max(initial=-1)) + 1)
    usual[contract[scale != 0]] = scale[scale != 0]
    odd = (scale != 0) & (scale != usual[contract])
    values, rank = np.unique(scale[odd], return_inverse=True)
    kind = (scale != 0).astype(np.int64)
    kind[odd] = rank + 2
    kinds = values.shape[0] + 2
    if int(code.max(initial=0)) >= (1 << 62) // kinds:
        code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    told: Ints = code * kinds + kind
    return told


def _each(members: Sequence[Op], contract: Ints) -> _Rows:
    """Return a row for each row of the template, whatever the side."""
    scale = np.stack([node.more.scale[::SIDES] for node in members])
    return _Rows(None, contract[::SIDES], scale)


def _cells(
    rows: _Rows, tables: Sequence[Floats], starts: Sequence[int], layout: Layout, sums: Beside | None = None
) -> Floats:
    """Return the cells of each row, scaled, scan beside scan [rows, columns]; the rest is zeros."""
    cells = np.zeros((rows.contract.shape[0], layout.pitch))
    for scale, table, start in zip(rows.scale, tables, starts, strict=False):
        inside = np.flatnonzero(scale)
        found = table.take(rows.contract[inside], axis=0)
        found *= scale[inside, None]
        cells[inside, start : start + table.shape[1]] = found
    if sums is not None:
        first = layout.pitch - WIDTH + layout.first
        cells[:, first : first + sums.lanes] = sums.coefficients
    return cells


def _constant(value: float, pools: Pools) -> int:
    return -1 - pools.constants.add([value])


def _fold(
    bend: Bend, columns: tuple[int, int], pitch: int, node: Op, operand: Callable[[Op, int], Any], pools: Pools
) -> list[Any]:
    start, end = columns
    places = (bend.gain, bend.loss, bend.gain_cap, bend.deductible)
    lacking = (0, 0, _constant(np.inf, pools), NONE)
    parts = [other if place is None else operand(node, place) for place, other in zip(places, lacking, strict=True)]
    # where columns of zeros stay zeros whole vectors are folded
    amounts = [node.parts[place] for place in places[2:] if place is not None]
    zeros_stay = all(isinstance(part, Table) and bool(np.all(part.values >= 0)) for part in amounts)
    last = end if zeros_stay and bend.last == node.more.gain.shape[1] else start + bend.last
    return [pitch * bend.close_out, LEVEL_NUMBER[bend.level], start + bend.first, last, *parts]


def _segment(
    node: Op,
    start: int,
    end: int,
    operand: Callable[[Op, int], Any],
    made: Any,  # noqa: ANN401 - the caller's values
    pools: Pools,
) -> list[Any]:
    more: Scanned = node.more
    tail = more.tail
    shares = -1 if tail.shares is None else pools.shares.add(tail.shares)
    by = None if tail.measure == "mean" else more.weight  # a mean is made of the sum, and weighted then
    weight = _constant(1.0, pools) if by is None else operand(node, by)
    last = end if tail.measure == "worst" else start + more.gain.shape[1]  # a zero is never the worst loss
    return [start, last, _MEASURES[tail.measure], tail.depth, shares, made, weight, 0]
