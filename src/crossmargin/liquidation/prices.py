"""Where a pool is liquidated: the types that this is told in, and the price at which one position leaves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    from crossmargin.liquidation.pools import Terms


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


def bankruptcy_price(terms: Terms, contracts: Fraction, equity: Fraction) -> Fraction:
    """Return the price at which closing a position leaves a pool's equity at exactly 0, all else at mark.

    Linear, and quanto with the conversion of its multiplier: ``mark - equity / (contracts * multiplier)``. Inverse,
    whose value in coin is ``contracts * multiplier * (1 / entry - 1 / price)``: the reciprocal of
    ``1 / mark + equity / (contracts * multiplier)``. It is what the books balance at and need not be a price that any
    market knows: a position that is worth less than the whole hole, or than the equity, gives one below 0.

    Parameters
    ----------
    terms
        What changes hands, with the mark as the instrument quotes it.
    contracts
        Signed, not 0; all of them are closed.
    equity
        Of the pool at mark, signed, in units of the settlement asset.

    Raises
    ------
    InputError
        INVALID_PRICE for an inverse contract without a mark above 0; UNDEFINED_RESULT where no finite price does it:
        an inverse short whose equity is all that it owes.
    """
    share = equity / (contracts * terms.multiplier)
    if terms.form != "inverse":
        return terms.mark - share
    if terms.mark <= 0:
        raise InputError(FailureReason.INVALID_PRICE, f"expected a mark above 0, found {float(terms.mark):.15g}")
    level = 1 / terms.mark + share
    if not level:
        message = "no price leaves nothing: the equity is the whole coin value of the short; close at the market"
        raise InputError(FailureReason.UNDEFINED_RESULT, message)
    return 1 / level
