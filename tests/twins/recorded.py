"""Recorded columns run leg by leg in NumPy: what the recording means, apart from any engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.functions import NUMPY_FUNCTIONS
from crossmargin.margin.program.columns import Column
from crossmargin.margin.program.nodes import ONE, PER_UNIT, Node, Op, Table, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "abs": np.abs,
    "sqrt": np.sqrt, "min": np.minimum, "max": np.maximum, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "ceil_to": NUMPY_FUNCTIONS["ceil"],
    "floor_to": NUMPY_FUNCTIONS["floor"],
}  # fmt: skip


def on_legs(x: Any, cell: Ints, numbers: Mapping[str, Floats]) -> Floats:  # noqa: ANN401 - recorded or plain
    """Return a leg column of real legs, each in its template cell, with its own numbers."""
    if not isinstance(x, Column):
        return np.broadcast_to(np.asarray(x, dtype=np.float64), cell.shape) if np.ndim(x) == 0 else np.asarray(x)[cell]
    with np.errstate(all="ignore"):
        return _run(x.node, cell, numbers)


def _run(node: Node, cell: Ints, numbers: Mapping[str, Floats]) -> Floats:
    if isinstance(node, Table):
        return np.broadcast_to(node.values if node.values.ndim == 0 else node.values[cell], cell.shape)
    if isinstance(node, Terms):
        return sum((_term(name, c[cell], numbers) for name, c in node.by.items()), np.zeros(cell.shape))
    assert isinstance(node, Op)
    parts = [_run(part, cell, numbers) for part in node.parts]
    if node.name == "select":
        return np.where(parts[0] != 0, parts[1], parts[2])
    return np.asarray(_FUNCTIONS[node.name](*parts), dtype=np.float64)


def _term(name: str, coefficient: Floats, numbers: Mapping[str, Floats]) -> Floats:
    if name == ONE:
        return coefficient
    if name == PER_UNIT:
        return np.where(coefficient != 0, coefficient * numbers["cost"] / numbers["quantity"], 0.0)
    return coefficient * numbers[name]
