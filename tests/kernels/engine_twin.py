"""The account engine once more in plain Python, unit by unit and leg by leg: slow, and easy to read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mapping = dict[str, Any]

LEG, STRIKE, EXPIRY, BUCKET, ASSET, UNIT = range(6)
QUANTITY, COST, ACCRUED, LEVERAGE, BIDS, ASKS, ONE = 0, 1, 2, 3, 4, 5, 9
NONE = -(2**31)
CELLS = 3  # a measure
_POSITION = (1 << 28) - 1

ELEMENTWISE: Any = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
    "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "min": np.minimum, "max": np.maximum,
    "lt": np.less, "le": np.less_equal, "eq": np.equal, "select": np.where,
}  # fmt: skip


@dataclass
class Leg:
    """One leg of a unit: its template row, its quantity, and its other columns."""

    row: int
    quantity: float
    extra: dict[int, float] = field(default_factory=dict)

    def column(self, column: int) -> float:
        if column == QUANTITY:
            return self.quantity
        if column == ONE:
            return 1.0
        return self.extra.get(column, math.nan if column == LEVERAGE else 0.0)

    def active(self, always: npt.NDArray[np.uint8]) -> bool:
        others = any(value != 0 for column, value in self.extra.items() if column != LEVERAGE)
        return self.quantity != 0 or others or bool(always[self.row])

    def key(self) -> int:
        return 3 * self.row + 1 + (self.quantity > 0) - (self.quantity < 0)


def legs_of(book: Mapping, unit: int) -> list[Leg]:
    """Return the legs of a unit as the book holds them."""
    first, extra = int(book["start"][unit]), int(book["extra_start"][unit])
    legs = [
        Leg(int(book["row"][i]), float(book["quantity"][i])) for i in range(first, first + int(book["count"][unit]))
    ]
    for i in range(extra, extra + int(book["extra_count"][unit])):
        code = int(book["extra_leg"][i])
        legs[code & _POSITION].extra[code >> 28] = float(book["extra_value"][i])
    return legs


class Twin:
    """One unit under a program; `evaluate` gives its outputs."""

    def __init__(self, book: Mapping, program: Mapping, names: dict[int, str]) -> None:
        self.book, self.program, self.names = book, program, names
        self.largest = 0.0  # of all that was met on the way: what rounding is measured against

    def run(self) -> Floats:
        units = range(len(self.book["start"]))
        columns = [self.evaluate(legs_of(self.book, unit), unit) for unit in units]
        return np.array(columns).reshape(len(columns), -1).T

    def evaluate(self, legs: list[Leg], unit: int, pool_class: int | None = None) -> Floats:
        known = int(self.book["pool_class"][unit]) if pool_class is None else pool_class
        with np.errstate(all="ignore"):
            return OneUnit(self, legs, unit, known).outputs()

    def what_if(
        self, unit: int, row: int, wallet_row: int, quantity: float, price: float, pool_class: int | None = None
    ) -> Floats:
        held = legs_of(self.book, unit) if unit >= 0 else []
        return self.evaluate(traded(held, self.program, row, wallet_row, quantity, price), unit, pool_class)


class OneUnit:
    """The registers of one unit while its program runs."""

    def __init__(self, twin: Twin, legs: list[Leg], unit: int, pool_class: int) -> None:
        self.pool_class = pool_class
        self.twin, self.program, self.unit = twin, twin.program, unit
        self.legs = [leg for leg in legs if leg.active(self.program["always_active"])]
        self.rows: list[list[list[int]]] = [[[i] for i in range(len(self.legs))]]
        self.keys: list[list[int]] = [[leg.key() for leg in self.legs]]
        for level in range(STRIKE, UNIT):
            above = [int(self.program["level_row"][level - 1][leg.row]) for leg in self.legs]
            self.keys.append(list(dict.fromkeys(above)))
            self.rows.append([[i for i, key in enumerate(above) if key == row] for row in self.keys[level]])
        self.rows.append([list(range(len(self.legs)))])
        self.keys.append([pool_class])
        self.held: list[dict[int, Floats]] = [{} for _ in range(6)]

    def outputs(self) -> Floats:
        self.execute(len(self.program["code"]), nested=False)
        return np.array([self.held[UNIT][int(register)][0] for register in self.program["outputs"]])

    def execute(self, ops: int, *, nested: bool) -> None:
        for place in range(ops):
            code = [int(x) for x in self.program["code"][place]]
            name, level = self.twin.names[code[0]], code[1]
            if name in ELEMENTWISE:
                operands = [self.operand(level, number) for number in code[3 : 3 + ELEMENTWISE_ARITY[name]]]
                if name == "select":
                    operands[0] = operands[0] != 0
                result = np.broadcast_to(ELEMENTWISE[name](*operands), len(self.rows[level])).astype(np.float64)
                self.held[level][code[2]] = result
            elif name == "worst_side":
                self.held[level][code[2]] = self.worst_side(code, place, nested=nested)
            elif name in {"scan", "legsum"}:
                getattr(self, name)(code)
            else:
                self.held[level][code[2]] = np.array(getattr(self, name)(code), dtype=np.float64)
            self._met(code)

    def _met(self, code: list[int]) -> None:
        for register in range(code[2], code[2] + max(code[7], 1)):
            values = np.abs(np.asarray(self.held[code[1]].get(register, 0.0), dtype=np.float64))
            self.twin.largest = max(self.twin.largest, float(np.max(values[np.isfinite(values)], initial=0.0)))

    def operand(self, level: int, number: int) -> Any:  # noqa: ANN401 - a column or a constant
        count = len(self.rows[level])
        return self.held[level][number] if number >= 0 else np.full(count, self.program["constants"][-1 - number])

    def tabled(self, offset: int, level: int) -> Floats:
        return np.asarray(self.program["tables"][[offset + key for key in self.keys[level]]], dtype=np.float64)

    def table(self, code: list[int]) -> Floats:
        return self.tabled(code[6], code[1])

    def input(self, code: list[int]) -> list[float]:
        stated = self.twin.book["inputs"][code[6]]
        return [stated[self.unit] if self.unit >= 0 and len(stated) else 0.0]

    def ceil_to(self, code: list[int]) -> Floats:
        from crossmargin.margin.functions import _rounded  # noqa: PLC0415

        return _rounded(np.ceil, self.operand(code[1], code[3]), self.operand(code[1], code[4]))

    def tiers(self, code: list[int]) -> list[float]:
        offset, width, _, which = (int(x) for x in self.program["tier_sets"][code[6]])
        out = []
        for key, x in zip(self.keys[code[1]], self.operand(code[1], code[3]).tolist(), strict=True):
            first = offset + (0 if which < 0 else int(self.program["which"][which + key]) * width)
            held = int((x > self.program["tier_upto"][first : first + width - 1]).sum())
            base, start, span, slope = self.program["tiers"][first + held]
            level = base if np.isinf(span) else base + (x - start) / span * slope
            out.append(x if math.isnan(x) else float(level))
        return out

    def legsum(self, code: list[int]) -> None:
        offsets, count = self.program["lane_groups"][code[6]].tolist(), code[7]
        width = 1 if count == 1 else -(-count // 8) * 8
        for lane in range(count):
            totals = []
            for place, legs in enumerate(self.rows[code[1]]):
                at = {column: offset + lane for column, offset in enumerate(offsets) if offset >= 0}
                mine = [self.legs[i] for i in legs]
                # quantities, counts, and then the rest leg by leg: the last digits are those of an order
                total = float(self.held[code[1]][code[2] + lane][place]) if code[4] else 0.0
                total += self.summed_up(mine, QUANTITY, at, width)
                total += self.summed_up(mine, ONE, at, width)
                for leg in mine:
                    for column in (column for column in leg.extra if column in at):
                        total += leg.extra[column] * self.program["lanes"][at[column] + leg.key() * width]
                totals.append(total)
            self.held[code[1]][code[2] + lane] = np.array(totals, dtype=np.float64)

    def summed_up(self, legs: list[Leg], column: int, at: dict[int, int], width: int) -> float:
        if column not in at:
            return 0.0
        lanes = self.program["lanes"]
        return sum((leg.column(column) * lanes[at[column] + leg.key() * width] for leg in legs), 0.0)

    def within(self, fine: int, coarse: int) -> list[list[int]]:
        """Return the finer rows of each coarser row."""
        return [[j for j, f in enumerate(self.rows[fine]) if f and f[0] in set(legs)] for legs in self.rows[coarse]]

    def sum(self, code: list[int]) -> list[float]:
        column = self.held[code[4]][code[3]]
        return [float(sum((column[j] for j in rows), 0.0)) for rows in self.within(code[4], code[1])]

    def largest(self, code: list[int]) -> list[float]:
        column = self.held[code[4]][code[3]]
        return [float(np.max(column[rows], initial=-np.inf)) for rows in self.within(code[4], code[1])]

    def lift(self, code: list[int]) -> list[float]:
        out = [0.0] * len(self.rows[code[1]])
        for i, rows in enumerate(self.within(code[1], code[4])):
            for row in rows:
                out[row] = self.held[code[4]][code[3]][i]
        return out

    def max_loss(self, code: list[int]) -> list[float]:
        strike, quantity = self.tabled(code[6], LEG), self.held[LEG][code[3]]
        begins, slopes = (self.operand(code[1], number) for number in code[4:6])
        out = []
        for place, row in enumerate(self.rows[code[1]]):
            legs = [i for i in row if not math.isnan(strike[i])]
            payoffs = [
                begins[place] + slopes[place] * price + sum(quantity[i] * max(price - strike[i], 0.0) for i in legs)
                for price in [0.0, *(strike[i] for i in legs)]
            ]
            bare = slopes[place] + sum(quantity[i] for i in legs)
            out.append(float(np.maximum(0.0, -np.min(payoffs))) if np.isfinite(bare) else math.nan)
        return out

    def worst_side(self, code: list[int], place: int, *, nested: bool) -> Floats:
        held = self.held[code[1]][code[3]]
        if nested or not any(leg.extra.get(column, 0.0) for leg in self.legs for column in (BIDS, ASKS)):
            return held
        sides = [held]
        for column in (BIDS, ASKS):
            other = OneUnit(self.twin, self.legs, self.unit, self.pool_class)
            other.legs = [Leg(leg.row, leg.quantity + leg.extra.get(column, 0.0), leg.extra) for leg in self.legs]
            other.rows, other.keys = self.rows, [[leg.key() for leg in other.legs], *self.keys[1:]]
            other.execute(place, nested=True)
            sides.append(other.held[code[1]][code[3]])
        return np.maximum(np.maximum(sides[0], sides[1]), sides[2])

    def scan(self, code: list[int]) -> None:
        p = self.program
        index, matrix, pitch, *rest, unsigned = (int(x) for x in p["scans"][code[6]])
        chain = [level for level in rest[:3] if level]
        segments = p["segments"][rest[3] : rest[3] + rest[4]].tolist()
        folds = p["folds"][rest[5] : rest[5] + rest[6]].tolist()
        rows = [self.summed(legs, index, matrix, pitch, unsigned) for legs in self.rows[chain[0]]]
        for place, level in enumerate(chain):
            if place:
                rows = [
                    sum((rows[j] for j in inner), np.zeros(pitch)) for inner in self.within(chain[place - 1], level)
                ]
            for fold in (fold for fold in folds if fold[1] == level):
                for i, row in enumerate(rows):
                    bend = self.closed_out if fold[0] else self.folded
                    row[fold[2] : fold[3]] = bend(fold, level, i, row)
        for segment in (segment for segment in segments if segment[2] == CELLS):
            for cell in range(segment[0], segment[1]):
                left = [row[cell] if self.legs else 0.0 for row in rows]  # nothing to fold
                self.held[chain[-1]][segment[5] + cell - segment[0]] = np.array(left, dtype=np.float64)
        for segment in (segment for segment in segments if segment[2] != CELLS):
            by = self.operand(chain[-1], segment[6])
            losses = [self.measured(segment, row[segment[0] : segment[1]]) * by[i] for i, row in enumerate(rows)]
            if chain[-1] == UNIT and not self.legs:
                losses = [0.0]
            self.held[chain[-1]][segment[5]] = np.array(losses, dtype=np.float64)

    def summed(self, legs: list[int], index: int, offset: int, pitch: int, unsigned: int = 0) -> Floats:
        """Return a row of scenarios; of the last 8 columns those of `unsigned` take quantities without their sign."""
        row, plain = np.zeros(pitch), np.ones(pitch, dtype=bool)
        plain[pitch - 8 :] = [not unsigned >> lane & 1 for lane in range(8)]
        for leg in (self.legs[i] for i in legs):
            at = offset + (leg.row if index < 0 else int(self.program["which"][index + leg.key()])) * pitch
            scale = np.where(plain, leg.quantity, abs(leg.quantity))
            row = row + scale * self.program["matrices"][at : at + pitch]
        return row

    def closed_out(self, fold: list[int], level: int, row: int, cells: Floats) -> Floats:
        gain, loss = (self.operand(level, fold[i])[row] for i in (4, 5))
        x, moved = cells[fold[2] : fold[3]], cells[fold[2] + fold[0] : fold[3] + fold[0]]
        slopes = np.where(moved > 0, gain, np.where(moved < 0, loss, 1.0))
        return np.asarray(x + (slopes - 1.0) * moved)

    def folded(self, fold: list[int], level: int, row: int, cells: Floats) -> Floats:
        x = cells[fold[2] : fold[3]]
        gain, loss = (self.operand(level, fold[i])[row] for i in (4, 5))
        up, down = gain * np.maximum(x, 0.0), loss * np.minimum(x, 0.0)
        up = np.minimum(up, self.operand(level, fold[6])[row])
        if fold[7] != NONE:
            down = np.minimum(down + self.operand(level, fold[7])[row], 0.0)
        return np.asarray(up + down)

    def measured(self, segment: list[int], row: Floats) -> float:
        measure, depth, shares = segment[2:5]
        if np.isnan(row).any():
            return math.nan
        if measure == 0:
            return max(0.0, -float(row.min(initial=0.0)))
        if measure == 1:
            lowest = np.sort(row)[:depth]
            tail = lowest @ self.program["shares"][shares : shares + depth] if shares >= 0 else lowest[-1]
            return max(0.0, -float(tail))
        return float(row.sum())


ELEMENTWISE_ARITY = dict.fromkeys(ELEMENTWISE, 2) | dict.fromkeys(("abs", "sqrt", "exp", "log"), 1) | {"select": 3}


def _side(leg: Leg) -> float:
    return leg.quantity or leg.extra.get(BIDS, 0.0) + leg.extra.get(ASKS, 0.0)


def _find(legs: list[Leg], wanted: int, sign: float) -> Leg:
    """Return the leg of a row (of a side, where the sign says one); a new one where there is none."""
    for leg in legs:
        if leg.row == wanted and (not sign or _side(leg) * sign > 0):
            return leg
    new = Leg(wanted, 0.0)
    after = [i for i, leg in enumerate(legs) if leg.row > wanted or (leg.row == wanted and sign < 0)]
    legs.insert(after[0] if after else len(legs), new)
    return new


def _closed(leg: Leg, wallet: Leg, amount: float) -> tuple[float, float, float]:
    """Close what the trade closes; return contracts closed and opened, signed as the trade, and the change of cost."""
    held = leg.quantity
    flat = abs(held + amount) <= 2.0**-50 * max(abs(held), abs(amount))  # less is left over from rounding
    if held * amount >= 0 and not flat:
        return 0.0, amount, 0.0
    closing = amount if abs(amount) <= abs(held) and not flat else -held
    share = -closing / held
    cost, funding = share * leg.extra.get(COST, 0.0), share * leg.extra.get(ACCRUED, 0.0)
    leg.quantity = 0.0 if share == 1.0 else held + closing
    leg.extra[COST] = 0.0 if share == 1.0 else leg.extra.get(COST, 0.0) - cost
    leg.extra[ACCRUED] = 0.0 if share == 1.0 else leg.extra.get(ACCRUED, 0.0) - funding
    wallet.quantity += funding
    return closing, 0.0 if flat else amount - closing, -cost


def traded(legs: list[Leg], program: Mapping, row: int, wallet_row: int, amount: float, price: float) -> list[Leg]:
    """Return the legs after a trade, by the rule of :class:`crossmargin.analysis.prepared.Prepared`."""
    legs = [Leg(leg.row, leg.quantity, dict(leg.extra)) for leg in legs]
    before = {id(leg): leg.quantity for leg in legs}

    sign = math.copysign(1.0, amount) if amount else -1.0
    same = _find(legs, row, sign if program["by_side"] else 0.0)
    kept = [leg for leg in legs if leg.row == row and _side(leg) * sign < 0]
    opposite = same if not program["by_side"] else kept[0] if kept else Leg(row, 0.0)
    wallet = _find(legs, wallet_row, 0.0)
    closing, opened, gained = _closed(opposite, wallet, amount)
    multiplier, kind = float(program["multiplier"][row]), int(program["trade_kind"][row])
    if kind == 1:
        wallet.quantity -= amount * multiplier * price
        same.quantity += opened
        same.extra[COST] = same.extra.get(COST, 0.0) + (opened * price if same.extra.get(COST, 0.0) else 0.0)
    else:
        one = 1.0 / price if kind == 3 else price
        wallet.quantity += (gained - closing * one) * multiplier * (-1.0 if kind == 3 else 1.0)
        same.quantity += opened
        same.extra[COST] = same.extra.get(COST, 0.0) + opened * one
    for leg in legs:
        if not before.get(id(leg), 0.0) * leg.quantity > 0:
            leg.extra.pop(LEVERAGE, None)
        for column in (COST, ACCRUED):
            if leg.extra.get(column) == 0.0:
                del leg.extra[column]
    return legs
