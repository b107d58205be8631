"""Columns that remember how they were made, so that one backward pass gives every leg's derivative.

The same walker and the same functions run on them: attribution is the derivative of the tree that was assessed,
not a second formula. Used on single accounts only; the hot path never sees it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin import kernels
from crossmargin.margin.exact_number import exact_column
from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.program.columns import Column
from crossmargin.margin.program.nodes import NotRecordableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Pull = Callable[[Floats], Floats]


class Traced:
    """A column [rows] and how its adjoint reaches the columns it was made from."""

    __array_ufunc__ = None  # numpy leaves mixed arithmetic to the methods below
    __slots__ = ("parents", "value")

    def __init__(self, value: Floats, parents: Sequence[tuple[Traced, Pull]] = ()) -> None:
        self.value = value
        self.parents = tuple(parents)

    def __add__(self, other: Any) -> Traced:  # noqa: ANN401 - a column, a number or a traced column
        return _combine(self, other, plain(self) + plain(other), 1.0, 1.0)

    def __radd__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        return self.__add__(other)

    def __sub__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        return _combine(self, other, plain(self) - plain(other), 1.0, -1.0)

    def __rsub__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        return _combine(other, self, plain(other) - plain(self), 1.0, -1.0)

    def __mul__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        return _combine(self, other, plain(self) * plain(other), plain(other), plain(self))

    def __rmul__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        return self.__mul__(other)

    def __truediv__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        top, under = plain(self), plain(other)
        return _combine(self, other, top / under, 1.0 / under, -top / under**2)

    def __rtruediv__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        top, under = plain(other), plain(self)
        return _combine(other, self, top / under, 1.0 / under, -top / under**2)

    def __pow__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        base, power = plain(self), plain(other)
        value = base**power
        log_base = np.log(np.where(base > 0, base, 1.0))
        return _combine(self, other, value, power * base ** (power - 1.0), value * log_base)

    def __rpow__(self, other: Any) -> Traced:  # noqa: ANN401 - as above
        base, power = plain(other), plain(self)
        value = base**power
        return _combine(other, self, value, power * base ** (power - 1.0), value * np.log(base))

    def __neg__(self) -> Traced:
        return Traced(-self.value, [(self, lambda adjoint: -adjoint)])


def plain(x: Any) -> Any:  # noqa: ANN401 - a column, a number or a traced column
    """Return the numbers of a column, traced or not; a recorded one has none."""
    if isinstance(x, Column):
        raise NotRecordableError("the numbers of a column, before there are any")
    return x.value if isinstance(x, Traced) else x


def chain(x: Traced, value: Floats, slope: Any) -> Traced:  # noqa: ANN401 - a column or a number
    """Return a column made from one other, with its elementwise slope."""
    return Traced(value, [(x, lambda adjoint: adjoint * slope)])


def _combine(left: Any, right: Any, value: Any, left_slope: Any, right_slope: Any) -> Traced:  # noqa: ANN401 - as above
    value = np.asarray(value, dtype=np.float64)
    parents = []
    for part, slope in ((left, left_slope), (right, right_slope)):
        if isinstance(part, Traced):
            shape = part.value.shape
            parents.append((part, lambda adjoint, s=slope, sh=shape: _fit(adjoint * s, sh)))
    return Traced(value, parents)


def _fit(adjoint: Floats, shape: tuple[int, ...]) -> Floats:
    """Return the adjoint summed over what was broadcast."""
    return adjoint if adjoint.shape == shape else np.asarray(adjoint.sum()).reshape(shape)


def as_column(x: Any, rows: int) -> Any:  # noqa: ANN401 - as above
    """Return a number as a column of `rows`; a column as it is; np.broadcast_to would cost more than the formula."""
    if isinstance(x, Traced | Column) or (isinstance(x, np.ndarray) and x.shape == (rows,)):
        return x
    return np.full(rows, x)


def take(x: Any, rows: Ints) -> Any:  # noqa: ANN401 - as above
    """Return the selected rows of a column."""
    if not isinstance(x, Traced):
        return x[rows]
    count = x.value.shape[0]
    return Traced(x.value[rows], [(x, lambda adjoint: kernels.segment_sum(adjoint, rows, count))])


def segment_sum(x: Any, row_of: Ints, rows: int) -> Any:  # noqa: ANN401 - as above
    """Return the column summed by row."""
    values = plain(x)
    total = kernels.segment_sum(values, row_of, rows)
    if values.dtype.hasobject:
        return exact_column(total)
    return Traced(total, [(x, lambda adjoint: adjoint[row_of])]) if isinstance(x, Traced) else total


def scatter(x: Any, rows: Ints, count: int) -> Any:  # noqa: ANN401 - as above
    """Return a column of `count` rows that holds x at `rows` and 0 elsewhere."""
    if isinstance(x, Column):
        return x.scattered()
    values = plain(x)
    out: Any = exact_column(np.zeros(count)) if values.dtype.hasobject else np.zeros(count)
    out[rows] = values
    return Traced(out, [(x, lambda adjoint: adjoint[rows])]) if isinstance(x, Traced) else out


def gradient(output: Traced, source: Traced) -> Floats:
    """Return the derivative of sum(output) with respect to each row of `source`."""
    return gradients(output, [source])[0]


def gradients(output: Traced, sources: Sequence[Traced]) -> list[Floats]:
    """Return the derivatives of sum(output) with respect to each row of many columns, in one pass."""
    adjoints: dict[int, Floats] = {id(output): np.ones_like(output.value)}
    for node in _from_output(output):
        adjoint = adjoints.get(id(node))
        if adjoint is None:
            continue
        for parent, pull in node.parents:
            passed = pull(adjoint)
            held = adjoints.get(id(parent))
            adjoints[id(parent)] = passed if held is None else held + passed
    return [adjoints.get(id(source), np.zeros_like(source.value)) for source in sources]


def _from_output(output: Traced) -> list[Traced]:
    """Return all columns behind `output`, each after everything that was made from it."""
    order: list[Traced] = []
    done: set[int] = set()
    stack: list[tuple[Traced, bool]] = [(output, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in done:
            done.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in node.parents)
    return order[::-1]


def _choose(parts: tuple[Any, ...], best: Floats) -> Traced:
    """Return min or max of columns: the adjoint goes to those that attain it, ties shared evenly."""
    hits = [np.equal(plain(part), best) for part in parts]
    ties = sum(hit.astype(np.float64) for hit in hits)
    parents = []
    for part, hit in zip(parts, hits, strict=True):
        if isinstance(part, Traced):
            shape = part.value.shape
            parents.append((part, lambda adjoint, h=hit, s=shape: _fit(adjoint * h / ties, s)))
    return Traced(best, parents)


def _extreme(reduce: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def choose(*parts: Any) -> Any:  # noqa: ANN401 - as above
        best = plain(parts[0])
        for part in parts[1:]:
            best = reduce(best, plain(part))
        return _choose(parts, np.asarray(best)) if any(isinstance(p, Traced) for p in parts) else best

    return choose


_least, _greatest = _extreme(np.minimum), _extreme(np.maximum)


def _when(condition: Any, yes: Any, no: Any) -> Any:  # noqa: ANN401 - as above
    value = np.where(condition, plain(yes), plain(no))
    parents = []
    for part, holds in ((yes, condition), (no, np.logical_not(condition))):
        if isinstance(part, Traced):
            shape = part.value.shape
            parents.append((part, lambda adjoint, h=holds, s=shape: _fit(adjoint * h, s)))
    return Traced(value, parents) if parents else value


def _unary(name: str, slope: Callable[[Floats, Floats], Any]) -> Callable[[Any], Any]:
    compute = NUMPY_FUNCTIONS[name]

    def apply(x: Any) -> Any:  # noqa: ANN401 - as above
        value = compute(plain(x))
        return chain(x, value, slope(x.value, value)) if isinstance(x, Traced) else value

    return apply


def _table(name: str, slope: Callable[[TierColumn, Floats], Any]) -> Callable[[TierColumn, Any], Any]:
    compute = NUMPY_FUNCTIONS[name]

    def apply(tiers: TierColumn, x: Any) -> Any:  # noqa: ANN401 - as above
        value = compute(tiers, plain(x))
        return chain(x, value, slope(tiers, x.value)) if isinstance(x, Traced) else value

    return apply


def _ramp_slope(tiers: TierColumn, x: Floats) -> Floats:
    step = np.maximum(np.abs(x), 1.0) * 1e-7  # a table, not a formula: its slope is read off it
    rise: Floats = NUMPY_FUNCTIONS["ramp"](tiers, x + step) - NUMPY_FUNCTIONS["ramp"](tiers, x - step)
    return rise / (2 * step)


def _marginal_slope(tiers: TierColumn, x: Floats) -> Floats:
    return np.where(x >= 0, NUMPY_FUNCTIONS["step"](tiers, np.maximum(x, 0.0)), 0.0)


def _rounded(name: str) -> Callable[[Any, Any], Any]:
    def apply(x: Any, unit: Any) -> Any:  # noqa: ANN401 - as above
        value = NUMPY_FUNCTIONS[name](plain(x), plain(unit))
        return chain(x, value, 1.0) if isinstance(x, Traced) else value  # on average, a rounded line follows its x

    return apply


def _compare(name: str) -> Callable[[Any, Any], Any]:
    return lambda left, right: NUMPY_FUNCTIONS[name](plain(left), plain(right))


TRACED_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **NUMPY_FUNCTIONS,
        "min": _least,
        "max": _greatest,
        "clip": lambda x, low, high: _least(_greatest(x, low), high),
        "when": _when,
        "abs": _unary("abs", lambda x, _: np.sign(x)),
        "sqrt": _unary("sqrt", lambda _, y: 0.5 / np.where(y > 0, y, np.inf)),
        "exp": _unary("exp", lambda _, y: y),
        "log": _unary("log", lambda x, _: 1.0 / x),
        "marginal": _table("marginal", _marginal_slope),
        "step": _table("step", lambda _, x: np.zeros_like(x)),
        "ramp": _table("ramp", _ramp_slope),
        "ceil": _rounded("ceil"),
        "floor": _rounded("floor"),
        **{name: _compare(name) for name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")},
    }
)
