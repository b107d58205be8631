"""What a recorded column comes to where nothing of a selection is held: 0 there needs no mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.program.nodes import Node, Op, Table, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["is_nothing"]

_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "abs": np.abs,
    "sqrt": np.sqrt, "min": np.minimum, "max": np.maximum, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def is_nothing(node: Node, selected: Flags) -> bool:
    """Return whether a column is surely 0 on rows without a leg of `selected` [template legs]."""
    with np.errstate(all="ignore"):
        found = _value(node, selected, {})
    return found is not None and bool((np.asarray(found) == 0).all())


def _value(node: Node, selected: Flags, known: dict[int, Any]) -> Any:  # noqa: ANN401 - numbers, or None: it depends
    if id(node) not in known:
        known[id(node)] = _made(node, selected, known)
    return known[id(node)]


def _made(node: Node, selected: Flags, known: dict[int, Any]) -> Any:  # noqa: ANN401 - as above
    if isinstance(node, Table):
        return node.values
    if isinstance(node, Op) and node.name in {"legsum", "scan", "max_loss", "sum"}:
        return 0.0 if _reads_only(node, selected) else None
    if isinstance(node, Terms) or node.name not in {*_FUNCTIONS, "select"}:
        return None
    parts = [_value(part, selected, known) for part in node.parts]
    if node.name == "select":
        return _chosen(*parts)
    return None if any(part is None for part in parts) else _FUNCTIONS[node.name](*parts)


def _chosen(condition: Any, yes: Any, no: Any) -> Any:  # noqa: ANN401 - as above
    if condition is None:
        return None
    if not np.any(np.asarray(condition) != 0):
        return no
    return None if yes is None or no is None else np.where(np.asarray(condition) != 0, yes, no)


def _reads_only(node: Op, selected: Flags) -> bool:
    """Return whether nothing but legs of the selection enters a sum of legs, and so nothing without them."""
    (*_, part) = node.parts or (None,)
    if node.name == "legsum" and isinstance(part, Terms):
        return not any((c[~selected] != 0).any() for c in part.by.values())
    if node.name == "scan":
        return node.more.weight is None and not (node.more.scale[~selected] != 0).any()
    if node.name == "max_loss":
        return bool(np.isnan(node.more[~selected]).all())
    inside = part.parts[0] if isinstance(part, Op) and part.name == "select" and part.level == "leg" else None
    return isinstance(inside, Table) and not (np.broadcast_to(inside.values, selected.shape)[~selected] != 0).any()
