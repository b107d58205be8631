"""Accounts and instruments by name and by number; numbers are given once and kept."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from crossmargin.margin.program.live_state import LiveState

    Ints = npt.NDArray[np.int64]

__all__ = ["LiveNames", "real_numbers"]


class LiveNames:
    """Names of a live book; those of accounts are its state's."""

    def __init__(self, state: LiveState) -> None:
        self._state = state
        self._number: dict[str, int] = {}
        self.symbols: list[str] = []

    def know(self, symbols: Iterable[str]) -> None:
        """Give numbers to instruments that have none yet."""
        fresh = [symbol for symbol in symbols if symbol not in self._number]
        self._number |= {symbol: n for n, symbol in enumerate(fresh, start=len(self.symbols))}
        self.symbols += fresh

    def account(self, account: str | int) -> int:
        """Return an account's number; a number is checked and returned."""
        count = len(self._state.ids)
        number = self._state.numbers.get(account, -1) if isinstance(account, str) else _integer(account)
        if 0 <= number < count:
            return number
        message = f"the book has no account {account!r}; it has {count:,} accounts"
        raise InputError(FailureReason.UNKNOWN_ACCOUNT, message, account=str(account))

    def instrument(self, instrument: str | int) -> int:
        """Return an instrument's number; a number is checked and returned."""
        number = self._number.get(instrument, -1) if isinstance(instrument, str) else _integer(instrument)
        if 0 <= number < len(self.symbols):
            return number
        message = "it is not among the instruments that the book knows: mark a snapshot that lists it first"
        raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=str(instrument))

    def accounts(self, given: Any) -> Ints:  # noqa: ANN401 - names or numbers
        """Return the numbers of many accounts."""
        return _numbers(given, self.account)

    def instruments(self, given: Any) -> Ints:  # noqa: ANN401 - names or numbers
        """Return the numbers of many instruments."""
        return _numbers(given, self.instrument)


def real_numbers(name: str, given: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - a list or an array
    """Return a list of numbers in float64; refused where one is a text, a truth, or complex."""
    numbers = np.asarray(given)
    if numbers.size and numbers.dtype.kind not in "fiu":
        message = f"{name}: expected real numbers, found {numbers.dtype}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    return np.array(numbers, dtype=np.float64)


def _integer(given: Any) -> int:  # noqa: ANN401 - whatever a caller takes for a number
    """Return an integer of any kind (NumPy's too) as Python's own; -1 for what is none, as True is none."""
    try:
        return -1 if isinstance(given, bool) else index(given)
    except TypeError:
        return -1


def _numbers(given: Any, number_of: Callable[[Any], int]) -> Ints:  # noqa: ANN401 - names or numbers
    numbers = np.asarray(given)
    if numbers.dtype.kind not in "iu":
        return np.asarray([number_of(one) for one in given], dtype=np.int64)
    for extreme in (numbers.min(), numbers.max()) if numbers.size else ():
        number_of(int(extreme))
    return numbers.astype(np.int64)
