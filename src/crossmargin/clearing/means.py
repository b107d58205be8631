"""Prices over time, in integers: means, what was seen in a window, and a price that follows slowly.

A price stands from when it came until the next one comes, so a quote weighs nothing in a mean before time has passed.
A window is kept in twelve equal parts; of the oldest, the share that still lies within counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil, floor, inf
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.heard import FINE, Cell, Heard, Stable

if TYPE_CHECKING:
    from crossmargin.margin.procedure_prices import StableRule

PARTS: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def key(window: float) -> str:
    """Return the name under which a window is remembered."""
    return repr(float(window))


def microseconds(moment: datetime) -> int:
    """Return the microseconds from the epoch to a moment."""
    return (moment - _EPOCH) // _MICROSECOND


def part_of(window: float) -> int:
    """Return the microseconds of one part of a window."""
    return max(1, round(window * 1e6) // PARTS)


def within_band(last: int, elapsed: float, price: int, band: float) -> int:
    """Return the price, cut to how far it may move from the last one in `elapsed` seconds; from 0 it may go anywhere.

    Up by a factor of 1 + band x seconds at most, down by the same factor; both bounds are rounded outwards.
    """
    if not last:
        return price
    factor = 1 + band * max(0.0, elapsed)
    return min(max(price, floor(last / factor)), ceil(last * factor))


def ewma(level: int, last: int, elapsed: float, half_life: float) -> int:
    """Return the exponential mean, in parts of a unit, after the last price stood for `elapsed` seconds."""
    rest: float = 0.5 ** (elapsed / half_life)
    return round(last * FINE + (level - last * FINE) * rest)


def cells(heard: Heard, window: float, as_of: datetime) -> tuple[Cell, ...]:
    """Return the parts of a window up to `as_of`, the last price standing until then."""
    part, end = part_of(window), microseconds(as_of)
    by_number = {cell.number: cell for cell in heard.windows.get(key(window), ())}
    if heard.price is not None and heard.seen is not None:
        begun = microseconds(heard.seen)
        for number in range(max(begun // part, end // part - PARTS), end // part + 1):
            span = min(end, (number + 1) * part) - max(begun, number * part)
            if span > 0:
                old = by_number.get(number) or Cell(number, heard.price, heard.price, 0, 0, heard.closed)
                by_number[number] = _stood(old, heard.price, span)
    return tuple(by_number[number] for number in sorted(by_number) if number >= end // part - PARTS)


def _stood(cell: Cell, price: int, span: int) -> Cell:
    low, high = min(cell.low, price), max(cell.high, price)
    return Cell(cell.number, low, high, cell.total + span * price, cell.span + span, cell.closed)


def with_price(heard: Heard, window: float, price: int, as_of: datetime) -> tuple[Cell, ...]:
    """Return the parts of a window with a price that stands from now on."""
    parts = cells(heard, window, as_of)
    number = microseconds(as_of) // part_of(window)
    if parts and parts[-1].number == number:
        return (*parts[:-1], _stood(parts[-1], price, 0))
    return (*parts, Cell(number, price, price, 0, 0, heard.closed))


def mean(parts: tuple[Cell, ...], price: int, window: float, as_of: datetime) -> int:
    """Return the time-weighted mean over a window, in parts of a unit; `price` where no time has passed."""
    part = part_of(window)
    start = microseconds(as_of) - part * PARTS
    total = span = 0
    for cell in parts:
        share = min(part, (cell.number + 1) * part - start)
        total += cell.total * share // part
        span += cell.span * share // part
    return total * FINE // span if span > 0 else price * FINE


def furthest(parts: tuple[Cell, ...], price: int) -> float:
    """Return how far a price stands from the furthest of a window: larger over smaller, less 1."""
    return max((apart(price, bound) for cell in parts for bound in (cell.low, cell.high)), default=0.0)


def apart(one: float, other: float) -> float:
    """Return the larger of two prices over the smaller, less 1."""
    low, high = sorted((one, other))
    if low == high:
        return 0.0
    return high / low - 1 if low > 0 else inf


def begun(rule: StableRule, price: int, as_of: datetime) -> Stable:
    """Return a slow price that begins at a price."""
    interval = microseconds(as_of) // round(rule.delay * 1e6)
    return Stable(price * FINE, as_of, interval, 0, 0, (price * FINE,) * rule.delays)


def followed(rule: StableRule, stable: Stable, price: int, as_of: datetime) -> Stable:
    """Return the slow price after a price has come.

    It moves towards the price by at most `growth` a second, times the square of how near it is to the delayed price
    (the smaller over the larger). The model is that of Mango v4's stable price.
    """
    elapsed = (as_of - stable.at).total_seconds()
    if elapsed < rule.shortest or elapsed <= 0:
        return stable
    if not stable.price:
        return begun(rule, price, as_of)
    counted = min(elapsed, rule.longest)
    weight = round(counted * 1e6)
    interval = microseconds(as_of) // round(rule.delay * 1e6)
    total, span, delayed = stable.total + price * FINE * weight, stable.span + weight, stable.delayed
    passed = interval - stable.interval
    if passed:
        newest = _towards(total // span, delayed[-1], rule.delay_growth)
        delayed = (*delayed, *(newest,) * min(passed, rule.delays))[-rule.delays :]
        total = span = 0
    near = min(stable.price, delayed[0]) / max(stable.price, delayed[0])
    moved = _towards(price * FINE, stable.price, rule.growth * near * near * counted)
    return Stable(moved, as_of, interval, total, span, delayed)


def _towards(target: int, last: int, growth: float) -> int:
    """Return the target, at most `growth` (a fraction) from the last value."""
    return min(max(target, ceil(last * (1 - growth))), floor(last * (1 + growth)))
