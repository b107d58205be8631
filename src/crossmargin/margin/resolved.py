"""A book, a snapshot and a rulebook's partition, with every name turned into an array."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datetime import datetime

    import numpy.typing as npt

    from crossmargin.errors import Failure
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Names:
    """The tables that integer columns point into. `symbols` are the contracts' names, balances' included.

    `roots` names for each of `assets` the one whose price it moves with, through wrappers.
    """

    symbols: tuple[str, ...]
    buckets: tuple[str, ...]
    assets: tuple[str, ...]
    classes: tuple[str, ...]
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Legs:
    """What is held, one row a leg, sorted by (bucket, unit, expiry, strike, contract). Shapes: all [legs].

    `quantity` is signed contracts (a balance: its amount); `cost` is sum(q entry), for inverse margined contracts
    sum(q / entry); `accrued` is funding in the settlement asset. `bids` (>= 0) and `asks` (<= 0) are what open orders
    would add to `quantity`, `bid_cost` and `ask_cost` to `cost` at their limit prices, `orders` how many they are.
    `muted` marks the smaller of two opposite positions where only the larger is charged.
    """

    contract: Ints
    unit: Ints
    quantity: Floats
    cost: Floats
    accrued: Floats
    leverage: Floats
    bids: Floats
    asks: Floats
    bid_cost: Floats
    ask_cost: Floats
    orders: Floats
    muted: Flags


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one level: which row each leg is in, and of each row its first leg and its unit."""

    row_of_leg: Ints
    first_leg: Ints
    unit: Ints

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.first_leg.shape[0])


