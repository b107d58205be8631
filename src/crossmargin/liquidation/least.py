"""The least place that holds: asked where a line through what is known meets 0, not only in the middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, isfinite
from typing import Final

__all__ = ["least"]

_NEAR: Final = (1 << 6, 1 << 14)  # places beside the guess that are asked with it


def least(
    low: int,
    high: int,
    holds: Callable[[int], bool],
    slack: Callable[[int], float],
    look: Callable[[Sequence[int]], None],
) -> int:
    """Return the least place above `low` that holds; `high` does.

    Where the answer changes once between the two it is what halves would find; a straight slack needs two or three
    turns for it instead of one for each digit.

    Parameters
    ----------
    slack
        By how much a place holds, below 0 where it does not; NaN: there is no number.
    look
        Is told the places of a turn before they are asked for, so that they can be looked at together.
    """
    while high - low > 1:
        places = _asked(low, high, slack(low), slack(high))
        look(places)
        first = _first(places, holds)
        if first < len(places):
            high = places[first]
        if first:
            low = places[first - 1]
    return high


def _asked(low: int, high: int, below: float, above: float) -> list[int]:
    """Return the places of one turn, ascending: the middle, and those about the guess."""
    middle = guess = (low + high) // 2
    if isfinite(above - below) and below < 0 <= above:
        guess = low + ceil((high - low) * (-below / (above - below)))
    about = {middle, guess - 1, guess, *(guess + side * away for away in _NEAR for side in (-1, 1))}
    return sorted(place for place in about if low < place < high)


def _first(places: Sequence[int], holds: Callable[[int], bool]) -> int:
    """Return the index of the first place that holds, by halves; their number where none does."""
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(places[middle]) else (middle + 1, high)
    return low
