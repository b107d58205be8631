"""From recorded columns to the engine's program: a flat list of operations on registers, and the pools it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.margin.program.nodes import COLUMNS, ONE, PER_UNIT, QUANTITY, Node, Op, Table, Terms, walk
from crossmargin.margin.program.pools import TIERED, LegSums, Pools, leg_sums
from crossmargin.margin.program.scan_columns import Beside, lanes_beside, scan_slots
from crossmargin.margin.program.scans import LEVEL_NUMBER, add_scan, scan_groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["lower"]

_SAID_OTHERWISE: Final = {"gt": "lt", "ge": "le", "neg": "mul", "floor_to": "ceil_to", "ne": "sub"}


class _Value(NamedTuple):
    """What an instruction leaves: a register of a level, not given out yet."""

    level: str
    number: int


class _Constant(NamedTuple):
    place: int


@dataclass(slots=True)
class _Instruction:
    """One operation: three operands (values, constants, or an integer that the operation takes as it is)."""

    op: str
    level: str
    operands: list[Any]
    made: list[_Value]
    aux: int = 0
    count: int = 1
    reads: list[_Value] = field(default_factory=list)
    together: int = 0  # so many of what is made, the last, stand side by side


def lower(roots: Sequence[Node], contract: Ints, ops: Mapping[str, int]) -> dict[str, Any]:
    """Return the program's arrays for the engine; `roots` are what it gives for each pool, in order.

    Parameters
    ----------
    contract
        [template legs] each leg's contract.
    ops
        The engine's operations by name.
    """
    lowering = _Lowering(contract)
    operations = [node for node in walk(list(roots)) if isinstance(node, Op)]
    lowering.find_scans([node for node in operations if node.name == "scan"])
    lowering.sums([node for node in operations if node.name == "legsum"])
    outputs = [lowering.on_units(root) for root in roots]
    return _arrays(lowering, outputs, ops)


class _Lowering:
    """Emits each distinct node once, after what it is made of."""

    def __init__(self, contract: Ints) -> None:
        self.contract = contract
        self.pools = Pools()
        self.code: list[_Instruction] = []
        self._known: dict[int, Any] = {}
        self._same: dict[tuple[Any, ...], _Value] = {}
        self._group_of: dict[int, int] = {}
        self._groups: list[Any] = []
        self._slot_of: dict[int, tuple[_Value, bool]] = {}
        self._count = 0

    # --- what is emitted first

    def find_scans(self, nodes: Sequence[Op]) -> None:
        """Say which scans share a pass."""
        self._groups = scan_groups(nodes)
        self._group_of = {id(node): n for n, members in enumerate(self._groups) for node in members}

    def sums(self, nodes: Sequence[Op]) -> None:
        """Emit all sums of legs, in one pass over them: they depend on nothing. Coarser sums are sums of finer ones."""
        for part in ([n for n in nodes if n.level == "asset"], [n for n in nodes if n.level != "asset"]):
            if not part:
                continue
            finest = min((node.level for node in part), key=LEVEL_NUMBER.__getitem__)
            found = leg_sums(part)
            values = self._summed(finest, found)
            for node in part:
                value = values[found.lane_of[id(node)]]
                if node.level != finest:
                    value = self._emit("sum", node.level, [value, LEVEL_NUMBER[finest], 0])
                self._known[id(node)] = value

    def _summed(self, level: str, sums: LegSums) -> list[_Value]:
        """Emit sums of legs onto a level, those of quantities beside scans that read the same legs where some do."""
        values = [self._fresh(level) for _ in sums.distinct]
        scan, beside = self._carrier(level, sums)
        left = {name: sums.coefficients(name) for name in COLUMNS if sums.takes(name)}
        if scan is not None:
            self._scan(scan, beside, values)
            del left[QUANTITY]
        if left:
            group, reads = self.pools.sums(left), [] if scan is None else values
            operands = [0, int(scan is not None), 0]
            self.code.append(_Instruction("legsum", level, operands, values, group, len(values), reads, len(values)))
        return values

    def _carrier(self, level: str, sums: LegSums) -> tuple[Op | None, Beside | None]:
        """Return a scan whose pass can carry sums of legs, and how they stand there; None, None where there is none."""
        for members in self._groups if sums.takes(QUANTITY) else ():
            beside = lanes_beside(scan_slots(members), level, self.contract, sums)
            if beside is not None:
                return members[0], beside
        return None, None

    def on_units(self, root: Node) -> _Value:
        """Emit an output; the engine gives registers, so a constant is put into one."""
        found = self.operand(root)
        return found if isinstance(found, _Value) else self._in_register(found, "account")

    # --- nodes

    def operand(self, node: Node) -> Any:  # noqa: ANN401 - a value or a constant
        """Return where a node's column stands."""
        if id(node) not in self._known:
            self._known[id(node)] = self._made(node)
        return self._known[id(node)]

    def _made(self, node: Node) -> Any:  # noqa: ANN401 - as above
        if isinstance(node, Table):
            return self._table(node)
        if isinstance(node, Terms):
            return self._form(node)
        if node.name == "scan":
            return self._scanned(node)
        if node.name in {"sum", "largest", "lift"}:
            return self._between(node)
        if node.name == "input":
            return self._emit("input", "account", [0, 0, 0], int(node.more))
        return self._max_loss(node) if node.name == "max_loss" else self._elementwise(node)

    def _table(self, node: Table) -> Any:  # noqa: ANN401 - as above
        values = np.atleast_1d(node.values)
        if not values.size or (values == values[0]).all() or np.isnan(values).all():
            return self._constant(float(values[0]) if values.size else 0.0)
        return self._emit("table", node.level, [0, 0, 0], self.pools.tables.add(values))

    def _form(self, node: Terms) -> Any:  # noqa: ANN401 - as above
        if set(node.by) <= {ONE}:
            return self._table(Table("leg", node.by.get(ONE, np.zeros(1))))
        plain = {name: values[:, None] for name, values in node.by.items() if name not in {PER_UNIT, "leverage"}}
        parts = [self._emit("legsum", "leg", [0, 0, 0], self.pools.sums(plain))] if plain else []
        if "leverage" in node.by:
            parts.append(self._leverage(node.by["leverage"]))
        if PER_UNIT in node.by:
            parts.append(self.operand(_entry(node.by[PER_UNIT])))
        return reduce(lambda made, part: self._emit("add", "leg", [made, part, 0]), parts)

    def _leverage(self, rate: Floats) -> _Value:
        """Emit leverage times a rate; no number where a leg states none."""
        found = self._emit("legsum", "leg", [0, 0, 0], self.pools.sums({"leverage": np.ones((rate.shape[0], 1))}))
        stated = self._emit("select", "leg", [found, found, self._constant(np.nan)])
        return self._emit("mul", "leg", [stated, self._table(Table("leg", rate)), 0])

    def _between(self, node: Op) -> _Value:
        part = self.operand(node.parts[0])
        if not isinstance(part, _Value):  # one number for all finer rows still stands on each of them
            below = node.parts[0]
            part = self._in_register(part, "leg" if isinstance(below, Terms) else below.level)
        return self._emit(node.name, node.level, [part, LEVEL_NUMBER[part.level], 0])

    def _max_loss(self, node: Op) -> _Value:
        return self._emit(node.name, node.level, [*map(self.operand, node.parts)], self.pools.tables.add(node.more))

    def _elementwise(self, node: Op) -> Any:  # noqa: ANN401 - as above
        operands = [self.operand(part) for part in node.parts]
        one = self._constant(1.0)
        if node.name == "mul" and one in operands:
            return operands[1 - operands.index(one)]
        if node.name in TIERED:
            if node.name == "marginal":
                operands = [self._emit("max", node.level, [*operands, self._constant(0.0), 0])]
            return self._emit("tiers", node.level, [*operands, 0, 0], self.pools.tiers(node.name, *node.more))
        if node.name in _SAID_OTHERWISE:
            return self._otherwise(node, operands)
        return self._emit(node.name, node.level, [*operands, *[0] * (3 - len(operands))])

    def _otherwise(self, node: Op, operands: list[Any]) -> _Value:
        """Emit what the engine has no operation for by one that gives the same bits."""
        level, name = node.level, _SAID_OTHERWISE[node.name]
        if node.name in {"gt", "ge"}:
            return self._emit(name, level, [*reversed(operands), 0])
        if node.name == "neg":
            return self._emit(name, level, [*operands, self._constant(-1.0), 0])
        if node.name == "floor_to":  # up to a multiple of what is below 0
            unit = self._emit("mul", level, [operands[1], self._constant(-1.0), 0])
            return self._emit(name, level, [operands[0], unit, 0])
        return self._emit(name, level, [self._constant(1.0), self._emit("eq", level, [*operands, 0]), 0])

    def _scan(self, node: Op, beside: Beside | None = None, sums: Sequence[_Value] = ()) -> None:
        """Emit the scans that share a node's pass, with `sums` of legs beside."""
        slots = scan_slots(self._groups[self._group_of[id(node)]])
        made = [self._fresh(node.level) for _ in slots]
        parts = {id(member): [self.operand(part) for part in member.parts] for slot in slots for member in slot}
        reads = [part for found in parts.values() for part in found if isinstance(part, _Value)]
        every = [*made, *sums]
        number = add_scan(slots, self.contract, self.pools, lambda at, place: parts[id(at)][place], every, beside)
        self.code.append(_Instruction("scan", node.level, [0, 0, 0], every, number, 1, reads, len(sums)))
        self._slot_of |= {id(m): (value, len(slot) > 1) for slot, value in zip(slots, made, strict=True) for m in slot}

    def _scanned(self, node: Op) -> _Value:
        """Return a scan's figures; those of a slot that it shares on its own rows only."""
        if id(node) not in self._slot_of:
            self._scan(node)
        value, shared = self._slot_of[id(node)]
        if node.more.tail.measure == "mean":
            return self._mean(node, value)
        if not shared:
            return value
        inside = self._table(Table(node.level, node.more.inside.astype(np.float64)))
        return self._emit("select", node.level, [inside, value, self._constant(0.0)])

    def _mean(self, node: Op, total: _Value) -> _Value:
        """Return the loss of the mean of a row's cells from their sum, weighted after it."""
        loss = self._emit("div", node.level, [total, self._constant(-float(node.more.gain.shape[1])), 0])
        weight = node.more.weight
        return loss if weight is None else self._emit("mul", node.level, [loss, self.operand(node.parts[weight]), 0])

    # --- instructions

    def _constant(self, value: float) -> _Constant:
        return _Constant(self.pools.constants.add([value]))

    def _in_register(self, constant: _Constant, level: str) -> _Value:
        return self._emit("add", level, [constant, self._constant(0.0), 0])

    def _fresh(self, level: str) -> _Value:
        self._count += 1
        return _Value(level, self._count)

    def _emit(self, op: str, level: str, operands: list[Any], aux: int = 0, count: int = 1) -> _Value:
        key = (op, level, *operands, aux, count)
        if key not in self._same:
            made = self._fresh(level)
            self.code.append(_Instruction(op, level, operands, [made], aux, count))
            self._same[key] = made
        return self._same[key]


