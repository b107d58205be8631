"""Which kernel serves, and the functions that it serves.

The compiled kernel gives the same bits with any number of threads and on any instruction set. The NumPy engine, which
serves where nothing is compiled, differs from it by rounding: less than 1e-12 of the sum of absolute terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.kernels import numpy_engine
from crossmargin.kernels.door import checked_legs, checked_tail
from crossmargin.kernels.operations import OPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.kernels.native_accounts import AccountEngine

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Index = npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.uint16]

_NUMPY = "numpy"
_MOST_THREADS: Final = 2**31 - 1  # are counted in 32 bits
_FLOAT = "d"  # exact numbers are summed by NumPy
try:
    from crossmargin.kernels import native_accounts, native_engine, native_options
except ImportError:  # not built here, or the processor has none of its instruction sets
    _NATIVE: tuple[str, ...] = ()
    _PROCESSORS = 1
else:
    _NATIVE = tuple(f"native-{level}" for level in native_engine.LEVELS)
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
        Most threads of one call, an integer of 1 or more; None: one for each processor that may be used.

    Raises
    ------
    InputError
        When it cannot serve here, or the number of threads is none.
    """
    wanted = _NATIVE[-1] if name == "native" and _NATIVE else name
    if wanted not in kernels_here():
        choices = ", ".join(kernels_here())
        message = f"kernel {name!r} cannot serve here: choose from {choices}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    _CHOICE.threads = _PROCESSORS if threads is None else checked_threads(threads)
    _CHOICE.kernel = wanted
    if _CHOICE.native:
        native_engine.use_level(wanted.removeprefix("native-"))


def checked_threads(threads: int) -> int:
    """Return a number of threads; refused unless it is an integer of 1 or more."""
    try:
        number = 0 if isinstance(threads, bool) else min(index(threads), _MOST_THREADS)
    except TypeError:
        number = 0
    if number < 1:
        message = f"threads must be an integer of 1 or more, or None, found {threads!r}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    return number


def threads_in_use() -> int:
    """Return the most threads of one call."""
    return _CHOICE.threads


def account_engine(
    book: Mapping[str, object], program: Mapping[str, object], desk: Mapping[str, object] | None = None
) -> AccountEngine:
    """Return a program ready to run over a book, compiled; the arrays are held and read in place.

    With a `desk` it checks trades too: pools by account with their figures, and where a trade in a contract lands.

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
    return native_accounts.AccountEngine(book, program, desk)


def operations() -> Mapping[str, int]:
    """Return the numbers of the account engine's operations by name; empty where no compiled kernel serves."""
    return OPS if _CHOICE.native else {}


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

    Raises
    ------
    TypeError, ValueError, IndexError
        When an array has items of another sort or another shape, a leg reads outside the matrix, or a group begins
        outside the legs or before the last one.
    """
    legs = checked_legs(scale, index, matrix, starts)
    if _CHOICE.native and legs[0].dtype.char == legs[2].dtype.char == _FLOAT:
        return native_engine.group_rows(*legs, _CHOICE.threads)
    return numpy_engine.group_rows(*legs)


def group_worst(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Floats:
    """Return the worst loss of each group's row (>= 0) [groups].

    The rows of :func:`group_rows`, which see for the arguments, are never held.

    Raises
    ------
    ValueError
        When a row is no number somewhere: a minimum would hide it.
    """
    legs = checked_legs(scale, index, matrix, starts)
    if _CHOICE.native:
        return native_engine.group_worst(*legs, _CHOICE.threads)
    return numpy_engine.group_worst(*legs)


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
    legs, weights = checked_legs(scale, index, matrix, starts), checked_tail(depth, shares, matrix.shape[1])
    if _CHOICE.native:
        return native_engine.group_tail(*legs, depth, weights, _CHOICE.threads)
    return numpy_engine.group_tail(*legs, depth, weights)


def option_values(
    forward: Floats, strike: Floats, vol: Floats, years: Floats, sign: Floats, discount: Floats
) -> Floats:
    """Return Black-76 prices; the arguments broadcast, `sign` is +1 for a call and -1 for a put.

    NaN where an argument is NaN, a forward, strike, vol or time negative, a price infinite; nothing is raised.
    """
    if _CHOICE.native:
        return native_options.option_values((forward, strike, vol, years, sign, discount), _CHOICE.threads)
    return numpy_engine.option_values(forward, strike, vol, years, sign, discount)


def option_greeks(
    forward: Floats, strike: Floats, vol: Floats, years: Floats, sign: Floats, discount: Floats
) -> Floats | None:
    """Return the Greeks in the order of `pricing.Greeks` [9, common shape]; None where NumPy serves."""
    if _CHOICE.native:
        return native_options.option_greeks((forward, strike, vol, years, sign, discount), _CHOICE.threads)
    return None


def implied_vols(
    price: Floats, forward: Floats, strike: Floats, years: Floats, sign: Floats, discount: Floats
) -> Floats | None:
    """Return vols and status codes [2, common shape]; None where NumPy serves (pricing/implied.py)."""
    if _CHOICE.native:
        return native_options.implied_vols((price, forward, strike, years, sign, discount), _CHOICE.threads)
    return None


class OptionScenarios(NamedTuple):
    """Options among contracts, and the scenarios that they meet."""

    columns: tuple[Floats, ...]
    """[contracts] forward, strike, vol of today, years, rate, known part of the forward, and weight: what one unit's
    value is multiplied by."""
    flags: tuple[Flags | None, ...]
    """[contracts] call, inverse, its money moves with spot, with the peg; None where none of them is."""
    contract: Ints
    """[options] the contract that each is."""
    vols: Floats
    """[options, names] shocked vols."""
    vol_of: Ints
    """[scenarios] which of them holds."""
    moves: tuple[Floats, ...]
    """[scenarios] shifts of rate, basis, time (years) and peg."""
    spot: Floats
    """[contracts, scenarios] or [scenarios] relative moves."""


def revalue_options(given: OptionScenarios, cells: Floats, today: Floats, *, discount: bool) -> Ints:
    """Fill the rows of options under scenarios, and return the options left alone: with NumPy all, else strange ones.

    Strange is what is no number, negative, zero where it divides, or out of range: scenarios/revalue.py, which serves
    where NumPy does, says what they are worth.

    Parameters
    ----------
    cells, today
        [2, contracts, scenarios] gain and value, [contracts] value today: filled.

    Raises
    ------
    IndexError
        When a contract or a vol is none of those given.
    """
    if not _CHOICE.native:
        return np.arange(given.contract.shape[0])
    left = native_options.revalue(given, cells, today, _CHOICE.threads, discount=discount)
    return np.flatnonzero(np.isnan(today[given.contract])) if left else given.contract[:0]
