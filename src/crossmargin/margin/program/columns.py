"""Columns that record what is done to them, and the functions of the expression language over them.

They stand for the rows of a template: every leg that any account could hold, and every row of a level that could come
of it. What no quantity enters is computed there and then, on NumPy arrays; the rest is recorded.
"""

from __future__ import annotations

from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.program.nodes import ONE, PER_UNIT, QUANTITY, SIGN, Node, NotRecordableError, Op, Table, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["RECORDED_FUNCTIONS", "Column", "Space", "node_of"]


class Space:
    """The rows of a level of the template; `sign` says of template legs on which side of 0 their quantity is."""

    def __init__(self, level: str, count: int, sign: Floats | None = None) -> None:
        self.level = level
        self.count = count
        self.sign = sign
        self.every = np.arange(count)


class Column:
    """A recorded column on some rows of a space. `node` covers all rows; those left out hold what nobody reads."""

    __array_ufunc__ = None  # numpy leaves mixed arithmetic to the methods below
    __slots__ = ("node", "rows", "space")

    def __init__(self, space: Space, node: Node, rows: Ints | None = None) -> None:
        self.space = space
        self.node = node
        self.rows = space.every if rows is None else rows

    def __getitem__(self, rows: Ints) -> Column:
        """Return the column on some of its rows."""
        return Column(self.space, self.node, self.rows[rows])

    @property
    def shape(self) -> tuple[int]:
        """How many rows it is on."""
        return (self.rows.shape[0],)

    def __add__(self, other: Any) -> Any:  # noqa: ANN401 - a column, a number or a recorded column
        return _binary("add", self, other)

    def __radd__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("add", other, self)

    def __sub__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("sub", self, other)

    def __rsub__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("sub", other, self)

    def __mul__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("mul", self, other)

    def __rmul__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("mul", other, self)

    def __truediv__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("div", other, self)

    def __pow__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("pow", self, other)

    def __rpow__(self, other: Any) -> Any:  # noqa: ANN401 - as above
        return _binary("pow", other, self)

    def __neg__(self) -> Any:  # noqa: ANN401 - as above
        return _binary("mul", self, -1.0)

    def scattered(self) -> Column:
        """Return the column on all rows, 0 where it was not; only sums of legs know how."""
        if not isinstance(self.node, Terms):
            raise NotRecordableError("only the rows of a line can be put back among the others")
        inside = np.zeros(self.space.count, dtype=bool)
        inside[self.rows] = True
        return Column(self.space, Terms({name: np.where(inside, c, 0.0) for name, c in self.node.by.items()}))


def node_of(x: Any, like: Column) -> Node:  # noqa: ANN401 - a column, a number or a recorded column
    """Return the node of anything that stands beside a recorded column."""
    if isinstance(x, Column):
        _beside(x, like)
        return x.node
    values = np.asarray(x, dtype=np.float64)
    if values.ndim:
        # rows that are left out take what another has: where they are not masked, they come to nothing as that one does
        full = np.full(like.space.count, values[0] if values.size else 0.0)
        full[like.rows] = values
        values = full
    return Table(like.space.level, values)


def _beside(x: Column, like: Column) -> None:
    same = x.rows is like.rows or np.array_equal(x.rows, like.rows)
    if x.space is not like.space or not same:
        raise NotRecordableError("columns of different rows meet")


def _column_among(parts: tuple[Any, ...]) -> Column | None:
    return next((part for part in parts if isinstance(part, Column)), None)


# --- sums of legs


def _terms(node: Node) -> Mapping[str, Floats] | None:
    """Return a leg column's terms; a table is a term of its own."""
    if isinstance(node, Table):
        return {ONE: node.values}
    return node.by if isinstance(node, Terms) else None


def _settled(like: Column, by: Mapping[str, Floats]) -> Any:  # noqa: ANN401 - a column, or numbers where nothing is left to record
    full = {name: np.broadcast_to(values, (like.space.count,)) for name, values in by.items() if np.any(values)}
    if set(full) <= {ONE}:
        return np.array(full[ONE][like.rows]) if full else np.zeros(like.rows.shape[0])
    return Column(like.space, Terms(full), like.rows)


