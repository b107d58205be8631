"""How numbers are written for people: separators, sensible digits, red below zero."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite, isinf, isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

MONEY_ASSETS = frozenset({"USD", "USDC", "USDT", "DAI", "USDE", "EUR", "EURC", "FDUSD", "PYUSD", "USDS"})
MONEY_DIGITS = 2
COIN_DIGITS = 8


def digits_of(asset: str) -> int:
    """Decimals in which amounts of `asset` are written: 2 for money, 8 for coins."""
    return MONEY_DIGITS if asset in MONEY_ASSETS else COIN_DIGITS


def money(value: float | None, asset: str = "USD") -> str:
    """Return an amount of `asset`; "-" for none."""
    if value is None or isnan(value):
        return "-"
    if isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:,.{digits_of(asset)}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def rounded(value: float | None, asset: str = "USD", *, sign: bool = False) -> str:
    """Return an amount to compare at a glance: money in whole units, a coin in its own digits; + where asked for."""
    if value is None or asset not in MONEY_ASSETS or not isfinite(value):
        return signed(value, asset) if sign and value is not None else money(value, asset)
    text = f"{value:{'+' if sign else ''},.0f}"
    return "0" if text in {"-0", "+0"} else text


def quantity(value: float) -> str:
    """Return contracts or units: as many digits as needed, at most eight decimals."""
    text = f"{value:,.8f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def price(value: float | None) -> str:
    """Return a price: two decimals from 1 upward, six significant digits below."""
    if value is None:
        return "none"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.6g}"


def ratio(value: float) -> str:
    """Return a coverage ratio: three decimals; an infinite one as a sign."""
    if isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.3f}"


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as percent."""
    return "-" if value is None else f"{value * 100:,.{digits}f} %"


def signed(value: float, asset: str = "USD") -> str:
    """Return an amount with its sign, + included."""
    text = money(value, asset)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def exact(value: Fraction) -> str:
    """Return every digit of a number that ends, and of any other its fraction."""
    most = value.denominator.bit_length()  # a decimal that ends has no more places
    if pow(10, most, value.denominator):
        return f"{value.numerator}/{value.denominator}"
    digits = next(places for places in range(most + 1) if 10**places % value.denominator == 0)
    whole, ending = divmod(abs(value.numerator) * 10**digits // value.denominator, 10**digits)
    return f"{'-' if value < 0 else ''}{whole}" + (f".{ending:0{digits}d}" if digits else "")


def figure(value: object) -> str:
    """Return one figure of a formula: seven significant digits; a table as its rows."""
    if isinstance(value, int | float):
        number = float(value)
        if isinf(number):
            return "∞" if number > 0 else "-∞"
        if number.is_integer() and abs(number) < 1e12:  # noqa: PLR2004  # beyond, exponents read better
            return f"{number:,.0f}"
        return f"{number:,.2f}" if abs(number) >= 1e5 else f"{number:,.7g}"  # noqa: PLR2004
    if isinstance(value, list | tuple):
        return "[" + ", ".join(figure(item) for item in value) + "]"
    return str(value)


def moment(value: datetime) -> str:
    """Return a time in UTC to the minute."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
