"""Random desks for the account engine's checks, and what a check gives once more in plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from tests.kernels.engine_twin import Twin

    Floats = npt.NDArray[np.float64]
    Mapping = dict[str, Any]

ACCOUNT_CLASSES = 2


def make_desk(rng: np.random.Generator, book: Mapping, program: Mapping) -> Mapping:
    """Return a desk in which some accounts have several units, some none, and every contract its own row."""
    units, classes, rows = len(book["start"]), int(program["class_count"]), len(program["multiplier"])
    accounts = max(1, units - 2)
    first, follow = np.full(accounts, -1, dtype=np.int32), np.full(units, -1, dtype=np.int32)
    for unit, account in enumerate(rng.integers(0, accounts, units).tolist()):
        follow[unit], first[account] = first[account], unit
    return {
        "first": first, "follow": follow, "key": rng.integers(-1, 3, units).astype(np.int32),
        "account_class": rng.integers(0, ACCOUNT_CLASSES, accounts).astype(np.uint8),
        "refused": (rng.random(units) < 0.1).astype(np.uint8), "figures": rng.normal(size=(4, units)),
        "rate": rng.uniform(0.5, 2.0, classes), "mark": rng.choice([0.25, 4.0, 100.0], rows),
        "rows": np.tile(np.arange(rows, dtype=np.int32), (classes, 1)),
        "pays": ((np.arange(rows) + rng.integers(0, rows, rows)) % rows).astype(np.int32),
        "lands": rng.integers(0, 3, rows).astype(np.int32),
        "opens": rng.integers(-1, classes, (ACCOUNT_CLASSES, rows)).astype(np.int32),
        "outputs": np.append(rng.integers(0, len(program["outputs"]), 4), -1).astype(np.int32),
    }  # fmt: skip


def units_of(desk: Mapping, account: int) -> list[int]:
    """Return an account's units."""
    found, unit = [], int(desk["first"][account])
    while unit >= 0:
        found.append(unit)
        unit = int(desk["follow"][unit])
    return found


def twin_check(twin: Twin, desk: Mapping, account: int, contract: int, quantity: float, price: float) -> Floats | None:
    """Return the figures after a trade, None where the engine leaves it aside."""
    units = units_of(desk, account)
    held = [unit for unit in units if desk["key"][unit] == desk["lands"][contract]]
    others = [unit for unit in units if unit not in held]
    alone = [unit for unit in others if desk["key"][unit] < 0]
    isolated = any(contract in rows_of(twin, unit) for unit in alone)
    unit = held[-1] if held else -1
    opened = int(desk["opens"][desk["account_class"][account], contract])
    pool_class = int(twin.book["pool_class"][unit]) if held else opened
    if not units or isolated or pool_class < 0 or desk["pays"][contract] == contract or quantity == 0:
        return None
    figures = twin.what_if(unit, contract, int(desk["pays"][contract]), quantity, price, pool_class)
    total = figures[desk["outputs"][:4]] * desk["rate"][pool_class]
    for other in others:
        rate = np.nan if desk["refused"][other] else desk["rate"][twin.book["pool_class"][other]]
        total = total + desk["figures"][:, other] * rate
    with np.errstate(invalid="ignore"):  # what is infinite on both sides leaves no number
        return np.array([total[0], total[1], total[2] - total[0], total[3] - total[1]])


def rows_of(twin: Twin, unit: int) -> list[int]:
    """Return the rows of a unit's legs."""
    start, count = int(twin.book["start"][unit]), int(twin.book["count"][unit])
    rows: list[int] = twin.book["row"][start : start + count].tolist()
    return rows