@dataclass(frozen=True, slots=True)
class Units:
    """Pools: the parts of accounts that are assessed alone. Shapes: all [units].

    `numeraire` is the price of the unit's reporting asset in the snapshot's reporting asset; `reporting` points into
    `Names.assets`, `account` into the book. `isolated` marks the pools of one position.
    """

    account: Ints
    label: tuple[str, ...]
    reporting: Ints
    numeraire: Floats
    account_class: Ints
    isolated: Flags

    def __len__(self) -> int:
        """Return the number of units."""
        return int(self.account.shape[0])


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything that the array functions read. After this nothing looks a name up in a file or a mapping.

    `in_settlement`: scans are measured in each unit's settlement asset. `copies` > 1 after :meth:`tile`.
    """

    as_of: datetime
    account_ids: tuple[str, ...]
    reporting_asset: str
    names: Names
    contracts: Contracts
    legs: Legs
    units: Units
    levels: dict[str, Rows]
    inputs: dict[str, Floats]
    failures: dict[int, Failure]
    warnings: dict[int, tuple[str, ...]]
    in_settlement: bool
    calibration: dict[str, object]
    copies: int = 1

    def tile(self, copies: int) -> Resolved:
        """Return `copies` of everything side by side, so that each copy's market can be moved on its own."""
        one = self
        legs, units = one.legs, one.units
        step = np.arange(copies)

        def offset(column: Ints, by: int) -> Ints:
            return np.asarray((step[:, None] * by + column[None, :]).ravel(), dtype=np.int64)

        def again(column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.tile(column, copies)

        count = legs.contract.shape[0]
        return replace(
            one,
            contracts=one.contracts.tile(copies),
            legs=Legs(
                offset(legs.contract, len(one.contracts)), offset(legs.unit, len(units)), again(legs.quantity),
                again(legs.cost), again(legs.accrued), again(legs.leverage), again(legs.bids),
                again(legs.asks), again(legs.bid_cost), again(legs.ask_cost), again(legs.orders),
                np.tile(legs.muted, copies),
            ),
            units=Units(
                np.tile(units.account, copies), units.label * copies, np.tile(units.reporting, copies),
                again(units.numeraire), np.tile(units.account_class, copies), np.tile(units.isolated, copies),
            ),
            levels={
                name: Rows(offset(r.row_of_leg, len(r)), offset(r.first_leg, count), offset(r.unit, len(units)))
                for name, r in one.levels.items()
            },
            inputs={name: again(values) for name, values in one.inputs.items()},
            copies=copies,
        )  # fmt: skip

    def beside(self, copies: int) -> Resolved:
        """Return `copies` of what is held side by side, all of which read the same contracts."""
        if copies == 1:
            return self
        legs, units, count = self.legs, self.units, self.legs.contract.shape[0]

        def offset(column: Ints, by: int) -> Ints:
            return np.asarray((np.arange(copies)[:, None] * by + column[None, :]).ravel(), dtype=np.int64)

        # np.tile would cost more than all else here
        again, pools = (np.concatenate([np.arange(n)] * copies) for n in (count, len(units)))
        columns = {f.name: getattr(legs, f.name)[again] for f in fields(Legs) if f.name != "unit"}
        return replace(
            self,
            legs=Legs(unit=offset(legs.unit, len(units)), **columns),
            units=Units(
                units.account[pools], units.label * copies, units.reporting[pools], units.numeraire[pools],
                units.account_class[pools], units.isolated[pools],
            ),
            levels={
                name: Rows(offset(r.row_of_leg, len(r)), offset(r.first_leg, count), offset(r.unit, len(units)))
                for name, r in self.levels.items()
            },
            inputs={name: values[pools] for name, values in self.inputs.items()},
        )  # fmt: skip

    def only(self, account: int) -> Resolved:
        """Return one account alone, with the contracts it uses."""
        units = np.flatnonzero(self.units.account == account)
        legs = np.flatnonzero(np.isin(self.legs.unit, units))
        used, contract = np.unique(self.legs.contract[legs], return_inverse=True)
        contracts = self.contracts.take(used)
        unit = np.searchsorted(units, self.legs.unit[legs])
        columns = {f.name: getattr(self.legs, f.name)[legs] for f in fields(Legs)}
        columns |= {"contract": contract.astype(np.int64), "unit": unit}
        u = self.units
        return replace(
            self,
            account_ids=(self.account_ids[account],),
            contracts=contracts,
            legs=Legs(**columns),
            units=Units(
                np.zeros(units.shape[0], dtype=np.int64), tuple(u.label[i] for i in units.tolist()),
                u.reporting[units], u.numeraire[units], u.account_class[units], u.isolated[units],
            ),
            levels=make_levels(columns["contract"], unit, contracts, units.shape[0]),
            inputs={name: values[units] for name, values in self.inputs.items()},
            failures={0: self.failures[account]} if account in self.failures else {},
            warnings={0: self.warnings[account]} if account in self.warnings else {},
        )  # fmt: skip


def make_levels(contract: Ints, unit: Ints, c: Contracts, units: int) -> dict[str, Rows]:
    """Return the rows of every level above the leg; legs are in the order that :class:`Legs` states."""
    bucket, expiry, strike = c.bucket[contract], expiry_key(c)[contract], strike_key(c)[contract]
    asset = unit * (int(c.settle_asset.max(initial=0)) + 1) + c.settle_asset[contract]
    return {
        "strike": level_rows([bucket, unit, expiry, strike], unit),
        "expiry": level_rows([bucket, unit, expiry], unit),
        "bucket": level_rows([bucket, unit], unit),
        "asset": scattered_rows(asset, unit),
        "account": scattered_rows(unit, unit, units),
    }


def expiry_key(c: Contracts) -> Ints:
    """Return each contract's expiry as a key; what never expires has one of its own."""
    return np.asarray(np.where(c.expiry > 0, c.expiry, -1 - np.arange(len(c))))


def strike_key(c: Contracts) -> Ints:
    """Return each contract's strike as a key; what has no strike has one of its own."""
    strike = c.strike.astype(np.float64, copy=False)
    _, codes = np.unique(strike, return_inverse=True)
    return np.asarray(np.where(np.isnan(strike), -1 - np.arange(len(c)), codes))


def level_rows(keys: list[Ints], unit: Ints) -> Rows:
    """Return the rows of a level whose legs lie side by side: a new row wherever a key changes."""
    count = unit.shape[0]
    fresh = np.zeros(count, dtype=bool)
    if count:
        fresh[0] = True
    for key in keys:
        fresh[1:] |= key[1:] != key[:-1]
    first = np.flatnonzero(fresh)
    return Rows(np.cumsum(fresh, dtype=np.int64) - 1, first, unit[first])


def scattered_rows(key: Ints, unit: Ints, rows: int | None = None) -> Rows:
    """Return the rows of a level whose legs may lie apart (by asset); `rows` when `key` already numbers them."""
    if rows is None:
        _, first, row_of_leg = np.unique(key, return_index=True, return_inverse=True)
        return Rows(row_of_leg.astype(np.int64), first.astype(np.int64), unit[first])
    first = np.zeros(rows, dtype=np.int64)
    first[key[::-1]] = np.arange(key.shape[0])[::-1]
    return Rows(key, first, np.arange(rows, dtype=np.int64))
