"""The door between decimal strings outside and integers inside: an amount is an integer at a stated scale.

A scale is a number of decimal digits: 6 for dollars whose unit is a millionth. Nothing is rounded at the door; an
amount with more digits than its scale is refused.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation, localcontext

from crossmargin.errors import FailureReason, InputError

_LONGEST = 60  # characters of an amount at the door


def to_units(text: str, digits: int) -> int:
    """Return the amount that a decimal string states, in units of 10^-digits; signed.

    Raises
    ------
    InputError
        INVALID_QUANTITY for what is no finite decimal of at most 60 characters and `digits` decimals.
    """
    try:
        number = Decimal(text) if len(text) <= _LONGEST else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or abs(number.adjusted()) > _LONGEST:
        raise InputError(FailureReason.INVALID_QUANTITY, f"expected a decimal number, found {text[:_LONGEST]!r}")
    sign, figures, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # finite
    whole = int("".join(map(str, figures)))
    shift = exponent + digits
    up, down = int(10 ** max(shift, 0)), int(10 ** max(-shift, 0))
    units, rest = divmod(whole * up, down)
    if rest:
        message = f"expected at most {digits} decimals, found {text!r}; round it before it comes here"
        raise InputError(FailureReason.INVALID_QUANTITY, message)
    return -units if sign else units


def to_decimal(units: int, digits: int) -> Decimal:
    """Return the exact decimal of an amount in units of 10^-digits."""
    with localcontext() as context:
        context.prec = max(28, len(str(units)))
        return Decimal(units).scaleb(-digits)


def to_text(units: int, digits: int) -> str:
    """Return the decimal string of an amount in units of 10^-digits, with all its digits."""
    return f"{to_decimal(units, digits):f}"
