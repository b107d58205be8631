"""What a row is called: the name that a report shows for a leg, a strike, an expiry, a bucket, a pool."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmargin.margin.resolved import Resolved


def row_name(resolved: Resolved, level: str, row: int) -> str:
    """Return a row's name within its pool, for example ``BTC 2026-03-27 70000``."""
    if level == "account":
        return resolved.units.label[row]
    leg = row if level == "leg" else int(resolved.levels[level].first_leg[row])
    c, contract = resolved.contracts, int(resolved.legs.contract[leg])
    if level == "leg":
        return leg_name(resolved, leg)
    if level == "asset":
        return resolved.names.assets[int(c.settle_asset[contract])]
    bucket = resolved.names.buckets[int(c.bucket[contract])]
    if level == "bucket":
        return bucket
    expiry = int(c.expiry[contract])
    if not expiry:
        return f"{bucket} {leg_name(resolved, leg)}"
    day = f"{datetime.fromtimestamp(expiry, tz=UTC):%Y-%m-%d}"
    strike = float(c.strike[contract])
    return f"{bucket} {day}" if level == "expiry" or isnan(strike) else f"{bucket} {day} {strike:g}"


def leg_name(resolved: Resolved, leg: int) -> str:
    """Return a leg's symbol."""
    legs = resolved.legs
    return resolved.names.symbols[int(resolved.contracts.symbol[legs.contract[leg]])]
