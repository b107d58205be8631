"""What stands in for a forward or a vol that an option's quote does not state: read off the other quotes."""

from __future__ import annotations

from math import isfinite, log, nan
from typing import TYPE_CHECKING

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.units import years_between

if TYPE_CHECKING:
    from crossmargin.market import Listing, Snapshot

__all__ = ["implied_forward", "interpolated_vol", "vol_of_mark"]


def implied_forward(snapshot: Snapshot, listing: Listing, index: float) -> tuple[float, str]:
    """Return the forward of an option that states none, and the sentence that says where it comes from.

    From the snapshot's dated futures and other options of the same underlying and quote asset; refused where there
    are none.
    """
    from crossmargin.market.forward import ForwardCurve  # noqa: PLC0415 (rarely needed; keeps start-up light)

    nodes: dict[float, float] = {}
    for other in snapshot.listings.values():
        if other.underlying != listing.underlying or other.quote_asset != listing.quote_asset or other.expiry is None:
            continue
        forward = other.mark_price if other.kind == InstrumentKind.FUTURE else other.forward_price
        years = years_between(snapshot.as_of, other.expiry)
        if forward is not None and years > 0:
            nodes.setdefault(years, forward)
    if not nodes or listing.expiry is None:
        message = "it has no forward_price and the snapshot has no future or forward of its underlying"
        raise InputError(FailureReason.MISSING_QUOTE, message, instrument=listing.symbol)
    points = sorted(nodes.items())
    curve = ForwardCurve.build([p[0] for p in points], [p[1] for p in points], index=index)
    forward = float(curve.forward(years_between(snapshot.as_of, listing.expiry)))
    return forward, f"{listing.symbol}: no forward_price; {forward:,.2f} from the forward curve"


def interpolated_vol(snapshot: Snapshot, listing: Listing, years: float) -> float:
    """Return the vol of an option that has none, from the surface of its underlying's other options."""
    from crossmargin.market.surface import VolSurface  # noqa: PLC0415 (rarely needed; keeps start-up light)

    smiles: dict[float, dict[float, float]] = {}
    for other in snapshot.listings.values():
        same = other.underlying == listing.underlying and other.kind == InstrumentKind.OPTION
        if not same or other.mark_iv is None or other.forward_price is None or other.strike is None:
            continue
        if other.expiry is None or other.mark_iv <= 0:
            continue
        left = years_between(snapshot.as_of, other.expiry)
        if left > 0:
            smiles.setdefault(left, {}).setdefault(log(other.strike / other.forward_price), other.mark_iv)
    if not smiles or listing.strike is None:
        message = "it has no mark_iv and the snapshot has no vol of its underlying to interpolate from"
        raise InputError(FailureReason.MISSING_VOL, message, instrument=listing.symbol)
    expiries = sorted(smiles)
    surface = VolSurface.build(
        expiries,
        [sorted(smiles[t]) for t in expiries],
        [[smiles[t][k] for k in sorted(smiles[t])] for t in expiries],
    )
    forward = listing.forward_price or implied_forward(snapshot, listing, listing.index_price or nan)[0]
    return float(surface.vol(log(listing.strike / forward), years))


def vol_of_mark(listing: Listing, forward: float, years: float) -> str:
    """Return what the option's own mark says of its vol, in words: a check on what was interpolated."""
    from crossmargin.pricing.implied import implied_vol  # noqa: PLC0415 (rarely needed; keeps start-up light)

    inverse = listing.contract == ContractKind.INVERSE
    price = (listing.mark_price or 0.0) * (forward if inverse else 1.0)
    call = listing.option_type == OptionType.CALL
    own = float(implied_vol(price, forward, listing.strike or nan, years, call).vol)
    return f"its mark implies {own:.4f}" if isfinite(own) else "its mark admits no vol: check it"
