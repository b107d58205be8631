"""What cases of linear perpetuals and futures share: exact numbers read from a file, listings, one account's market."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.instruments import InstrumentKind
from crossmargin.margin.exact import assess_exact
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from fractions import Fraction

    from crossmargin.account import Account
    from crossmargin.analysis.conformance.case import Outcome, Read
    from crossmargin.margin.exact import ExactPool

NEXT_TO_NOTHING: Final = 1e-30
"""Stands for a price of 0, which is no quote: rules that round take it for nothing at all."""
_DIGITS: Final = 80  # of a stated integer; the largest that a chain holds has 78


def decimal_of(value: object, place: str) -> Decimal:
    """Return a number as it is stated: JSON's own, or the text of a decimal (integers too long for JSON)."""
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            refuse("a number", value, place)
        fits = number.is_finite() and number.adjusted() < _DIGITS and number.adjusted() > -_DIGITS
        return number if fits else refuse("a number of at most 80 digits", value, place)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_DIGITS:
        return Decimal(value)
    return exact(as_number(value, place))


def decimal_at(fields: Fields, key: str, default: Decimal | None = None) -> Decimal:
    """Return the number of a key as it is stated; `default` where the key is absent."""
    if default is not None and key not in fields:
        return default
    return decimal_of(fields.get(key), fields.at(key))


def shift_at(fields: Fields, key: str) -> int:
    """Return a power of ten that a file states."""
    value = decimal_at(fields, key)
    if value != value.to_integral_value() or abs(value) > _DIGITS:
        refuse("a power of ten", fields.get(key), fields.at(key))
    return int(value)


def perpetual(underlying: str, price: float, asset: str, **terms: Any) -> Listing:  # noqa: ANN401 - any term of a listing
    """Return a linear perpetual whose index is its mark, named as its underlying and what it settles in."""
    made: dict[str, Any] = {
        "symbol": f"{underlying}-{asset}",
        "kind": InstrumentKind.PERPETUAL,
        "underlying": underlying,
        "quote_asset": asset,
        "settlement_asset": asset,
        "mark_price": price,
        "index_price": price,
        **terms,
    }
    return Listing(**made)


def snapshot_of(listings: Iterable[Listing], asset: str, prices: Mapping[str, float] | None = None) -> Snapshot:
    """Return the market of these instruments, stated in the asset that they settle in."""
    assets = {name: AssetQuote(price=price) for name, price in (prices or {}).items()}
    listed = {listing.symbol: listing for listing in listings}
    return Snapshot(as_of=AS_OF, reporting_asset=asset, assets=assets, listings=listed)


def exactly(account: Account, snapshot: Snapshot, pick: Callable[[ExactPool], Fraction]) -> Read:
    """Return what reads a figure from the exact assessment of an account, under the rulebook that was assessed."""

    def read(outcome: Outcome) -> float:
        rulebook = outcome.book.evaluation.rulebook
        found = pick(assess_exact(account, snapshot, rulebook, max_quote_age_seconds=None).pool)
        return found.numerator if found.denominator == 1 else float(found)

    return read


def on_leg(line: str, underlying: str, requirement: str) -> Read:
    """Return what reads a line on the legs of one underlying."""

    def read(outcome: Outcome) -> float:
        resolved = outcome.book.resolved
        column = outcome.book.evaluation.line(line, requirement)
        names = [resolved.names.buckets[b] for b in resolved.contracts.bucket[resolved.legs.contract].tolist()]
        return sum(float(amount) for name, amount in zip(names, column, strict=True) if name == underlying)

    return read


def total(line: str, requirement: str) -> Read:
    """Return what reads a line of the whole account."""
    return lambda outcome: float(sum(outcome.book.evaluation.line_total(line, requirement).tolist()))


def stated(expected: Fields, name: str) -> float:
    """Return an expected number: a whole one as an integer of any length."""
    value = decimal_at(expected, name)
    return int(value) if value == value.to_integral_value() else float(value)