def _binary(name: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - columns, numbers, recorded columns
    like = _column_among((left, right))
    assert like is not None
    a, b = node_of(left, like), node_of(right, like)
    if like.space.level == "leg":
        first, second = _terms(a), _terms(b)
        if first is not None and second is not None:
            with np.errstate(all="ignore"):
                found = _COMBINED[name](first, second) if name in _COMBINED else None
            if found is not None:
                return _settled(like, found)
    return Column(like.space, Op(name, like.space.level, (a, b)), like.rows)


def _added(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> Mapping[str, Floats]:
    return {name: a[name] + b[name] if name in a and name in b else {**a, **b}[name] for name in {**a, **b}}


def _less(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> Mapping[str, Floats]:
    return _added(a, {name: -values for name, values in b.items()})


def _times(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> Mapping[str, Floats] | None:
    if set(b) <= {ONE}:
        a, b = b, a
    if set(a) <= {ONE}:
        return {name: a[ONE] * values for name, values in b.items()}
    if set(b) == {QUANTITY}:
        a, b = b, a
    if set(a) == {QUANTITY} and set(b) <= {ONE, PER_UNIT}:
        return {{ONE: QUANTITY, PER_UNIT: "cost"}[name]: a[QUANTITY] * values for name, values in b.items()}
    return None


def _over(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> Mapping[str, Floats] | None:
    if set(b) <= {ONE}:
        return {name: values / b[ONE] for name, values in a.items()}
    if set(a) != {"cost"} or not set(b) <= {ONE, QUANTITY}:
        return None
    by_quantity, by_number = b[QUANTITY], b.get(ONE, np.zeros(1))
    if ((by_quantity != 0) & (by_number != 0)).any():
        return None
    # a leg is divided by its quantity or by a number, by template leg
    found = {PER_UNIT: np.where(by_quantity != 0, a["cost"] / by_quantity, 0.0)}
    if ONE in b:
        found["cost"] = np.where(by_number != 0, a["cost"] / by_number, 0.0)
    return found


_COMBINED: Final[Mapping[str, Callable[..., Any]]] = {"add": _added, "sub": _less, "mul": _times, "div": _over}


def _side(like: Column, name: str) -> Any:  # noqa: ANN401 - a number or a column
    return like.space.sign if name == QUANTITY else SIGN.get(name)


def _one_sided(like: Column, *nodes: Node) -> tuple[str, Any, list[Floats]] | None:
    """Return the one number that all of some columns are multiples of, its side, and the multiples."""
    if like.space.level != "leg":
        return None
    found: str | None = None
    multiples = []
    for node in nodes:
        terms = _terms(node)
        if terms is None or len(terms) != 1:
            return None
        ((name, values),) = terms.items()
        if name == ONE and not np.any(values):
            multiples.append(np.zeros(1))
        elif found in {None, name}:
            found = name
            multiples.append(values)
        else:
            return None
    side = None if found is None else _side(like, found)
    return None if found is None or side is None else (found, side, multiples)


# --- functions


def _absolute(x: Any) -> Any:  # noqa: ANN401 - as above
    if not isinstance(x, Column):
        return np.abs(x)
    one = _one_sided(x, x.node)
    if one is None:
        return Column(x.space, Op("abs", x.space.level, (x.node,)), x.rows)
    name, side, (values,) = one
    return _settled(x, {name: np.abs(values) * side})


def _extreme(
    name: str, reduce_plain: Callable[[Any, Any], Any], opposite: Callable[[Any, Any], Any]
) -> Callable[..., Any]:
    def pair(left: Any, right: Any) -> Any:  # noqa: ANN401 - as above
        like = _column_among((left, right))
        if like is None:
            return reduce_plain(left, right)
        nodes = node_of(left, like), node_of(right, like)
        one = _one_sided(like, *nodes)
        if one is None:
            return Column(like.space, Op(name, like.space.level, nodes), like.rows)
        term, side, (first, second) = one
        return _settled(
            like, {term: np.where(np.asarray(side) < 0, opposite(first, second), reduce_plain(first, second))}
        )

    return lambda *parts: reduce(pair, parts)


def _when(condition: Any, yes: Any, no: Any) -> Any:  # noqa: ANN401 - as above
    like = _column_among((condition, yes, no))
    if like is None:
        return np.where(condition, yes, no)
    first, second = node_of(yes, like), node_of(no, like)
    chosen = node_of(condition, like)
    terms = _terms(first), _terms(second)
    if like.space.level == "leg" and isinstance(chosen, Table) and terms[0] is not None and terms[1] is not None:
        zero = np.zeros(1)
        names = {**terms[0], **terms[1]}
        held = np.broadcast_to(np.nan_to_num(chosen.values) != 0, (like.space.count,))
        return _settled(like, {n: np.where(held, terms[0].get(n, zero), terms[1].get(n, zero)) for n in names})
    return Column(like.space, Op("select", like.space.level, (chosen, first, second)), like.rows)


def _compare(name: str, op: str) -> Callable[[Any, Any], Any]:
    plainly = NUMPY_FUNCTIONS[name]

    def apply(left: Any, right: Any) -> Any:  # noqa: ANN401 - as above
        like = _column_among((left, right))
        if like is None:
            return plainly(left, right)
        nodes = node_of(left, like), node_of(right, like)
        one = _one_sided(like, *nodes)
        if one is None or one[0] != QUANTITY:
            return Column(like.space, Op(op, like.space.level, nodes), like.rows)
        _, side, (first, second) = one
        at_one = np.broadcast_to(plainly(first * side, second * side), (like.space.count,))
        return np.array(at_one[like.rows])

    return apply


def _plain_or_op(name: str, op: str | None = None) -> Callable[..., Any]:
    plainly = NUMPY_FUNCTIONS[name]

    def apply(*parts: Any) -> Any:  # noqa: ANN401 - as above
        like = _column_among(parts)
        if like is None:
            return plainly(*parts)
        if op is None:
            raise NotRecordableError(f"`{name}` of what depends on quantities")
        return Column(like.space, Op(op, like.space.level, tuple(node_of(part, like) for part in parts)), like.rows)

    return apply


def _tiered(name: str) -> Callable[[TierColumn, Any], Any]:
    plainly = NUMPY_FUNCTIONS[name]

    def apply(tiers: TierColumn, x: Any) -> Any:  # noqa: ANN401 - as above
        if not isinstance(x, Column):
            return plainly(tiers, x)
        which = None
        if tiers.which is not None:
            which = np.zeros(x.space.count, dtype=np.int32)
            which[x.rows] = tiers.which
        return Column(x.space, Op(name, x.space.level, (x.node,), (tiers.upto, tiers.rate, which)), x.rows)

    return apply


_least = _extreme("min", np.minimum, np.maximum)
_greatest = _extreme("max", np.maximum, np.minimum)
_COMPARISONS: Final = {
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "equal": "eq", "not_equal": "ne",
}  # fmt: skip

RECORDED_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        **{name: _plain_or_op(name) for name in NUMPY_FUNCTIONS if name.startswith("lognormal")},
        **{name: _plain_or_op(name, name) for name in ("sqrt", "exp", "log")},
        **{name: _plain_or_op(name, f"{name}_to") for name in ("ceil", "floor")},
        **{name: _tiered(name) for name in ("marginal", "step", "ramp")},
        **{name: _compare(name, op) for name, op in _COMPARISONS.items()},
        "number": np.float64,
        "min": _least,
        "max": _greatest,
        "abs": _absolute,
        "clip": lambda x, low, high: _least(_greatest(x, low), high),
        "when": _when,
    }
)
