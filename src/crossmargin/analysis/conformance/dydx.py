"""dYdX Chain: margin requirements of one perpetual in whole quote quantums, and the open-interest ramp in ppm.

A quote quantum is a millionth of a USDC; the files state quantums and powers of ten, the account is posed in USDC.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Steps, case_names, holds_kind, of_kind
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.linear_market import (
    NEXT_TO_NOTHING,
    decimal_at,
    exactly,
    perpetual,
    shift_at,
    snapshot_of,
    stated,
)
from crossmargin.margin import with_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from crossmargin.analysis.conformance.case import Rulebooks
    from crossmargin.margin.exact import ExactPool
    from crossmargin.market import Snapshot

RULEBOOK: Final = "dydx-v4@2026-01-20"
_USDC: Final = "USDC"
_MARKET: Final = "BTC"
_SHIFT: Final = -6  # of a quantum, and of a ppm
_PER_QUANTUM: Final = 10**6

# entry of the rulebook's line: the key of the case, and whether its unit is quantums or ppm: both are millionths
_ENTRIES: Final = {
    "initial_fraction": "initial_margin_ppm",
    "maintenance_fraction": "maintenance_fraction_ppm",
    "lower_cap": "oi_lower_cap",
    "upper_cap": "oi_upper_cap",
}


def _changes(given: Fields) -> dict[str, Any]:
    """Return the liquidity tier of the case in place of the market's own."""
    found = {entry: key for entry, key in _ENTRIES.items() if key in given}
    return {
        f"charges.positions.{entry}": {"by": "bucket", _MARKET: float(decimal_at(given, key).scaleb(_SHIFT))}
        for entry, key in found.items()
    }


def _posed(
    document: Fields, index: int, rulebooks: Rulebooks, read: Callable[[Fields], tuple[Decimal, float, Decimal]]
) -> Case:
    """Return a case of one perpetual: its quantity, price and open interest as `read` finds them."""
    case = document.objects("cases")[index]
    name, given = case_names(document)[index], case.needed("input")
    changes = _changes(given)
    quantity, price, interest = read(given)
    listing = perpetual(_MARKET, price, _USDC, open_interest=float(interest))
    held = Position(instrument=listing.symbol, quantity=quantity, entry_price=Decimal(1))
    account = Account(id=name, positions=(held,) if quantity else ())
    snapshot = snapshot_of([listing], _USDC)
    return Case(
        name=name,
        account=account,
        snapshot=snapshot,
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=case.at("input")),
        figures=_figures(case.needed("expected"), account, snapshot),
        changes=changes,
    )


def _figures(expected: Fields, account: Account, snapshot: Snapshot) -> tuple[Figure, ...]:
    """Return the margins in quantums; the chain computes in integers, so nothing may be off."""
    names = [name for name in _REQUIREMENTS if name in expected]
    if not names:
        refuse("a margin to compare", expected.value, expected.place)
    return tuple(
        Figure(name, stated(expected, name), exactly(account, snapshot, _in_quantums(_REQUIREMENTS[name])), 0.0)
        for name in names
    )


def _in_quantums(requirement: str) -> Callable[[ExactPool], Fraction]:
    return lambda pool: pool.requirements[requirement] * _PER_QUANTUM


# the fraction in ppm is the margin, in quantums, of a position worth one USDC
_REQUIREMENTS: Final = {"imr": "initial", "mmr": "maintenance", "imf_ppm": "initial"}


def _position(given: Fields) -> tuple[Decimal, float, Decimal]:
    """Return a position in base quantums at the chain's own price."""
    resolution = shift_at(given, "atomic_resolution")
    price = decimal_at(given, "price").scaleb(shift_at(given, "exponent"))
    quantity = decimal_at(given, "base_quantums").scaleb(resolution)
    interest = decimal_at(given, "open_interest_base_quantums", Decimal(0)).scaleb(resolution)
    return quantity, float(price) or NEXT_TO_NOTHING, interest


def _worth(given: Fields) -> tuple[Decimal, float, Decimal]:
    """Return a position stated by its worth: units of one USDC each."""
    interest = decimal_at(given, "open_interest_quote", Decimal(0)).scaleb(_SHIFT)
    return decimal_at(given, "quote_quantums", Decimal(_PER_QUANTUM)).scaleb(_SHIFT), 1.0, interest


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the liquidity tier of a case stands."""
    given = document.objects("cases")[index].needed("input")
    numbers = [key for key in _ENTRIES.values() if isinstance(given.value.get(key), int | float)]
    return {key: ("cases", index, "input", key) for key in numbers}


def pose_position(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one position and its two margins."""
    return _posed(document, index, rulebooks, _position)


def pose_worth(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one position stated by its worth, or of one USDC where only the fraction is asked."""
    return _posed(document, index, rulebooks, _worth)


def _family(kind: str, pose: Callable[[Fields, int, Rulebooks], Case]) -> Family:
    recognises = holds_kind(kind, keys=("initial_margin_ppm",))
    return Family("dydx_v4", kind, recognises, case_names, pose, parameters, of_kind(kind))


FAMILIES: Final[tuple[Family, ...]] = (
    _family("margin_requirement", pose_position),
    _family("oi_scaled_imf_ppm", pose_worth),
    _family("initial_margin_quote", pose_worth),
)