def _entry(rate: Any) -> Op:  # noqa: ANN401 - a column
    """Return rate * cost / quantity, 0 where the rate is: there nothing may be held."""
    ones = np.ones_like(rate)
    ratio = Op("div", "leg", (Terms({"cost": ones}), Terms({QUANTITY: ones})))
    priced = Op("mul", "leg", (ratio, Table("leg", rate)))
    return Op("select", "leg", (Table("leg", (rate != 0) * 1.0), priced, Table("leg", np.zeros(()))))


# --- registers and arrays


class _Registers:
    """Gives each value a register for as long as something reads it."""

    def __init__(self, code: Sequence[_Instruction], outputs: Sequence[_Value]) -> None:
        self.place: dict[_Value, int] = {}
        self.count = dict.fromkeys(LEVEL_NUMBER, 0)
        last = {value: n for n, step in enumerate(code) for value in _read(step)}
        last |= dict.fromkeys(outputs, len(code))
        spare: dict[str, list[int]] = {level: [] for level in LEVEL_NUMBER}
        for n, step in enumerate(code):
            for left, value in zip(range(len(step.made), 0, -1), step.made, strict=True):
                if value not in self.place:
                    self.place[value] = self._take(value.level, [] if left <= step.together else spare[value.level])
            for value in {*_read(step), *step.made}:
                if last.get(value, n) == n:
                    spare[value.level].append(self.place[value])

    def _take(self, level: str, spare: list[int]) -> int:
        if spare:
            return spare.pop()
        self.count[level] += 1
        return self.count[level] - 1

    def number(self, operand: Any) -> int:  # noqa: ANN401 - a value, a constant, an integer
        if isinstance(operand, _Value):
            return self.place[operand]
        return -1 - operand.place if isinstance(operand, _Constant) else int(operand)


