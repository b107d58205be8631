"""The compiled account engine behind arrays by name: a program over a book, and trades checked against both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.door import Arrays, checked_book, checked_desk
from crossmargin.kernels.operations import OPS
from crossmargin.kernels.program_check import checked_program
from crossmargin.kernels.unit_faults import refuse_units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.uint8]

__all__ = ["AccountEngine"]

_LEGS_OF_RANGE: Final = 8_000
_TRADES_OF_RANGE: Final = 64  # are asked for together, as what they read lies far
_WORTH_THREADS: Final = 1 << 21  # cells: about a millisecond
_OPERATION: Final = 4  # cells that an operation is worth
_PITCH: Final = 2  # of a scan
_FIGURES: Final = 4  # both requirements, then what stands for each


class AccountEngine:
    """A program ready to run over a book, and to check trades where there is a desk; arrays are read in place."""

    check: Callable[..., Any]
    """Account or its number, contract, quantity, price or None -> the answer, None where Python is to judge."""

    def __init__(
        self, book: Mapping[str, Any], program: Mapping[str, Any], desk: Mapping[str, Any] | None = None
    ) -> None:
        self.book = checked_book(book)
        self.program = checked_program(program, self.book["inputs"].shape[0], OPS)
        self.units, self.outputs = self.book["start"].shape[0], self.program["outputs"].shape[0]
        self._legs = self.book["quantity"].shape[0] // self.units + 1 if self.units else 1
        cells = _OPERATION * self.program["code"].shape[0] + int(self.program["scans"][:, _PITCH].sum())
        self._alone = _WORTH_THREADS // max(1, self._legs * cells)  # units that one thread takes
        self._parts = (
            _arguments("program", self.program | {"ops": self.program["code"].shape[0], "output_count": self.outputs}),
            _arguments("book", self.book | _sized(self.book)),
        )
        self._desk, self.check = None, _aside
        if desk is not None:
            known = checked_desk(desk, self.units, self.program)
            known |= {"accounts": known["first"].shape[0], "contracts": known["mark"].shape[0]}
            self._desk = _arguments("desk", known)
            one = _native.Arguments("checks", (*self._parts, self._desk, *[None] * 7, 0))
            self.check = partial(_native.check, one, known["numbers"], known["places"], known["answer"])

    def run(self, listed: Ints | None, out: Floats, threads: int) -> None:
        """Fill `out` [outputs, units or more] with the program's outputs for all units, or for those listed.

        Raises
        ------
        IndexError, ValueError
            When a unit's legs are none of the template's, or lie outside the book; then `out` holds NaN for it.
        """
        count = self.units if listed is None else Arrays({"units": listed}, "run")("units", "i8", None).shape[0]
        room = Arrays({"out": out}, "run")("out", "f8", self.outputs, None).shape[1]
        if room < count:
            message = f"out: expected {count} along axis 1, found {room}"
            raise ValueError(message)
        arguments = _native.Arguments("evaluate", (*self._parts, listed, out, room))
        if self._spread(arguments, count, threads, count):
            left = np.flatnonzero(np.isnan(out[:, :count]).all(axis=0))  # the bad ones' blocks are no numbers
            units = left if listed is None else listed[left]
            refuse_units(self.book, self.program["rows"], self.program["classes"], units)

    def checks(
        self, account: Ints, contract: Ints, quantity: Floats, price: Floats, order: Ints, out: Floats, aside: Flags,
        threads: int,
    ) -> None:  # fmt: skip
        """Fill `out` [4, trades] with where accounts would stand after trades; `aside` is 1 where Python is to judge.

        Trades are taken in the `order` of their places: what lies together is then read together.
        """
        if self._desk is None:
            message = "checks: the engine was made without a desk"
            raise ValueError(message)
        of = Arrays({
            "account": account, "contract": contract, "quantity": quantity, "price": price, "order": order,
            "out": out, "aside": aside,
        }, "checks")  # fmt: skip
        trades = of("account", "i8", None).shape[0]
        given = (
            account, of("contract", "i8", trades), of("order", "i8", trades), of("quantity", "f8", trades),
            of("price", "f8", trades), of("out", "f8", _FIGURES, trades), of("aside", "u1", trades),
        )  # fmt: skip
        arguments = _native.Arguments("checks", (*self._parts, self._desk, *given, trades))
        if self._spread(arguments, trades, threads, _TRADES_OF_RANGE):
            outside = order[(order < 0) | (order >= trades)]
            message = f"order: {', '.join(map(str, outside[:1].tolist()))} is outside the trades"
            raise IndexError(message)

    def _spread(self, arguments: _native.Arguments, units: int, threads: int, most: int) -> int:
        """Run over units, so many of a range at most; return how many are bad."""
        chunk = max(1, min(most, _LEGS_OF_RANGE // self._legs))
        return _native.run(arguments, units, chunk, 1 if units < self._alone else threads)


def _aside(*_: object) -> None:
    """Leave a check to the evaluation: there is no desk."""


def _arguments(name: str, given: Mapping[str, Any]) -> _native.Arguments:
    return _native.Arguments(name, tuple(given[item] for item in _ITEMS[name]))


def _sized(book: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many there are of what, and the rows under the name of their width."""
    row, narrow = book["row"], book["row"].dtype == np.uint16
    return {
        "row": row if narrow else None, "wide": None if narrow else row, "arena": row.shape[0],
        "extras": book["extra_leg"].shape[0], "units": book["start"].shape[0], "stated": book["inputs"].shape[1],
    }  # fmt: skip


_ITEMS: Final = {
    "program": (
        "rows", "classes", "assets", "by_side", "sides", "ops", "output_count", "used", "always_active", "trade_kind",
        "level_row", "which", "outputs", "registers", "constants", "tables", "tier_upto", "lanes", "shares", "matrices",
        "multiplier", "tiers", "tier_sets", "lane_groups", "scans", "segments", "folds", "code",
    ),
    "book": (
        "row", "wide", "quantity", "extra_value", "inputs", "start", "count", "extra_start", "extra_count", "extra_leg",
        "pool_class", "arena", "extras", "units", "stated",
    ),
    "desk": (
        "first", "follow", "key", "account_class", "refused", "figures", "rate", "mark", "rows", "wallets", "lands",
        "opens", "outputs", "quiet", "accounts", "contracts", "account_classes",
    ),
}  # fmt: skip
"""Structures item by item, in the order of their members in native/arguments.h."""
