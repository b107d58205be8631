"""Scans lowered: those that may share one pass over the legs do, side by side in one matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.program.nodes import Op, walk
from crossmargin.margin.program.pools import WIDTH

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
_MEASURES: Final = ("worst", "expected_shortfall", "value_at_risk", "mean", "row")


def scan_groups(nodes: Sequence[Op], contract: Ints) -> list[tuple[tuple[Op, ...], Floats]]:
    """Return which scans share a pass, and the scale [template legs] of each such group; `contract` [template legs]."""
    groups: list[tuple[list[Op], Floats]] = []
    alone = {id(node) for node in nodes if any(isinstance(n, Op) and n.name == "scan" for n in walk(list(node.parts)))}
    for node in nodes:
        for place, (members, scale) in enumerate(groups):
            joined = None if id(node) in alone else _joined(members, scale, node, contract)
            if joined is not None:
                members.append(node)
                groups[place] = (members, joined)
                break
        else:
            groups.append(([node], node.more.scale))
    return [(tuple(members), scale) for members, scale in groups]


def _joined(members: list[Op], scale: Floats, node: Op, contract: Ints) -> Floats | None:
    """Return the scale that serves a group with one more scan, None where they cannot share one."""
    first: Scanned = members[0].more
    more: Scanned = node.more
    if first.chain != more.chain or first.shocked is not None or more.shocked is not None:
        return None
    both = (scale != 0) & (more.scale != 0)
    if (scale != more.scale)[both].any():
        return None
    joined = np.where(scale != 0, scale, more.scale)
    # a contract that one of them leaves out is a row of zeros there: it must be left out on all of its template legs
    for member in (*members, node):
        left_out = (member.more.scale == 0) & (joined != 0)
        kept = np.zeros(int(contract.max(initial=-1)) + 1, dtype=bool)
        kept[contract[member.more.scale != 0]] = True
        if kept[contract[left_out]].any():
            return None
    return joined


def add_scan(
    members: Sequence[Op],
    scale: Floats,
    contract: Ints,
    pools: Pools,
    operand: Callable[[Op, int], Any],
    made: Sequence[Any],
) -> int:
    """Return the number of a scan of several lines; `operand(node, place)` is the value of one of a node's parts."""
    chain = members[0].more.chain
    first_fold, first_segment = len(pools.folds), len(pools.segments)
    columns: list[Floats] = []
    start = 0
    bends: list[tuple[int, list[Any]]] = []
    for node, value in zip(members, made, strict=True):
        more: Scanned = node.more
        rows = _rows(more, contract)
        columns.append(rows)
        wide = rows.shape[1]
        bends += [(chain.index(bend.level), _fold(bend, start, wide, node, operand)) for bend in more.bends]
        pools.segments.append(_segment(more, start, wide, node, operand, value, pools))
        start += rows.shape[1]
    pools.folds += [row for _, row in sorted(bends, key=lambda found: found[0])]
    shocked = members[0].more.shocked
    levels = [LEVEL_NUMBER[level] for level in chain]
    pools.scans.append(
        (
            pools.tables.add(scale),
            pools.matrices.add(np.concatenate(columns, axis=1)),
            start,
            -1 if shocked is None else pools.matrices.add(_padded(shocked)),
            next((LEVEL_NUMBER[bend.level] for bend in members[0].more.bends if bend.close_out), 0),
            *levels,
            *[0] * (3 - len(levels)),
            first_segment,
            len(pools.segments) - first_segment,
            first_fold,
            len(pools.folds) - first_fold,
        )
    )
    return len(pools.scans) - 1


def _rows(more: Scanned, contract: Ints) -> Floats:
    """Return the scan's rows, zero where no leg of a contract is selected, padded to whole vectors."""
    chosen = np.zeros(more.gain.shape[0], dtype=bool)
    chosen[contract[more.scale != 0]] = True
    return _padded(np.where(chosen[:, None], more.gain, 0.0))


def _padded(rows: Floats) -> Floats:
    wide = -(-rows.shape[1] // WIDTH) * WIDTH
    return np.pad(rows, ((0, 0), (0, wide - rows.shape[1])))


def _fold(bend: Bend, start: int, wide: int, node: Op, operand: Callable[[Op, int], Any]) -> list[Any]:
    places = (bend.gain, bend.loss, bend.gain_cap, bend.deductible)
    parts = [NONE if place is None else operand(node, place) for place in places]
    # columns of zeros stay zeros: whole vectors are folded
    last = wide if bend.last == node.more.gain.shape[1] else bend.last
    return [int(bend.close_out), LEVEL_NUMBER[bend.level], start + bend.first, start + last, *parts]


def _segment(
    more: Scanned,
    start: int,
    wide: int,
    node: Op,
    operand: Callable[[Op, int], Any],
    made: Any,  # noqa: ANN401 - the caller's values
    pools: Pools,
) -> list[Any]:
    tail = more.tail
    shares = -1 if tail.shares is None else pools.shares.add(tail.shares)
    weight = NONE if more.weight is None else operand(node, more.weight)
    last = start + (wide if tail.measure == "worst" else more.gain.shape[1])  # a zero is never the worst loss
    return [start, last, _MEASURES.index(tail.measure), tail.depth, shares, made, weight, 0]
