"""Random books and programs for the account engine, small, and of every operation."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.kernels.engine_twin import ASSET, CELLS, ELEMENTWISE_ARITY, LEG, NONE, UNIT

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mapping = dict[str, Any]

INPUTS, CLASSES, CONSTANTS = 2, 3, 7
PLAIN, ENDLESS = -2, -7  # the constants 1 and infinity
_KINDS = (*ELEMENTWISE_ARITY, "ceil_to", "tiers", "table", "input", "legsum", "legsum", "sum", "largest",
          "lift", "scan", "scan", "max_loss", "worst_side")  # fmt: skip


def aligned(values: Floats) -> Floats:
    """Return a copy whose first cell begins a cache line."""
    room = np.zeros(values.shape[0] + 8)
    first = (-room.ctypes.data // 8) % 8
    out = room[first : first + values.shape[0]]
    out[:] = values
    return out


class Maker:
    """Makes one program operation by operation, each from registers that are written before."""

    def __init__(self, rng: np.random.Generator, ops: dict[str, int], *, strange: bool) -> None:
        self.rng, self.ops, self.strange = rng, ops, strange
        self.rows = int(rng.integers(1, 9))
        self.level_row, self.level_rows = self.levels()
        self.written: list[list[int]] = [[] for _ in range(6)]
        self.registers = [0] * 6
        self.parts: dict[str, list[Any]] = {
            name: [] for name in ("tables", "tier_upto", "tiers", "tier_sets", "which", "lane_groups", "lanes",
                                  "scans", "matrices", "folds", "segments", "shares", "code")
        }  # fmt: skip
        self.scan_rows = int(rng.integers(1, 9))
        for _ in range(int(rng.integers(1, 25))):
            self.operation()
        self.add("input", UNIT, aux=0)

    def levels(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return a strike for each row or two, an expiry for each strike or two, and so on; assets as they come."""
        step = self.rng.random((3, self.rows)) < [[0.6], [0.5], [0.5]]
        step[:, 0] = True
        step[1] &= step[0]
        step[2] &= step[1]
        nested = np.cumsum(step, axis=1) - 1
        asset = self.rng.integers(0, 3, self.rows)
        rows = np.vstack([nested, asset]).astype(np.int32)
        return rows, np.array([*(nested[:, -1] + 1), 3], dtype=np.int64)

    def numbers(self, count: int) -> Floats:
        values = np.round(self.rng.normal(size=count) * 10.0, 1)
        values[self.rng.random(count) < 0.15] = 0.0
        if self.strange:
            values[self.rng.random(count) < 0.03] = np.nan
        return values

    def keys(self, level: int) -> int:
        return 3 * self.rows if level == LEG else CLASSES if level == UNIT else int(self.level_rows[level - 1])

    def put(self, name: str, values: Any) -> int:  # noqa: ANN401 - a list or an array
        at = len(self.parts[name])
        self.parts[name] += list(values)
        return at

    def read(self, level: int, *, constants: bool = True) -> int:
        held = self.written[level]
        if constants and (not held or self.rng.random() < 0.3):
            return -1 - int(self.rng.integers(0, CONSTANTS - 1))
        return int(self.rng.choice(held))

    def destination(self, level: int, count: int = 1, *, new: bool = False) -> int:
        """Return a new register, or now and then one that is written again."""
        if not new and count == 1 and self.written[level] and self.rng.random() < 0.1:
            return int(self.rng.choice(self.written[level]))
        at = self.registers[level]
        self.registers[level] += count
        self.written[level] += range(at, at + count)
        return at

    def add(
        self,
        name: str,
        level: int,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        aux: int = 0,
        n: int = 0,
        dst: int | None = None,
    ) -> None:
        to = self.destination(level) if dst is None else dst
        self.parts["code"].append((self.ops[name], level, to, a, b, c, aux, n))

    def level(self) -> int:
        return int(self.rng.integers(0, 6))

    def operation(self) -> None:
        name = str(self.rng.choice(_KINDS))
        if name in ELEMENTWISE_ARITY or name == "ceil_to":
            level = self.level()
            a, b, c = (self.read(level) for _ in range(3))
            self.add(name, level, a, b, c)
        else:
            getattr(self, name)()

    def tiers(self) -> None:
        level, width, count = self.level(), int(self.rng.integers(1, 5)), int(self.rng.integers(1, 4))
        upto = np.sort(self.rng.uniform(0, 30, (count, width)).round(1) + np.arange(width), axis=1)
        upto[:, -1] = np.where(self.rng.random(count) < 0.7, np.inf, upto[:, -1])
        at = self.put("tier_upto", upto.ravel())
        pieces = self.rng.uniform(0, 1, (width * count, 4)).round(2) + np.array([0.0, 0.0, 0.1, 0.0])
        pieces[self.rng.random(width * count) < 0.3, 2] = np.inf
        self.put("tiers", pieces.tolist())
        which = self.put("which", self.rng.integers(0, count, self.keys(level))) if self.rng.random() < 0.6 else -1
        number = self.put("tier_sets", [(at, width, count, which)])
        self.add("tiers", level, self.read(level), aux=number)

    def new_table(self, level: int) -> int:
        return self.put("tables", self.numbers(self.keys(level)))

    def table(self) -> None:
        level = self.level()
        self.add("table", level, aux=self.new_table(level))

    def input(self) -> None:
        self.add("input", UNIT, aux=int(self.rng.integers(0, INPUTS)))

    def legsum(self) -> None:
        lanes = 1 if self.rng.random() < 0.5 else int(self.rng.integers(1, 17))
        self.sums_of_legs(self.level(), lanes)

    def sums_of_legs(self, level: int, lanes: int, dst: int | None = None) -> None:
        """Sums of legs by each of their numbers; they may go on from registers."""
        blocks, width = 2, 1 if lanes == 1 else -(-lanes // 8) * 8
        offset = self.put("lanes", self.numbers(blocks * 3 * self.rows * width))
        columns = self.rng.permutation(10)[: int(self.rng.integers(0, 5))].tolist()
        places = {column: offset + int(self.rng.integers(0, blocks)) * 3 * self.rows * width for column in columns}
        group = self.put("lane_groups", [tuple(places.get(column, -1) for column in range(10))])
        to = self.destination(level, lanes) if dst is None else dst
        self.add("legsum", level, 0, int(dst is not None), aux=group, n=lanes, dst=to)

    def nested(self) -> tuple[int, int] | None:
        pairs = [(f, c) for f in range(6) for c in range(f + 1, 6) if f == LEG or c == UNIT or ASSET not in {f, c}]
        fine, coarse = pairs[int(self.rng.integers(0, len(pairs)))]
        return fine, coarse

    def sum(self, name: str = "sum") -> None:
        fine, coarse = self.nested() or (0, 5)
        if self.written[fine]:
            self.add(name, coarse, self.read(fine, constants=False), fine)

    def largest(self) -> None:
        self.sum("largest")

    def lift(self) -> None:
        fine, coarse = self.nested() or (0, 5)
        if self.written[coarse]:
            self.add("lift", fine, self.read(coarse, constants=False), coarse)

    def max_loss(self) -> None:
        if not self.written[LEG]:
            return
        level = int(self.rng.choice([1, 2, 2, 2, 3]))
        strikes = np.where(self.rng.random(self.rows) < 0.3, np.nan, abs(self.numbers(self.rows)))
        for row in range(int(self.level_rows[level - 1])):  # ascending within a row
            inside = np.flatnonzero((self.level_row[level - 1] == row) & ~np.isnan(strikes))
            strikes[inside] = np.sort(strikes[inside])
        strike = self.put("tables", np.repeat(strikes, 3))
        a, b, c = self.read(LEG, constants=False), self.read(level), self.read(level)
        self.add("max_loss", level, a, b, c, strike)

    def worst_side(self) -> None:
        level = self.level()
        if self.written[level]:
            self.add("worst_side", level, self.read(level, constants=False))

    def rows_of_keys(self) -> int:
        """Return where the matrix row of each leg's key stands; -1: each row of the template has its own."""
        if self.scan_rows >= self.rows and self.rng.random() < 0.5:
            return -1
        return self.put("which", self.rng.integers(0, self.scan_rows, 3 * self.rows).tolist())

    def matrix(self, pitch: int, columns: int) -> int:
        rows = np.zeros((self.scan_rows, pitch))
        rows[:, :columns] = self.numbers(self.scan_rows * columns).reshape(self.scan_rows, columns)
        return self.put("matrices", rows.ravel())

    def usual_scan(self) -> None:
        """A scan of worst cells up to any column, folded once at its finest level; with sums of legs beside, or not."""
        rng = self.rng
        chain = [[5], [3], [2], [3, 5], [2, 5], [2, 3]][int(rng.integers(0, 6))]
        pitch = 8 * int(rng.choice([1, 2, 5, 8, 9, 17]))
        bounds = sorted({0, pitch, *(8 * rng.integers(0, pitch // 8 + 1, 3)).tolist()})
        folds = [(*self.fold(chain[0], pitch)[:2], a, b, *self.fold(chain[0], pitch)[4:]) for a, b in pairwise(bounds)]
        folds = [fold for fold in folds if rng.random() < 0.7]
        cuts = sorted({0, pitch, *rng.integers(0, pitch + 1, 2).tolist()})
        weights = [self.read(chain[-1]) if rng.random() < 0.3 else PLAIN for _ in cuts]
        segments = [[a, b, 0, 1, -1, 0, weight, 0] for (a, b), weight in zip(pairwise(cuts), weights, strict=False)]
        for segment in segments:
            segment[5] = self.destination(chain[-1], new=True)
        lanes = int(rng.integers(0, min(17, pitch)))
        to = self.destination(chain[-1], lanes, new=True) if lanes else 0
        if lanes:
            at = int(rng.integers(0, pitch - lanes + 1))
            segments.append([at, at + lanes, CELLS, 1, -1, to, PLAIN, 0])
        scan = (self.rows_of_keys(), self.matrix(pitch, pitch), pitch, *chain, *[0] * (3 - len(chain)),
                self.put("segments", segments), len(segments), self.put("folds", folds), len(folds),
                int(rng.integers(0, 2) * rng.integers(0, 256)))  # fmt: skip
        self.add("scan", chain[-1], aux=self.put("scans", [scan]), dst=0)
        if lanes:
            self.sums_of_legs(chain[-1], lanes, to)

    def scan(self) -> None:
        rng = self.rng
        if rng.random() < 0.4:
            return self.usual_scan()
        chain = [[5], [3], [2], [3, 5], [2, 5], [2, 3], [2, 3, 5], [1, 3, 5]][int(rng.integers(0, 8))]
        columns = int(rng.choice([1, 5, 8, 13, 40, 64, 70, 130]))
        pitch, closes = -(-columns // 8) * 8, rng.random() < 0.3
        folds: list[tuple[int, ...]] = [
            (pitch, chain[0], 0, pitch, self.read(chain[0]), self.read(chain[0]), PLAIN, NONE)
        ] * int(closes)
        folds += [
            self.fold(level, columns) for level in chain for _ in range(int(rng.integers(0, 2) * rng.integers(0, 3)))
        ]
        bounds = sorted({0, columns, *rng.integers(0, columns + 1, int(rng.integers(0, 3))).tolist()})
        segments = [self.segment(a, b, chain[-1], columns) for a, b in pairwise(bounds)]
        for segment in segments:
            segment[5] = self.destination(chain[-1], new=True)
        wide = pitch * (1 + closes)
        cells = self.matrix(wide, wide if closes else columns)
        levels = (*chain, *[0] * (3 - len(chain)))
        scan = (self.rows_of_keys(), cells, wide, *levels, self.put("segments", segments), len(segments),
                self.put("folds", folds), len(folds), 0)  # fmt: skip
        return self.add("scan", chain[-1], aux=self.put("scans", [scan]), dst=0)

    def fold(self, level: int, columns: int) -> tuple[int, ...]:
        start, end = sorted(self.rng.integers(0, columns + 1, 2).tolist())
        whole = self.rng.random() < 0.5
        cap, deductible = (self.read(level) if self.rng.random() < 0.4 else other for other in (ENDLESS, NONE))
        return (
            0,
            level,
            0 if whole else start,
            columns if whole else end,
            self.read(level),
            self.read(level),
            cap,
            deductible,
        )

    def segment(self, start: int, end: int, level: int, _columns: int) -> list[int]:
        measure, depth = int(self.rng.choice([0, 0, 0, 1, 1, 2])), int(self.rng.integers(1, end - start + 1))
        shares = self.put("shares", self.rng.uniform(0, 1, depth)) if measure == 1 and self.rng.random() < 0.6 else -1
        return [start, end, measure, depth, shares, 0, self.read(level) if self.rng.random() < 0.3 else PLAIN, 0]

    def program(self) -> Mapping:
        """Return the arrays that the engine takes."""
        p, rng = self.parts, self.rng
        floats = {name: np.array(p[name], dtype=np.float64) for name in ("tables", "tier_upto", "lanes", "shares")}
        matrices = np.array(p["matrices"], dtype=np.float64)
        wide = {name: np.array(p[name], dtype=np.int64).reshape(-1, k) for name, k in
                (("tier_sets", 4), ("lane_groups", 10), ("scans", 11), ("folds", 8), ("segments", 8))}  # fmt: skip
        return {
            **floats,
            **wide,
            "matrices": aligned(matrices) if rng.random() < 0.5 else matrices,
            "level_row": self.level_row, "level_rows": self.level_rows, "class_count": CLASSES,
            "always_active": (rng.random(self.rows) < 0.2).astype(np.uint8),
            "constants": np.array([0.0, 1.0, -1.5, 2.0, 100.0, 0.25, np.inf]),
            "which": np.array(p["which"], dtype=np.int32), "code": np.array(p["code"], dtype=np.int32).reshape(-1, 8),
            "tiers": np.array(p["tiers"], dtype=np.float64).reshape(-1, 4),
            "registers": np.array(self.registers, dtype=np.int64),
            "outputs": np.array(self.written[UNIT], dtype=np.int32),
            "trade_kind": rng.integers(0, 4, self.rows).astype(np.uint8),
            "multiplier": rng.choice([1.0, 0.1, 10.0], self.rows), "by_side": int(rng.integers(0, 2)),
        }  # fmt: skip

    def book(self, units: int) -> Mapping:
        """Return units of a few legs each, some of none, in an arena with gaps."""
        rng = self.rng
        counts = rng.choice([0, 1, 2, 3, 5, 9], units)
        gaps = rng.integers(0, 3, units)
        start = np.cumsum(counts + gaps) - counts
        arena = int((counts + gaps).sum()) + 2
        row, quantity = np.full(arena, 60000), np.full(arena, np.nan)
        leg: list[int] = []
        value: list[float] = []
        extra_start, extra_count = [], []
        for first, count in zip(start.tolist(), counts.tolist(), strict=True):
            row[first : first + count] = np.sort(rng.integers(0, self.rows, count))
            quantity[first : first + count] = rng.choice([-2.0, -1.0, 0.0, 0.5, 3.0, 7.0], count)
            extra_start.append(len(leg))
            for i in range(count):
                for column in rng.permutation(np.arange(1, 9))[: int(rng.integers(0, 3) * rng.integers(0, 2))].tolist():
                    leg.append(i | column << 28)
                    value.append(float(rng.choice([0.0, 1.0, 5.0, 12.5]) * (-1.0 if column == 5 else 1.0)))
            extra_count.append(len(leg) - extra_start[-1])
        return {
            "row": row.astype(rng.choice(["u2", "i4"])), "quantity": quantity, "start": start.astype(np.uint32),
            "count": counts.astype(np.uint32), "extra_start": np.array(extra_start, dtype=np.uint32),
            "extra_count": np.array(extra_count, dtype=np.uint32), "extra_leg": np.array(leg, dtype=np.uint32),
            "extra_value": np.array(value, dtype=np.float64),
            "pool_class": rng.integers(0, CLASSES, units).astype(np.uint8),
            "inputs": rng.normal(size=(INPUTS, units)).round(2),
        }  # fmt: skip
