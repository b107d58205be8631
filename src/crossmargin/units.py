"""Time and number conventions that every room shares.

Times are years of 365 days inside and aware UTC datetimes outside. Rates and vols are fractions.
Quantities and balances arrive as exact decimals; risk is computed in float64.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Final

DAYS_PER_YEAR: Final = 365.0
SECONDS_PER_YEAR: Final = DAYS_PER_YEAR * 86_400.0
SCHEMA_VERSION: Final = "1.0"


def years_between(start: datetime, end: datetime) -> float:
    """Return the years (ACT/365) from `start` to `end`; negative when `end` is earlier."""
    return (end - start).total_seconds() / SECONDS_PER_YEAR


def later(moment: datetime, seconds: float) -> datetime:
    """Return the moment so many seconds later, below 0 earlier; beyond all times the last or the first one."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        zone = moment.tzinfo
        return datetime.max.replace(tzinfo=zone) if seconds > 0 else datetime.min.replace(tzinfo=zone)


def as_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC; a datetime without a zone is refused."""
    if moment.tzinfo is None:
        msg = f"a time needs a zone (write {moment.isoformat()}Z for UTC)"
        raise ValueError(msg)
    return moment.astimezone(UTC)


def is_finite(value: Decimal | float) -> bool:
    """Return whether a number is an ordinary one, also as a float64 (the decimal 1e400 is not)."""
    return not (isinstance(value, Decimal) and value.is_snan()) and isfinite(float(value))


def exact(value: float) -> Decimal:
    """Return the decimal that a float is written as: 0.1 is one tenth, not its nearest float64."""
    return Decimal(repr(float(value)))
