"""What in a program points outside what it points into, or is read before it is written, is refused here.

The compiled engine trusts what passes. Integers are copied, so that what is checked stays as it is; numbers are read
where they are, and none of them is an address. A book's rows and places are checked by the engine as it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from crossmargin.kernels.door import Arrays, aligned, check_level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["checked_program"]

LEG, STRIKE, EXPIRY, BUCKET, ASSET, UNIT = range(6)
_LEVELS: Final = 6
_NONE: Final = -(1 << 31)  # an operand that is not given
_WIDE: Final = 8
_QUANTITY, _ONE, _LEVERAGE = 0, 9, 3
_MOST: Final = 1 << 16
_MOST_CLASSES: Final = 256
_LONG: Final = 256  # columns of rows that are read in another way
_WORST, _TAIL, _ROW, _CELLS = range(4)
_ELEMENTWISE: Final = dict.fromkeys(
    ("abs", "sqrt", "exp", "log", "tiers", "worst_side"), 1
) | dict.fromkeys(
    ("add", "sub", "mul", "div", "pow", "min", "max", "lt", "le", "eq", "ceil_to"), 2
) | {"select": 3}  # fmt: skip


def checked_program(given: Mapping[str, Any], inputs: int, operations: Mapping[str, int]) -> dict[str, Any]:
    """Return a program's arrays as the engine takes them.

    Raises
    ------
    ValueError, TypeError
        When an array is missing, has another layout, or points outside another one.
    """
    return _Checker(given, inputs, {number: name for name, number in operations.items()}).program()


def _within(offset: int, extent: int, total: int) -> bool:
    return offset >= 0 and extent >= 0 and offset + extent <= total


class _Checker:
    def __init__(self, given: Mapping[str, Any], inputs: int, names: Mapping[int, str]) -> None:
        self.of, self.inputs, self.names = Arrays(given, "program"), inputs, names
        self.at, self.name = 0, "?"

    def program(self) -> dict[str, Any]:
        of = self.of
        self.rows = of("always_active", "u1", None).shape[0]
        made: dict[str, Any] = self.template()
        self.floats = {name: of(name, "f8", None) for name in ("tables", "tier_upto", "lanes", "shares")}
        made |= self.floats | {"tiers": of("tiers", "f8", self.floats["tier_upto"].shape[0], 4)}
        made["multiplier"] = of("multiplier", "f8", self.rows)
        made["matrices"] = aligned(of("matrices", "f8", None))
        constants = of("constants", "f8", None)
        made["constants"] = np.repeat(constants, _WIDE)
        self.length = {name: values.shape[0] for name, values in self.floats.items()} | {
            "constants": constants.shape[0], "matrices": made["matrices"].shape[0],
        }  # fmt: skip
        for name, kind, width in _TABLES:
            made[name] = (of(name, kind, None) if width == 1 else of(name, kind, None, width)).copy()
        self.table_of = {name: made[name].tolist() for name, _, _ in _TABLES}
        self.which = made["which"]
        made["registers"] = self.registers()
        made["code"] = np.asarray([self.operation(*code) for code in self.numbered()], dtype=np.int32).reshape(-1, 8)
        for output in self.table_of["outputs"]:
            if not self.is_written(UNIT, output):
                message = f"outputs: {output} is not written"
                raise ValueError(message)
        made["used"] = np.frombuffer(self.used, dtype=np.uint8)
        made["sides"] = int(self.sides)
        made["trade_kind"] = of("trade_kind", "u1", self.rows).copy()
        return made | {"by_side": of.number("by_side"), "classes": self.classes, "rows": self.rows}

    def template(self) -> dict[str, Any]:
        """Check the template's rows and levels; return copies of what the engine reads of them."""
        of, rows = self.of, self.rows
        above = self.above = of("level_row", "i4", 4, rows).copy()
        counts = of("level_rows", "i8", 4).tolist()
        self.classes = of.number("class_count")
        if not 0 <= self.classes <= _MOST_CLASSES:
            message = "class_count: expected 0 to 256"
            raise ValueError(message)
        if rows > (1 << 31) // 4 or not all(0 <= count <= (1 << 31) // 4 for count in counts):
            message = "level_rows: a level is out of range, or there are too many rows"
            raise ValueError(message)
        for level in range(STRIKE, UNIT):
            check_level(level, above, counts[level - 1])
        self.keys = [3 * rows, *counts, self.classes]
        return {
            "level_row": above,
            "assets": counts[-1],
            "always_active": of("always_active", "u1", rows).copy(),
        }

    def registers(self) -> npt.NDArray[np.int64]:
        counts = self.of("registers", "i8", _LEVELS).copy()
        for level, count in enumerate(counts.tolist()):
            if not 0 <= count <= _MOST:
                message = f"registers: level {level} is out of range"
                raise ValueError(message)
        self.count: list[int] = counts.tolist()
        self.written = [bytearray(count) for count in self.count]
        self.used, self.sides = bytearray(_LEVELS), False
        return counts

    def numbered(self) -> Any:  # noqa: ANN401 - rows of the code
        for at, code in enumerate(self.table_of["code"]):
            self.at, self.name = at, "?"
            yield code

    # --- what operations need

    def fail(self, expected: str) -> NoReturn:
        message = f"code {self.at} ({self.name}): expected {expected}"
        raise ValueError(message)

    def need(self, ok: object, expected: str) -> None:
        if not ok:
            self.fail(expected)

    def is_written(self, level: int, number: int) -> bool:
        return 0 <= number < self.count[level] and bool(self.written[level][number])

    def reads(self, level: int, number: int) -> None:
        if number < 0:
            self.need(-1 - number < self.length["constants"], "a constant that is there")
        else:
            self.need(self.is_written(level, number), "a register that is written before")

    def writes(self, level: int, number: int, count: int = 1) -> None:
        self.need(_within(number, count, self.count[level]), "a destination among the registers")
        self.written[level][number : number + count] = b"\1" * count

    def table(self, offset: int, level: int) -> None:
        self.uses(level)
        self.need(_within(offset, self.keys[level], self.length["tables"]), "a table within tables")

    def uses(self, level: int) -> None:
        self.need(LEG <= level <= UNIT, "a level from 0 to 5")
        self.used[level] = 1

    def nests(self, fine: int, coarse: int) -> None:
        """Level `fine` lies within level `coarse`; assets only within units."""
        nested = fine < coarse and (fine == LEG or coarse == UNIT or coarse != ASSET)
        self.need(nested, "a finer level and a coarser one")
        self.uses(coarse)

    def entry(self, name: str, number: int, what: str) -> Sequence[Any]:
        """Return a row of one of the program's tables of integers."""
        rows = self.table_of[name]
        self.need(0 <= number < len(rows), what)
        row: Sequence[Any] = rows[number]
        return row

    # --- operations

    def operation(self, op: int, level: int, dst: int, *rest: int) -> tuple[int, ...]:
        self.need(op in self.names, "a number of OPS")
        self.name = self.names[op]
        self.uses(level)
        a, b, c, aux, n = rest
        count = _ELEMENTWISE.get(self.name, 0)
        b, c = (b if count != 1 else a), (c if count not in {1, 2} else a)  # what nobody means is read all the same
        for operand in (a, b, c)[:count]:
            self.reads(level, operand)
        check = getattr(self, f"op_{self.name}", None)
        if check is not None:
            check(level, dst, a, b, c, aux, n)
        if self.name not in {"legsum", "scan"}:
            self.writes(level, dst)
        return op, level, dst, a, b, c, aux, n

    def op_tiers(self, level: int, _dst: int, _a: int, _b: int, _c: int, aux: int, _n: int) -> None:
        offset, width, tables, which = self.entry("tier_sets", aux, "a tier set that is there")
        tiers = self.length["tier_upto"]
        self.need(0 < width <= tiers and 0 < tables <= tiers, "a tier set with tiers")
        self.need(_within(offset, width * tables, tiers), "tiers within tier_upto")
        if which >= 0:
            keys = self.keys[level]
            self.need(_within(which, keys, self.which.shape[0]), "a table number for each row of the level")
            numbers = self.which[which : which + keys]
            self.need(((numbers >= 0) & (numbers < tables)).all(), "numbers of tables in which")

    def op_table(self, level: int, _dst: int, _a: int, _b: int, _c: int, aux: int, _n: int) -> None:
        self.table(aux, level)

    def op_input(self, level: int, _dst: int, _a: int, _b: int, _c: int, aux: int, _n: int) -> None:
        self.need(level == UNIT and 0 <= aux < self.inputs, "an input, at level 5")

    def op_legsum(self, level: int, dst: int, _a: int, b: int, _c: int, aux: int, n: int) -> None:
        offsets = self.entry("lane_groups", aux, "a lane group that is there")
        self.need(0 < n <= _MOST and b in {0, 1}, "some sums, anew or going on")
        self.need(b == 0 or all(self.is_written(level, dst + k) for k in range(n)), "sums that are written before")
        width = n if n == 1 else -(-n // _WIDE) * _WIDE
        for offset in offsets:
            inside = offset == -1 or _within(offset, 3 * self.rows * width, self.length["lanes"])
            self.need(inside, "coefficients within lanes, or -1")
        self.writes(level, dst, n)

    def op_sum(self, level: int, _dst: int, a: int, b: int, _c: int, _aux: int, _n: int) -> None:
        self.climbs(a, b, b, level)

    op_largest = op_sum

    def op_lift(self, level: int, _dst: int, a: int, b: int, _c: int, _aux: int, _n: int) -> None:
        self.climbs(a, b, level, b)

    def climbs(self, a: int, other: int, fine: int, coarse: int) -> None:
        self.uses(other)
        self.nests(fine, coarse)
        self.need(a >= 0, "a register")
        self.reads(other, a)

    def op_max_loss(self, level: int, _dst: int, a: int, b: int, c: int, aux: int, _n: int) -> None:
        self.need(STRIKE <= level < ASSET, "a level from 1 to 3")
        self.need(a >= 0, "a register")
        self.reads(LEG, a)
        self.reads(level, b)
        self.reads(level, c)
        self.table(aux, LEG)
        strikes = self.floats["tables"][aux : aux + self.keys[LEG]]
        given = np.flatnonzero(~np.isnan(strikes))
        row, strike = self.above[level - 1][given // 3], strikes[given]
        falls = (row[1:] == row[:-1]) & (strike[1:] < strike[:-1])
        self.need(not (strike < 0).any() and not falls.any(), "strikes that ascend within a row, none below 0")

    def op_worst_side(self, _level: int, _dst: int, a: int, *_: int) -> None:
        self.need(a >= 0, "a register")
        self.sides = True

    # --- scans

    def op_scan(self, level: int, _dst: int, _a: int, _b: int, _c: int, aux: int, _n: int) -> None:
        index, matrix, pitch, *more = self.entry("scans", aux, "a scan that is there")
        chain = [one for n, one in enumerate(more[:3]) if one or n == 0]
        first_segment, segments, first_fold, folds, unsigned = more[3:]
        rows = self.rows if index == -1 else self.rows_read(index)
        self.need(0 < pitch <= 1 << 24 and pitch % _WIDE == 0, "a pitch that is a multiple of 8")
        inside = matrix % _WIDE == 0 and _within(matrix, pitch * rows, self.length["matrices"])
        self.need(inside, "a matrix within matrices, at a multiple of 8")
        self.need(more[1] != 0 or more[2] == 0, "a chain of levels without a gap")
        for n, one in enumerate(chain):
            self.need(one not in {LEG, ASSET}, "a chain of the levels 1, 2, 3 and 5")
            self.uses(one)
            if n:
                self.nests(chain[n - 1], one)
        self.need(chain[-1] == level, "a chain that ends at the level of the line")
        self.need(_within(first_fold, folds, len(self.table_of["folds"])), "folds within folds")
        self.need(_within(first_segment, segments, len(self.table_of["segments"])), "segments within segments")
        bends = self.table_of["folds"][first_fold : first_fold + folds]
        parts = self.table_of["segments"][first_segment : first_segment + segments]
        for one in bends:
            self.fold(chain, pitch, one)
        for one in parts:
            self.segment(level, pitch, one)
        # rows are written while others are still computed
        read = {part[6] for part in parts} | {place for one in bends if one[1] == level for place in one[4:8]}
        made = [(part[5], part[1] - part[0] if part[2] == _CELLS else 1) for part in parts]
        for dst, count in made:
            self.need(read.isdisjoint(range(dst, dst + count)), "destinations that the scan itself does not read")
            self.writes(level, dst, count)
        self.need(
            0 <= unsigned < 1 << _WIDE and (unsigned == 0 or pitch < _LONG), "a bit for each of 8 columns, if short"
        )

    def rows_read(self, index: int) -> int:
        self.need(_within(index, self.keys[LEG], self.which.shape[0]), "a matrix row for each leg's key")
        row = self.which[index : index + self.keys[LEG]]
        self.need(row.min(initial=0) >= 0, "rows of a matrix")
        self.uses(LEG)
        return int(row.max(initial=-1)) + 1

    def fold(self, chain: Sequence[int], pitch: int, fold: Sequence[int]) -> None:
        close_out, level, start, end, gain, loss, cap, deductible = fold
        self.need(chain.count(level) == 1, "a fold at a level of the chain")
        inside = 0 <= start <= end <= pitch and 0 <= close_out <= pitch - end
        self.need(inside, "columns of a fold, and of what it closes out by, within the pitch")
        for operand in (gain, loss, cap, *([] if deductible == _NONE else [deductible])):
            self.reads(level, operand)

    def segment(self, level: int, pitch: int, segment: Sequence[int]) -> None:
        start, end, measure, depth, shares, _, weight, _ = segment
        self.need(0 <= start <= end <= pitch, "columns of a segment within the pitch")
        self.need(_WORST <= measure <= _CELLS, "a measure from 0 to 3")
        if measure == _TAIL:
            self.need(1 <= depth <= end - start, "a depth within the segment")
            self.need(shares == -1 or _within(shares, depth, self.length["shares"]), "shares within shares, or -1")
        self.reads(level, weight)


_TABLES: Final = (
    ("tier_sets", "i8", 4), ("which", "i4", 1), ("lane_groups", "i8", 10),
    ("scans", "i8", 11), ("folds", "i8", 8), ("segments", "i8", 8), ("outputs", "i4", 1),
    ("code", "i4", 8),
)  # fmt: skip
