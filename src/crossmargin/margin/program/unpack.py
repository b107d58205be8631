"""From a compact book back to resolved arrays: for reports of single accounts, and for what has no program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.errors import Failure
from crossmargin.margin.legs import muted_legs
from crossmargin.margin.program.book import EXTRA_COLUMNS, PLACE_MASK, PLACE_SHIFT
from crossmargin.margin.program.nodes import COLUMNS
from crossmargin.margin.program.slots import ranges
from crossmargin.margin.resolved import Legs, Resolved, Units, make_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.book import CompactBook
    from crossmargin.margin.program.program import Market
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["unpack"]


def unpack(book: CompactBook, market: Market, rulebook: Rulebook, first: int, last: int) -> Resolved:
    """Return the resolved arrays of accounts [first, last); those that a contract refuses become failures."""
    low, high = np.searchsorted(book.pool_account, [first, last]).tolist()
    legs, universe = book.legs, book.universe
    at = ranges(legs.start[low:high], legs.count[low:high])
    unit = np.repeat(np.arange(high - low), legs.count[low:high].astype(np.int64))
    row = legs.row[at].astype(np.int64)
    columns = _columns(book, low, high, at.shape[0]) | {"quantity": legs.quantity[at]}
    account = book.pool_account[low:high].astype(np.int64) - first
    failures = {n - first: f for n, f in book.failures.items() if first <= n < last}
    c, contract = market.priced.contracts, universe.rows.contract[row]
    failures |= _failures(market, contract, account[unit], columns, book.account_ids[first:last])
    stands = ~np.isin(account[unit], list(failures))
    keep = np.flatnonzero(stands)
    keep = keep[np.lexsort([row[keep], unit[keep], c.bucket[contract[keep]]])]
    contract, unit = contract[keep], unit[keep]
    used, contract = np.unique(contract, return_inverse=True)
    contracts = c.take(used)
    found = {name: values[keep] for name, values in columns.items()}
    muted = np.zeros(keep.shape[0], dtype=bool)
    if rulebook.opposite_positions == "larger":
        muted = muted_legs(contract, unit, found["quantity"], contracts)
    return Resolved(
        as_of=market.as_of,
        account_ids=tuple(book.account_ids[first:last]),
        reporting_asset=market.reporting_asset,
        names=market.priced.names,
        contracts=contracts,
        legs=Legs(contract=contract, unit=unit, muted=muted, **found),
        units=_units(book, market, low, high, account),
        levels=make_levels(contract, unit, contracts, high - low),
        inputs=dict(zip(rulebook.inputs, legs.inputs_of(slice(low, high)), strict=True)),
        failures=failures,
        warnings=_warnings(market, contract, unit, account, contracts),
        in_settlement=market.in_settlement,
        calibration=market.calibration,
    )


def _columns(book: CompactBook, low: int, high: int, count: int) -> dict[str, Floats]:
    """Return what stands beside the legs as columns [legs]."""
    legs = book.legs
    found = {name: np.full(count, np.nan if name == "leverage" else 0.0) for name in EXTRA_COLUMNS}
    at = ranges(legs.extra_start[low:high], legs.extra_count[low:high])
    held = legs.count[low:high].astype(np.int64)
    first = np.repeat(np.cumsum(held) - held, legs.extra_count[low:high].astype(np.int64))
    packed = legs.extra_leg[at].astype(np.int64)
    place, column = first + (packed & PLACE_MASK), packed >> PLACE_SHIFT
    for name in EXTRA_COLUMNS:
        mine = column == COLUMNS.index(name)
        found[name][place[mine]] = legs.extra_value[at[mine]]
    return found


def _failures(
    market: Market, contract: Ints, account: Ints, columns: dict[str, Floats], ids: Sequence[str]
) -> dict[int, Failure]:
    """Return who holds a contract that cannot be assessed, and why; what holds nothing is not asked."""
    refused = market.priced.refused
    if not refused:
        return {}
    held = np.any([columns[name] != 0 for name in ("quantity", *EXTRA_COLUMNS) if name != "leverage"], axis=0)
    found: dict[int, Failure] = {}
    for leg in np.flatnonzero(np.isin(contract, list(refused)) & held).tolist():
        reason, owner = refused[int(contract[leg])], int(account[leg])
        found.setdefault(owner, Failure(reason.reason, reason.message, ids[owner], reason.instrument))
    return found


def _units(book: CompactBook, market: Market, low: int, high: int, account: Ints) -> Units:
    pools = [book.universe.pools[n] for n in book.legs.pool_class[low:high].tolist()]
    code = {name: n for n, name in enumerate(market.priced.names.assets)}
    return Units(
        account=account,
        label=tuple(book.pool_labels[key] for key in book.pool_key[low:high].tolist()),
        reporting=np.asarray([code.get(pool.reporting, -1) for pool in pools], dtype=np.int64),
        numeraire=market.numeraire[book.legs.pool_class[low:high]],
        account_class=np.asarray([pool.account_class for pool in pools], dtype=np.int64),
        isolated=np.asarray([pool.isolated for pool in pools], dtype=bool),
    )


def _warnings(
    market: Market, contract: Ints, unit: Ints, account: Ints, contracts: Contracts
) -> dict[int, tuple[str, ...]]:
    found: dict[int, dict[str, None]] = {}
    if not market.priced.warnings:
        return {}
    for leg, symbol in enumerate(contracts.symbol[contract].tolist()):
        message = market.priced.warnings.get(market.priced.names.symbols[symbol])
        if message:
            found.setdefault(int(account[unit[leg]]), {})[message] = None
    return {owner: tuple(messages) for owner, messages in found.items()}
