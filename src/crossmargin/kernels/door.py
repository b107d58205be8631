"""The compiled kernels' door: arrays of the item type, layout and extents that the kernels read without asking."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

__all__ = ["Arrays", "aligned", "check_level", "checked_book", "checked_desk", "checked_legs", "checked_tail"]

ALIGNMENT: Final = 64  # bytes of a cache line
_NAMES: Final = {"f8": "float64", "i8": "int64", "i4": "int32", "u4": "uint32", "u2": "uint16", "u1": "uint8"}
_STRIKE, _ASSET = 1, 4  # levels
_KINDS: Final = 3  # of trades


def aligned(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the values in memory that begins with a cache line: themselves where they do."""
    if values.ctypes.data % ALIGNMENT == 0:
        return values
    memory = np.empty(values.nbytes + ALIGNMENT, dtype=np.uint8)
    skip = -memory.ctypes.data % ALIGNMENT
    out = memory[skip : skip + values.nbytes].view(np.float64).reshape(values.shape)
    out[...] = values
    return out


def checked_legs(
    scale: npt.NDArray[Any], index: npt.NDArray[Any], matrix: npt.NDArray[Any], starts: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the legs of groups and their matrix: real numbers as float64, exact ones and integers as they are.

    Raises
    ------
    TypeError
        When one has items of another sort: nothing is rounded, truncated or taken for a number in silence.
    ValueError
        When one has another number of dimensions.
    """
    begins = _whole(starts, "starts").astype(
        np.int64, copy=False
    )  # beyond 63 bits: below 0, and out of range all the same
    return _real(scale, "scale", 1), _whole(index, "index"), _real(matrix, "matrix", 2), begins


def checked_tail(depth: int, shares: npt.NDArray[Any] | None, scenarios: int) -> npt.NDArray[np.float64] | None:
    """Return the shares of a tail as float64; ValueError where it is not within the scenarios, or a share no number."""
    if not 1 <= operator.index(depth) <= scenarios:
        message = f"depth: expected 1 to {scenarios} scenarios, found {depth}"
        raise ValueError(message)
    if shares is None:
        return None
    weights = _real(shares, "shares", 1)
    if weights.shape != (depth,):
        message = f"shares: expected {depth} along axis 0, found {weights.shape[0]}"
        raise ValueError(message)
    if not np.isfinite(weights).all():
        message = "shares: expected finite numbers"
        raise ValueError(message)
    return weights


def _real(values: npt.NDArray[Any], name: str, dimensions: int) -> npt.NDArray[Any]:
    dtype = values.dtype
    if dtype.kind not in "fiuO":
        message = f"{name}: expected real numbers, found {dtype}"
        raise TypeError(message)
    _refuse_dimensions(values, name, dimensions)
    return values if dtype == np.float64 or dtype.kind == "O" else values.astype(np.float64)


def _whole(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    if values.dtype.kind not in "iu":
        message = f"{name}: expected integers, found {values.dtype}"
        raise TypeError(message)
    _refuse_dimensions(values, name, 1)
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _refuse_dimensions(values: npt.NDArray[Any], name: str, wanted: int) -> None:
    if values.ndim != wanted:
        message = f"{name}: expected {wanted} dimensions, found {values.ndim}"
        raise ValueError(message)


class Arrays:
    """Arrays by name, each of one of some item types, side by side, of an extent that may be given."""

    def __init__(self, given: Mapping[str, Any], what: str) -> None:
        self.given, self.what = given, what

    def __call__(self, name: str, kinds: str, *extents: int | None) -> npt.NDArray[Any]:
        """Return an array by name, of an item type among `kinds`; an extent of None may be any."""
        if name not in self.given:
            message = f"{self.what}: expected an entry {name}"
            raise ValueError(message)
        array = self.given[name]
        if not isinstance(array, np.ndarray):
            message = f"{name}: expected an array"
            raise TypeError(message)
        kind = "u1" if array.dtype == np.bool_ else array.dtype.str[1:]
        if kind not in kinds.split() or not array.dtype.isnative:
            message = f"{name}: expected items of {' or '.join(_NAMES[one] for one in kinds.split())}"
            raise TypeError(message)
        if array.ndim != len(extents):
            message = f"{name}: expected {len(extents)} dimensions, found {array.ndim}"
            raise ValueError(message)
        if not array.flags.c_contiguous or not array.flags.aligned:
            message = f"{name}: expected items that lie side by side"
            raise ValueError(message)
        for axis, (wanted, found) in enumerate(zip(extents, array.shape, strict=True)):
            if wanted is not None and wanted != found:
                message = f"{name}: expected {wanted} along axis {axis}, found {found}"
                raise ValueError(message)
        return array

    def number(self, name: str) -> int:
        """Return an integer by name."""
        if name not in self.given:
            message = f"{self.what}: expected an entry {name}"
            raise ValueError(message)
        return operator.index(self.given[name])


def checked_book(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a book's arrays; their extents agree."""
    of = Arrays(given, "book")
    row, start, extra_leg = of("row", "u2 i4", None), of("start", "u4", None), of("extra_leg", "u4", None)
    units = start.shape[0]
    inputs = of("inputs", "f8", None, None)
    if inputs.shape[1]:
        of("inputs", "f8", None, units)
    return {
        "row": row,
        "quantity": of("quantity", "f8", row.shape[0]),
        "start": start,
        "count": of("count", "u4", units),
        "extra_start": of("extra_start", "u4", units),
        "extra_count": of("extra_count", "u4", units),
        "extra_leg": extra_leg,
        "extra_value": of("extra_value", "f8", extra_leg.shape[0]),
        "pool_class": of("pool_class", "u1", units),
        "inputs": inputs,
    }


def checked_desk(given: Mapping[str, Any], units: int, program: Mapping[str, Any]) -> dict[str, Any]:
    """Return a desk's arrays; their extents agree with each other's, with the book's units and with the program."""
    of = Arrays(given, "desk")
    accounts, contracts = of("first", "i4", None).shape[0], of("mark", "f8", None).shape[0]
    classes, outputs = program["classes"], program["outputs"].shape[0]
    wanted = of("outputs", "i4", 5).copy()
    least = np.asarray([0, 0, 0, 0, -1])
    if (wanted >= outputs).any() or (wanted < least).any():
        message = f"outputs: {wanted.tolist()} are not all the program's"
        raise ValueError(message)
    opens = of("opens", "i4", None, contracts)
    names = {"numbers": given.get("numbers", {}), "places": given.get("places", {n: n for n in range(contracts)})}
    answer = given.get("answer", tuple)
    if not all(isinstance(table, dict) for table in names.values()) or not issubclass(answer, tuple):
        message = "numbers, places: expected tables by name; answer: expected a kind of tuple"
        raise TypeError(message)
    return {
        **names,
        "answer": answer,
        "quiet": of("quiet", "u1", 1) if "quiet" in given else np.ones(1, dtype=np.uint8),
        "first": given["first"],
        "mark": given["mark"],
        "outputs": wanted,
        "opens": np.where(opens < classes, opens, -1).astype(np.int32),
        **_places(of("rows", "i4", classes, contracts), of("pays", "i4", contracts), program),
        "figures": of("figures", "f8", 4, units),
        "follow": of("follow", "i4", units),
        "key": of("key", "i4", units),
        "refused": of("refused", "u1", units),
        "lands": of("lands", "i4", contracts),
        "account_class": of("account_class", "u1", accounts),
        "rate": of("rate", "f8", classes),
        "account_classes": opens.shape[0],
    }


def _places(
    rows: npt.NDArray[np.int32], pays: npt.NDArray[np.int32], program: Mapping[str, Any]
) -> dict[str, npt.NDArray[np.int32]]:
    """Return by class and contract the rows of trades and of the wallets that pay: -1 where nothing can be traded."""
    count, kind = program["rows"], program["trade_kind"]
    traded = np.zeros(count + 2, dtype=bool)  # by the row plus one: what is out of range is taken for the first or last
    traded[1:-1] = (kind >= 1) & (kind <= _KINDS)
    wallets = np.take(rows, pays, axis=1, mode="clip") if pays.size else rows
    able = np.take(traded, rows.astype(np.int64) + 1, mode="clip") & (wallets != rows) & (wallets < count)
    able &= (pays >= 0) & (pays < pays.shape[0])
    return {"rows": rows.copy(), "wallets": np.where(able, wallets, np.int32(-1))}


def check_level(level: int, above: npt.NDArray[np.int32], count: int) -> None:
    """Refuse rows out of range, and levels that do not nest: a strike in one expiry, and so on, lying together."""
    row = above[level - 1]
    outside = (row < 0) | (row >= count)
    if outside.any():
        message = f"level_row: row {int(outside.argmax())} of level {level} is out of range"
        raise ValueError(message)
    if level == _ASSET or not row.shape[0]:
        return
    new = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    _, first = np.unique(row[new], return_index=True)
    wrong = np.ones(row.shape[0], dtype=bool)
    wrong[new[first]] = False  # each number begins once
    wrong[1:] &= row[1:] != row[:-1]
    if level > _STRIKE:
        finer = above[level - 2]
        wrong[1:] |= (row[1:] != row[:-1]) & (finer[1:] == finer[:-1])
    if wrong.any():
        message = f"level_row: row {int(wrong.argmax())} of level {level} does not lie with its like"
        raise ValueError(message)