def _read(step: _Instruction) -> list[_Value]:
    return [part for part in (*step.operands, *step.reads) if isinstance(part, _Value)]


def _arrays(lowering: _Lowering, outputs: Sequence[_Value], ops: Mapping[str, int]) -> dict[str, Any]:
    registers, pools = _Registers(lowering.code, outputs), lowering.pools
    code = [
        (
            ops[step.op], LEVEL_NUMBER[step.level], registers.number(step.made[0]),
            *map(registers.number, step.operands), step.aux, step.count,
        )
        for step in lowering.code
    ]  # fmt: skip

    def table(rows: Sequence[Any], width: int) -> npt.NDArray[np.int64]:
        numbers = [[registers.number(part) for part in row] for row in rows]
        return np.asarray(numbers, dtype=np.int64).reshape(len(numbers), width)

    return {
        "code": np.asarray(code, dtype=np.int32).reshape(len(code), 8),
        "registers": np.asarray(list(registers.count.values()), dtype=np.int64),
        "outputs": np.asarray([registers.place[value] for value in outputs], dtype=np.int32),
        "constants": pools.constants.array(),
        "tables": pools.tables.array(),
        "shares": pools.shares.array(),
        "lanes": pools.lanes.array(),
        "matrices": pools.matrices.array(),
        "tier_upto": pools.upto.array(),
        "tiers": pools.pieces.array().reshape(-1, 4),
        "which": pools.which.array(),
        "tier_sets": table(pools.tier_sets, 4),
        "lane_groups": table(pools.lane_groups, len(COLUMNS)),
        "scans": table(pools.scans, 11),
        "folds": table(pools.folds, 8),
        "segments": table(pools.segments, 8),
    }
