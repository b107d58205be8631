"""Where a pool is liquidated: the types that liquidation prices and profiles are told in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class LiquidationPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Where the trigger flips along one named path. Prices are of `underlying`; None where it never flips.

    `path` says what moves. `below` and `above` are the nearest flips on each side of `spot`;
    `already_liquidatable` when the trigger holds at `spot` (then they are where it stops holding).
    `safe_regions` are all price intervals of the scan in which the trigger does not hold.
    `bankruptcy_below` and `bankruptcy_above` are the nearest levels where equity is 0. `marks` gives for each
    perpetual, future or spot instrument of the underlying its own mark at `below` and `above`.
    Where everything moves together `underlying` is ``all``, `spot` is 1, and prices are multiples of today's.
    """

    pool: str
    underlying: str
    path: str
    spot: float
    below: float | None
    above: float | None
    already_liquidatable: bool
    safe_regions: tuple[tuple[float, float], ...]
    bankruptcy_below: float | None = None
    bankruptcy_above: float | None = None
    marks: Mapping[str, tuple[float | None, float | None]] = {}


class ProfilePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the liquidation profile: everything at `multiple` times today's price along the path."""

    multiple: float
    adjusted_equity: float
    maintenance_margin: float
    coverage_ratio: float
    liquidatable: bool


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Coverage against price along one path of one pool."""

    pool: str
    underlying: str
    path: str
    points: tuple[ProfilePoint, ...]
