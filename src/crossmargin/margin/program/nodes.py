"""What a recorded column is made of: operations on columns of one level, and sums of legs by their own numbers.

A leg column is kept as a sum of terms, each a number of the leg (its quantity, its cost, ...) times a coefficient for
each template leg, for as long as it is one. On a template leg the side is known, so `abs(quantity)` and
`max(-quantity, 0)` are such sums too, and a whole line of a rulebook becomes one coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = [
    "COLUMNS",
    "ONE",
    "PER_UNIT",
    "QUANTITY",
    "SIGN",
    "Node",
    "NotRecordableError",
    "Op",
    "Table",
    "Terms",
    "walk",
]

ONE: Final = "one"
QUANTITY: Final = "quantity"
PER_UNIT: Final = "cost/quantity"
COLUMNS: Final = (
    QUANTITY, "cost", "accrued", "leverage", "bids", "asks", "bid_cost", "ask_cost", "orders", ONE,
)  # fmt: skip
"""The numbers of a leg, in the engine's order."""

SIGN: Final[Mapping[str, float]] = {"bids": 1, "asks": -1, "bid_cost": 1, "ask_cost": -1, "orders": 1, ONE: 1}
"""The side of 0 on which a number stays; a quantity's is its template leg's."""


class NotRecordableError(Exception):
    """A rulebook does what a program cannot: it is evaluated column by column instead."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A leg column: the sum over names of `COLUMNS` of the leg's number times a coefficient [template legs]."""

    by: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A number for each template row of a level, or one for all."""

    level: str
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """An operation of the engine; its result is a column of `level`. `more` is what it needs beside columns."""

    name: str
    level: str
    parts: tuple[Node, ...] = ()
    more: Any = None


Node: TypeAlias = Op | Table | Terms


def walk(roots: list[Node]) -> Iterator[Node]:
    """Yield every node behind some, each once and after what it is made of."""
    done: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            yield node
        elif id(node) not in done:
            done.add(id(node))
            stack.append((node, True))
            if isinstance(node, Op):
                stack.extend((part, False) for part in reversed(node.parts))
