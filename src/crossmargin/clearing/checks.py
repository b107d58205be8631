"""What a posting must hold, checked each time one is made: sums of 0, and a bound on what the house may receive."""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin.clearing.contracts import Terms
from crossmargin.clearing.indexes import BORROW, LEND, PER_UNIT
from crossmargin.clearing.ledger import (
    DUE,
    FEES,
    FUNDING,
    HELD,
    INTEREST,
    MOST_ROWS,
    ROUND,
    WORLD,
    Rows,
    UnbalancedError,
)


def check_rows(rows: Rows, terms: Mapping[str, Terms], fees: Mapping[str, int] | None) -> None:
    """Raise `UnbalancedError` unless the rows sum to 0 per asset and each balancing owner stays within its bound.

    `fees` receives exactly what the command states (None: what a procedure gives it). `funding` and `interest`
    receive, with their due, at least 0 and less than one unit for each payment that is rounded, and so does `round`.
    """
    if len(rows) > MOST_ROWS:
        raise UnbalancedError(f"a posting of {len(rows)} rows; at most {MOST_ROWS}")
    sums: dict[str, int] = {}
    house: dict[str, dict[str, int]] = {}
    for owner, purse, asset, amount in rows:
        sums[asset] = sums.get(asset, 0) + amount
        if owner in _RECEIVING:
            money = asset if purse != DUE else settled_in(asset, terms)
            kept = house.setdefault(owner, {})
            kept[money] = kept.get(money, 0) + (amount if purse == DUE else amount * PER_UNIT)
    if any(sums.values()):
        raise UnbalancedError(f"rows do not sum to 0: { {name: left for name, left in sums.items() if left} }")
    received = {asset: amount for asset, amount in house.pop(FEES, {}).items() if amount}
    stated = received if fees is None else {asset: amount * PER_UNIT for asset, amount in fees.items() if amount}
    if received != stated:
        raise UnbalancedError(f"fees received {received}, the command states {stated} (10^-12 units)")
    if not house:
        return
    most = rounded(rows) * PER_UNIT
    for owner, kept in house.items():
        outside = {asset: amount for asset, amount in kept.items() if amount and not 0 <= amount < most}
        if outside:
            raise UnbalancedError(f"{owner} would receive {outside} (10^-12 units), outside [0, {most})")


def rounded(rows: Rows) -> int:
    """Return how many payments of rows may be rounded: one for each owner, or one for each of his contracts and dues.

    All owners but those that receive what rounding leaves.
    """
    owners = {row[0] for row in rows} - _BALANCING
    settled = {(owner, asset) for owner, purse, asset, _ in rows if purse in _SETTLED and owner not in _BALANCING}
    return max(len(owners), len(settled))


_RECEIVING = frozenset({FEES, FUNDING, INTEREST, ROUND})
_BALANCING = _RECEIVING | {WORLD}
_SETTLED = frozenset({DUE, HELD})


def settled_in(index: str, terms: Mapping[str, Terms]) -> str:
    """Return the asset that an index is settled in."""
    for prefix in (BORROW, LEND):
        if index.startswith(prefix):
            return index.removeprefix(prefix)
    return terms[index].settlement
