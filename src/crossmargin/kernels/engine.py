"""Which kernel serves, and the functions that it serves.

The compiled kernel gives the same bits with any number of threads and on any instruction set. The NumPy engine, which
serves where nothing is compiled, differs from it by rounding: less than 1e-12 of the sum of absolute terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.errors import FailureReason, InputError
from crossmargin.kernels import numpy_engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from crossmargin.kernels._native import Engine

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Index = npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.uint16]

_NUMPY = "numpy"
_FLOAT = "d"  # exact numbers are summed by NumPy
try:
    from crossmargin.kernels import native_engine
except ImportError:  # not built here, or the processor has none of its instruction sets
    _NATIVE: tuple[str, ...] = ()
    _PROCESSORS = 1
else:
    _NATIVE = tuple(f"native-{level}" for level in native_engine.levels())
    _PROCESSORS = native_engine.threads()


@dataclass
class _Choice:
    """The kernel that serves; `threads` of 1 keeps every kernel on the caller's."""

    kernel: str
    threads: int

    @property
    def native(self) -> bool:
        """Whether it is one of the compiled ones."""
        return self.kernel != _NUMPY


_CHOICE = _Choice(_NATIVE[-1] if _NATIVE else _NUMPY, _PROCESSORS)


def kernel_name() -> str:
    """Return the name of the kernel in use."""
    return native_engine.name() if _CHOICE.native else numpy_engine.name()


def kernels_here() -> tuple[str, ...]:
    """Return the kernels that can serve here, the best last; the native ones by instruction set."""
    return (_NUMPY, *_NATIVE)


def use_kernel(name: str, threads: int | None = None) -> None:
    """Let a kernel of :func:`kernels_here` serve from now on, or "native": the best of those.

    Parameters
    ----------
    threads
        Most threads of one call; None: one for each processor that may be used.

    Raises
    ------
    InputError
        When it cannot serve here.
    """
    wanted = _NATIVE[-1] if name == "native" and _NATIVE else name
    if wanted not in kernels_here():
        choices = ", ".join(kernels_here())
        message = f"kernel {name!r} cannot serve here: choose from {choices}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    _CHOICE.kernel = wanted
    _CHOICE.threads = _PROCESSORS if threads is None else max(1, threads)
    if _CHOICE.native:
        native_engine.use_level(wanted.removeprefix("native-"))


def threads_in_use() -> int:
    """Return the most threads of one call."""
    return _CHOICE.threads


def account_engine(book: Mapping[str, object], program: Mapping[str, object]) -> Engine:
    """Return a program ready to run over a book, compiled; the arrays are held and read in place.

    Raises
    ------
    InputError
        When the NumPy kernel serves, which has no such engine.
    ValueError, TypeError
        When an array is missing, has another layout, or points outside another one.
    """
    if not _CHOICE.native:
        message = "the account engine is compiled, and the NumPy kernel serves: choose a native one"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    return native_engine.Engine(book, program)


def operations() -> Mapping[str, int]:
    """Return the numbers of the account engine's operations by name; empty where nothing is compiled."""
    return native_engine.OPS if _NATIVE else {}


def serving() -> tuple[str, int]:
    """Return what :func:`use_kernel` needs to choose what serves now."""
    return _CHOICE.kernel, _CHOICE.threads


def group_rows(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Floats:
    """Return sum over a group's legs of scale * matrix[index], [groups, scenarios].

    Parameters
    ----------
    scale
        [legs] multiplier of each leg's row (quantity, converted).
    index
        [legs] row of `matrix` that each leg reads.
    matrix
        [contracts, scenarios], rows contiguous.
    starts
        [groups] first leg of each group, ascending; a group ends where the next one starts, the last with the legs.
        A group without legs is a row of zeros.
    """
    if _CHOICE.native and scale.dtype.char == matrix.dtype.char == _FLOAT:
        return native_engine.group_rows(scale, index, matrix, starts, _CHOICE.threads)
    return numpy_engine.group_rows(scale, index, matrix, starts)


def group_worst(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Floats:
    """Return the worst loss of each group's row (>= 0) [groups].

    The rows of :func:`group_rows`, which see for the arguments, are never held.

    Raises
    ------
    ValueError
        When a row is no number somewhere: a minimum would hide it.
    """
    if _CHOICE.native:
        return native_engine.group_worst(scale, index, matrix, starts, _CHOICE.threads)
    return numpy_engine.group_worst(scale, index, matrix, starts)


def group_tail(
    scale: Floats, index: Index, matrix: Floats, starts: Ints, depth: int, shares: Floats | None = None
) -> Floats:
    """Return the loss of each group's row in its tail (>= 0) [groups].

    It is the `depth`-th lowest cell; with `shares` [depth], the sum of share * cell, lowest cell first.

    Raises
    ------
    ValueError
        When a row is no number somewhere, or the depth is not within 1 and the number of scenarios.
    """
    if _CHOICE.native:
        return native_engine.group_tail(scale, index, matrix, starts, depth, shares, _CHOICE.threads)
    return numpy_engine.group_tail(scale, index, matrix, starts, depth, shares)


def option_values(
    forward: Floats, strike: Floats, vol: Floats, years: Floats, sign: Floats, discount: Floats
) -> Floats:
    """Return Black-76 prices; the arguments broadcast, `sign` is +1 for a call and -1 for a put.

    NaN where an argument is NaN or a forward, strike, vol or time is negative; nothing is raised.
    """
    if _CHOICE.native:
        return native_engine.option_values(forward, strike, vol, years, sign, discount, _CHOICE.threads)
    return numpy_engine.option_values(forward, strike, vol, years, sign, discount)
