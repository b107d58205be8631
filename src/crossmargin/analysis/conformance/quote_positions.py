"""What formats of on-chain perpetuals share: positions kept as base and quote, big integers written as texts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Order, Position
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Iterator

DOLLAR: Final = "USD"
DUST: Final = Decimal("1e-15")
"""Less than a chain's unit of anything: what stands for a position, or an order, of nothing."""


def asset_name(name: str) -> str:
    """Return a token's name in the snapshot; the reporting asset's own name is taken."""
    return name if name != DOLLAR else f"{DOLLAR} token"


def amount(fields: Fields, key: str, default: float | None = None) -> float:
    """Return a number, which may be written as a text of digits; `default` where the key is absent."""
    if default is not None and key not in fields:
        return default
    value = fields.get(key)
    if isinstance(value, str):
        try:
            return as_number(float(value), fields.at(key))
        except ValueError:
            refuse("a number", value, fields.at(key))
    return as_number(value, fields.at(key))


def above_zero(fields: Fields, key: str) -> float:
    """Return a number above 0: a price, a lot."""
    value = amount(fields, key)
    return value if value > 0 else refuse("a number above 0", value, fields.at(key))


def positions(symbol: str, base: float, quote: float, mark: float, **more: Any) -> Iterator[Position]:  # noqa: ANN401 - any field
    """Yield a perpetual that is kept as base and quote: entered at the mark, the rest of its P&L as realised.

    Quote without base is a position and its opposite: what is left of closed trades.
    """
    settled = exact(quote) + exact(base) * exact(mark)
    price = exact(mark)
    if base:
        yield Position(instrument=symbol, quantity=exact(base), entry_price=price, accrued_funding=settled, **more)
    elif quote:
        yield Position(instrument=symbol, quantity=Decimal(1), entry_price=price, accrued_funding=settled)
        yield Position(instrument=symbol, quantity=Decimal(-1), entry_price=price)


def orders(symbol: str, bids: float, asks: float, bid: float, ask: float) -> Iterator[Order]:
    """Yield one order for each side that has any, at one price each."""
    if bids:
        yield Order(instrument=symbol, quantity=exact(bids), limit_price=exact(bid))
    if asks:
        yield Order(instrument=symbol, quantity=-exact(asks), limit_price=exact(ask))
