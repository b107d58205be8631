"""The universe of a book: all contracts its accounts may hold, all classes of pools, and the template rows of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.contract_columns import contract_columns, read_contracts
from crossmargin.margin.program.template import Rows, make_rows
from crossmargin.margin.quotes import QuoteGuard, QuoteReader, unpriced, unpriced_asset
from crossmargin.margin.resolve import SETTLEMENT, asset_key
from crossmargin.margin.terms import ContractTerms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Names
    from crossmargin.market import Listing, Snapshot
    from crossmargin.scenarios import Contracts

    Ints = npt.NDArray[np.int64]

__all__ = ["PoolClass", "Priced", "Universe", "make_universe", "price"]


class PoolClass(NamedTuple):
    """What a pool's formulas may depend on beside what it holds."""

    reporting: str
    account_class: int
    isolated: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """The universe's contracts at one moment; `refused` says why one cannot be assessed, `warnings` by symbol.

    `restated` are the snapshot's listings that have other terms than the universe; the columns are of these terms.
    """

    names: Names
    contracts: Contracts
    refused: Mapping[int, Failure]
    warnings: Mapping[str, str]
    restated: Mapping[str, Listing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Universe:
    """Contracts are numbered instruments first, then assets. `listings` are their terms, prepared."""

    listings: ContractTerms
    assets: tuple[str, ...]
    account_classes: tuple[str, ...]
    pools: tuple[PoolClass, ...]
    rows: Rows
    place: Mapping[str, int] = field(default_factory=dict)

    @property
    def contract_count(self) -> int:
        """How many contracts there are."""
        return len(self.listings) + len(self.assets)


def price(
    listings: Mapping[str, Listing],
    assets: Sequence[str],
    account_classes: tuple[str, ...],
    snapshot: Snapshot,
    rulebook: Rulebook,
    max_quote_age_seconds: float | None,
) -> Priced:
    """Return the columns of instruments and assets; those that cannot be priced are refused, with their terms kept.

    Listings that are prepared (:class:`crossmargin.margin.terms.ContractTerms`, as a universe holds) are read faster.
    """
    reader = QuoteReader(snapshot, QuoteGuard(max_quote_age_seconds), rulebook)
    terms = ContractTerms.of(listings)
    reading = read_contracts(terms, assets, reader)
    symbols = tuple(terms)
    for place in reading.refused:
        asset = place - len(terms)
        row = unpriced(terms[symbols[place]], snapshot) if asset < 0 else unpriced_asset(assets[asset], snapshot)
        reading.rows[place] = row
    names, contracts = contract_columns(reading, snapshot, np.dtype(np.float64), account_classes)
    refused = {place: error.failure() for place, error in reading.refused.items()}
    one_by_one = (symbols[place] for place in reading.rows if place < len(terms))  # quotes of other terms are not plain
    return Priced(names, contracts, refused, reader.warnings, terms.restated(snapshot.listings, one_by_one))


def make_universe(
    listings: Mapping[str, Listing],
    assets: Iterable[str],
    account_classes: tuple[str, ...],
    priced: Priced,
    rulebook: Rulebook,
    *,
    isolated: bool,
    held: Iterable[tuple[int, PoolClass]] = (),
) -> Universe:
    """Return the universe in which each contract may stand in each class of pools that is its own.

    Parameters
    ----------
    isolated
        Whether there are pools of one position.
    held
        Contracts held in other classes (the collateral of an isolated position).
    """
    names, c = priced.names, priced.contracts
    kinds = (False, True) if isolated or rulebook.pool_by == "position" else (False,)
    own = rulebook.reporting == SETTLEMENT
    pairs = [
        (contract, PoolClass(names.assets[settle] if own else rulebook.reporting, code, alone))
        for contract, settle in enumerate(c.settle_asset.tolist())
        for code in range(len(account_classes))
        for alone in kinds
    ]
    pairs += list(held)
    pools = tuple(dict.fromkeys(pool for _, pool in pairs))
    number = {pool: n for n, pool in enumerate(pools)}
    if len(pools) > _MOST_POOLS:
        what = "(reporting asset, account class, isolated)"
        message = f"pools of {len(pools)} classes {what}; at most {_MOST_POOLS} are numbered"
        raise InputError(FailureReason.OUT_OF_SCOPE, message)
    contract = np.asarray([contract for contract, _ in pairs], dtype=np.int64)
    pool = np.asarray([number[found] for _, found in pairs], dtype=np.int64)
    rows = make_rows(contract, pool, c)
    place = {name: n for n, name in enumerate((*listings, *map(asset_key, assets)))}
    return Universe(ContractTerms.of(listings), tuple(assets), account_classes, pools, rows, place)


_MOST_POOLS = 256
