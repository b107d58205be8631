"""What stands still on an underlying, by an operator's document or by the rulebook's breakers: read off the state."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crossmargin.clearing.configuration import Configuration, Trip
    from crossmargin.clearing.state import State

__all__ = ["LIQUIDATION", "OPENINGS", "liquidation_halted", "risk_halted", "waits_until"]

OPENINGS: Final = "risk"
LIQUIDATION: Final = "liquidation"


def risk_halted(standing: Configuration, underlying: str) -> str | None:
    """Return why no new risk may be taken on an underlying; None where it may."""
    if underlying in standing.halts.openings:
        return "by the operator"
    trips = standing.breakers.get(underlying, ())
    return next((_told(trip) for trip in trips if OPENINGS in trip.what), None)


def liquidation_halted(state: State, underlying: str) -> bool:
    """Return whether nothing on an underlying is liquidated now, by an operator's document or by rule."""
    standing = state.configuration
    trips = standing.breakers.get(underlying, ())
    return underlying in standing.halts.liquidation or any(LIQUIDATION in trip.what for trip in trips)


def waits_until(state: State, underlying: str) -> datetime | None:
    """Return when liquidation goes on at the latest; None where it is not halted, or without a time."""
    standing = state.configuration
    trips = [trip for trip in standing.breakers.get(underlying, ()) if LIQUIDATION in trip.what]
    ends = [trip.waits_until for trip in trips if trip.waits_until is not None]
    endless = underlying in standing.halts.liquidation or len(ends) < len(trips)
    return None if endless or not ends else max(ends)


def _told(trip: Trip) -> str:
    read = ", ".join(f"{name} {value}" for name, value in trip.cause.items())
    return f"{trip.rule}: {read}"
