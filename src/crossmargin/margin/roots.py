"""Bracketed root finding on columns: many monotone questions at once, each answered to the last digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_ROUNDS = 60
_TOLERANCE = 1e-13
_HALVE_EVERY = 4  # false position alone can crawl


def last_nonnegative(function: Callable[[Floats], Floats], upper: Floats) -> Floats:
    """Return for each column the largest x in [0, upper] with function(x) >= 0, function falling in x; 0 if f(0) < 0.

    Parameters
    ----------
    function
        Maps [n] to [n], elementwise.
    """
    at_zero, at_upper = function(np.zeros_like(upper)), function(upper)
    low, high = np.zeros_like(upper), upper.copy()
    low = np.where(at_upper >= 0, upper, low)
    open_ = (at_zero > 0) & (at_upper < 0)
    if open_.any():
        low = np.where(open_, bisect(function, low, high, at_zero, at_upper, open_), low)
    return np.where(at_zero < 0, 0.0, low)


def bisect(
    function: Callable[[Floats], Floats],
    low: Floats,
    high: Floats,
    at_low: Floats,
    at_high: Floats,
    open_: npt.NDArray[np.bool_],
) -> Floats:
    """Return the end of each open bracket that keeps the sign of `at_low`, by false position safeguarded by halving."""
    low, high, at_low, at_high = low.copy(), high.copy(), at_low.copy(), at_high.copy()
    sign = np.where(at_low >= 0, 1.0, -1.0)
    held = np.zeros(low.shape, dtype=np.int64)
    for step in range(1, _ROUNDS):
        width = np.abs(high - low)
        active = open_ & (width > _TOLERANCE * np.maximum(np.abs(low), np.abs(high)))
        if not active.any():
            break
        x = _next_point(low, high, at_low, at_high, held, halve=step % _HALVE_EVERY == 0)
        x = np.where(active, x, low)
        value = function(x)
        same = value * sign >= 0
        held = np.where(same, np.maximum(held, 0) + 1, np.minimum(held, 0) - 1)
        low, at_low = np.where(active & same, x, low), np.where(active & same, value, at_low)
        high, at_high = np.where(active & ~same, x, high), np.where(active & ~same, value, at_high)
    return low


def _next_point(
    low: Floats, high: Floats, at_low: Floats, at_high: Floats, held: npt.NDArray[np.int64], *, halve: bool
) -> Floats:
    """Return the next trial: just across the secant's root, so that linear pieces close from both sides at once."""
    middle = 0.5 * (low + high)
    if halve:
        return middle
    with np.errstate(divide="ignore", invalid="ignore"):
        root = low + (high - low) * (at_low / (at_low - at_high))
    # when one end has stayed for long, step a hair beyond the root so that the other end moves too
    nudge = (high - low) * 1e-12
    root = np.where(held > 0, root + nudge, root - nudge)
    inside = np.isfinite(root) & ((root - low) * (high - root) > 0)
    return np.where(inside, root, middle)
