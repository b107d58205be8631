"""The template: every leg that an account could hold, once for each side, under every class of pool.

A real leg points at a template row (a contract within a class of pools), and its side is the sign of its quantity; a
real row of a level points at a row of the template's level. What a rulebook's formulas read of contracts, pools and
tables is computed on the template, once a tick, however many accounts there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.program.columns import Column, Space
from crossmargin.margin.program.nodes import COLUMNS, ONE, Op, Terms
from crossmargin.margin.resolved import Legs, Resolved, Units, expiry_key, make_levels, strike_key
from crossmargin.margin.resolved import Rows as LevelRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from crossmargin.margin.resolved import Names
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["SIDES", "Rows", "Template", "make_rows", "make_template"]

SIDES: Final = 3  # short, flat, long
_SIGNS: Final = np.asarray([-1.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True)
class Rows:
    """Template rows [rows]: a contract in a class of pools, in the order in which a pool's legs stand."""

    contract: Ints
    pool_class: Ints

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.contract.shape[0])


@dataclass(frozen=True, slots=True)
class Template:
    """The template's resolved book (its legs: three for each row, by side), its rows, and the spaces of its levels."""

    resolved: Resolved
    rows: Rows
    spaces: dict[str, Space]

    def level_row(self, level: str) -> Ints:
        """Return the row of a level that each template row is in [rows]."""
        return self.resolved.levels[level].row_of_leg[::SIDES]


def make_rows(contract: Ints, pool_class: Ints, c: Contracts) -> Rows:
    """Return the distinct pairs of contract and class, ordered by class, bucket, expiry, strike, contract."""
    count = len(c)
    key = np.unique(pool_class * count + contract)
    contract, pool_class = key % count, key // count
    order = np.lexsort([contract, strike_key(c)[contract], expiry_key(c)[contract], c.bucket[contract], pool_class])
    return Rows(contract[order], pool_class[order])


def make_template(
    rows: Rows, contracts: Contracts, units: Units, names: Names, like: Resolved, refused: Iterable[int] = ()
) -> Template:
    """Return the template of some rows over contracts; `units` are the classes of pools, one each.

    Parameters
    ----------
    refused
        Contracts that cannot be assessed: no row of a level takes its figures from one while it has another.
    """
    contract, unit = np.repeat(rows.contract, SIDES), np.repeat(rows.pool_class, SIDES)
    levels = make_levels(contract, unit, contracts, len(units))
    stands = np.flatnonzero(~np.isin(contract, np.asarray([*refused], dtype=np.int64)))
    if stands.shape[0] < contract.shape[0]:
        levels = {level: _led_by(found, stands) for level, found in levels.items()}
    count = contract.shape[0]
    spaces = {"leg": Space("leg", count, np.tile(_SIGNS, len(rows)))}
    spaces |= {level: Space(level, len(found)) for level, found in levels.items()}
    ones = np.ones(count)
    held: dict[str, Any] = {name: Column(spaces["leg"], Terms({name: ones})) for name in COLUMNS if name != ONE}
    given: dict[str, Any] = {
        name: Column(spaces["account"], Op("input", "account", more=n)) for n, name in enumerate(like.inputs)
    }
    legs = Legs(contract=contract, unit=unit, muted=np.zeros(count, dtype=bool), **held)
    resolved = replace(
        like,
        account_ids=units.label,
        names=names,
        contracts=contracts,
        legs=legs,
        units=units,
        levels=levels,
        inputs=given,
        failures={},
        warnings={},
    )
    return Template(resolved, rows, spaces)


def _led_by(rows: LevelRows, stands: Ints) -> LevelRows:
    """Return a level's rows with the first of some legs as their first leg, where they hold any of these."""
    first = rows.first_leg.copy()
    first[rows.row_of_leg[stands[::-1]]] = stands[::-1]
    return replace(rows, first_leg=first)
