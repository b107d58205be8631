"""What guards remember of a price and its feeds: integers and times, carried by events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

FINE: Final = 10**6
"""Parts of one unit of a price in which means are kept."""


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last word of one feed: its price, when it was observed (at the latest when it came), its other figures."""

    price: int
    at: datetime
    figures: Mapping[str, str]


class Cell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One of the equal parts of a window of time, over which the price stood where it stood.

    Parameters
    ----------
    number
        Which part, counted from the epoch.
    low, high
        Within which bounds the price stood.
    total, span
        Sum of price times microseconds, and how many microseconds of the part that covers.
    closed
        What cases had closed of the contract when the part began.
    """

    number: int
    low: int
    high: int
    total: int
    span: int
    closed: int


class Stable(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The slow price and the delayed ones behind it, in parts of a unit; the last interval is still being summed.

    Parameters
    ----------
    at
        When the slow price last moved.
    interval
        Which interval is being summed, counted from the epoch.
    total, span
        Sum of price times microseconds in it, and how many microseconds.
    delayed
        The delayed prices, the oldest first.
    """

    price: int
    at: datetime
    interval: int
    total: int
    span: int
    delayed: tuple[int, ...]


class Heard(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is remembered of one asset or instrument.

    Parameters
    ----------
    feeds
        The last word of each feed that counts.
    price, at
        The last median, after the band, and when it was made; None before there was one.
    level
        The exponential mean, in parts of a unit.
    windows, seen
        By seconds, the parts of a window, the oldest first, and until when they are summed.
    closed
        What cases have closed of the contract since the beginning.
    """

    feeds: Mapping[str, Said] = {}
    price: int | None = None
    at: datetime | None = None
    level: int | None = None
    stable: Stable | None = None
    windows: Mapping[str, tuple[Cell, ...]] = {}
    seen: datetime | None = None
    closed: int = 0
