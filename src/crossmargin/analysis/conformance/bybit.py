"""Bybit's published examples: a short option of the unified account, and collateral tiers by amount."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Read, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "bybit-unified@2025-09-18"
_CASH: Final = "USD"  # options of the examples are in dollars
_COIN: Final = "BTC"
_DAYS: Final = 30
_TYPES: Final = {"put": OptionType.PUT, "p": OptionType.PUT, "call": OptionType.CALL, "c": OptionType.CALL}
_NUMBER: Final = r"(\d*\.?\d+)"
_RULE: Final = re.compile(
    rf"MM=\(max\({_NUMBER}\*S,{_NUMBER}\*mark\)\+mark\+{_NUMBER}%\*S\)\*q"
    rf";IM=max\(max\({_NUMBER}\*S-OTM,{_NUMBER}\*S\)\+max\(entry,mark\),MM\)"
)
_TIERS: Final = "_tiers"
_TIER: Final = 2  # a tier is a bound and a rate


# --- a short option


def option_names(document: Fields) -> list[str]:
    """Return what the one example is about."""
    return [f"short {_type(document).value} {document.get('K')}"]


def pose_option(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return the example: one short option in an account that holds nothing else."""
    name = option_names(document)[index]
    spot, quantity = document.number("spot"), abs(document.number("q", 1.0))
    listing = Listing(
        symbol="option",
        kind=InstrumentKind.OPTION,
        underlying=_COIN,
        quote_asset=_CASH,
        settlement_asset=_CASH,
        expiry=AS_OF.replace(year=AS_OF.year + 1),
        strike=document.number("K"),
        option_type=_type(document),
        mark_price=document.number("mark"),
        mark_iv=1.0,  # no charge of these examples reads a vol
        forward_price=spot,
        index_price=spot,
    )
    entry = exact(document.number("entry")) if "entry" in document else None
    position = Position(instrument=listing.symbol, quantity=exact(-quantity), entry_price=entry)
    changes = _rates(document)
    figures = [Figure(key, document.number(key), read) for key, read in _EXPECTED.items() if key in document]
    return Case(
        name=name,
        account=Account(id=name, positions=(position,) if quantity else ()),
        snapshot=Snapshot(
            as_of=AS_OF,
            reporting_asset=_CASH,
            assets={_CASH: AssetQuote(price=1.0), _COIN: AssetQuote(price=spot)},
            listings={listing.symbol: listing},
        ),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source="formula"),
        figures=tuple(figures),
        changes=changes,
    )


def _type(document: Fields) -> OptionType:
    """Return the option's type: stated, or a put as in the venue's example."""
    stated = document.text("type", "put").lower()
    return _TYPES[stated] if stated in _TYPES else refuse("put or call", stated, document.at("type"))


def _rates(document: Fields) -> dict[str, Any]:
    """Return the rates that the example's formula states; without a formula the shipped ones hold."""
    if "formula" not in document:
        return {}
    text = document.text("formula").replace(" ", "")
    found = _RULE.fullmatch(text)
    if found is None:
        refuse("the venue's two formulas for a short option", text, document.at("formula"))
    factor, mark_factor, fee, share, floor = (float(number) for number in found.groups())
    if factor != mark_factor:
        refuse("one factor for index and mark", text, document.at("formula"))
    line = "charges.short_options"
    return {
        f"{line}.factor": {"by": "bucket", _COIN: factor},
        f"{line}.liquidation_fee": fee / 100.0,
        f"{line}.initial_share": share,
        f"{line}.initial_floor": floor,
    }


def _initial(outcome: Outcome) -> float:
    return outcome.report.initial_margin


def _maintenance(outcome: Outcome) -> float:
    return outcome.report.maintenance_margin


_EXPECTED: Final[Mapping[str, Read]] = {"expected_mm": _maintenance, "expected_im": _initial}


def _no_parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return nothing: the example states its rates inside a text."""
    del document, index
    return {}


def recognises_option(document: Mapping[str, object]) -> bool:
    """Return whether a document is one short option with the venue's fee in its formula."""
    expected = any(key in document for key in _EXPECTED)
    return expected and has_keys(document, "spot", "K", "mark") and "mark+0" in str(document.get("formula", "mark+0"))


# --- collateral tiers


def tier_names(document: Fields) -> list[str]:
    """Return one case for each tier of each table, and one for each asset with a single rate."""
    tiers = [f"{key}[{row}]" for key in _tables(document) for row in range(len(document.items(key)))]
    return [*tiers, *_flat(document)]


def _tables(document: Fields) -> list[str]:
    return [key for key in document if key.endswith(_TIERS)]


def _flat(document: Fields) -> list[str]:
    """Return the keys of numbers that can be a rate."""
    stated = {key: document.value[key] for key in document if isinstance(document.value[key], int | float)}
    return [key for key, value in stated.items() if 0 <= value <= 1]


def pose_tier(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one tier: the same coin held up to the tier's floor and up to its bound, as two assets of price 1.

    What the second counts above the first, over what is held above it, is the tier's rate.
    """
    names = tier_names(document)
    if index >= len(names):  # a swept rate has left [0, 1] and is none any more
        refuse("a rate in [0, 1]", document.value, document.place)
    name = names[index]
    key, _, row = name.rstrip("]").partition("[")
    rows = _rows(document, key)
    place = int(row) if row else 0
    floor, (bound, rate) = (rows[place - 1][0] if place else 0.0), rows[place]
    held = {"floor": floor, "bound": bound if bound < inf else 2.0 * floor + 1.0}
    table = [[upto if upto < inf else "inf", worth] for upto, worth in rows]
    changes: dict[str, Any] = {"charges.haircuts.tiers": {"by": "asset", **dict.fromkeys(held, table)}}
    return Case(
        name=name,
        account=Account(id=name, balances={asset: exact(amount) for asset, amount in held.items() if amount}),
        snapshot=Snapshot(
            as_of=AS_OF, reporting_asset=_CASH, assets={asset: AssetQuote(price=1.0) for asset in held}, listings={}
        ),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=name),
        figures=(Figure("rate", rate, partial(_counted, held)),),
        changes=changes,
    )


def _rows(document: Fields, key: str) -> list[tuple[float, float]]:
    """Return the tiers of a table, or the one of an asset with a single rate."""
    if not key.endswith(_TIERS):
        return [(inf, document.number(key))]
    rows = [_tier(row, f"{document.at(key)}[{place}]") for place, row in enumerate(document.items(key))]
    if any(not low < high for low, high in pairwise([0.0, *(bound for bound, _ in rows)])) or rows[-1][0] < inf:
        refuse("bounds that rise, the last 'inf'", document.get(key), document.at(key))
    return rows


def _tier(row: object, place: str) -> tuple[float, float]:
    if not isinstance(row, list) or len(row) != _TIER:
        refuse("an upper bound and a rate", row, place)
    bound = inf if row[0] == "inf" else as_number(row[0], place)
    return bound, as_number(row[1], place)


def _counted(held: Mapping[str, float], outcome: Outcome) -> float:
    """Return what one more unit counts between the two amounts."""
    rows = {row.asset: row.adjusted_value_maintenance for row in outcome.pool.collateral}
    return (rows["bound"] - rows.get("floor", 0.0)) / (held["bound"] - held["floor"])


def tier_parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the bounds and rates of a case's table stand."""
    key, _, row = tier_names(document)[index].rstrip("]").partition("[")
    if not row:
        return {key: (key,)}
    tiers: Sequence[Any] = document.items(key)
    rates: dict[str, Steps] = {f"{key}[{place}].rate": (key, place, 1) for place in range(len(tiers))}
    bounds = [place for place, tier in enumerate(tiers) if isinstance(tier, list) and tier and tier[0] != "inf"]
    return {**rates, **{f"{key}[{place}].bound": (key, place, 0) for place in bounds}}


def recognises_tiers(document: Mapping[str, object]) -> bool:
    """Return whether a document holds tables of collateral tiers by asset."""
    return any(key.endswith(_TIERS) and isinstance(value, list) and bool(value) for key, value in document.items())


FAMILIES: Final[tuple[Family, ...]] = (
    Family("bybit", "short_option", recognises_option, option_names, pose_option, _no_parameters),
    Family("bybit", "collateral_tiers", recognises_tiers, tier_names, pose_tier, tier_parameters),
)
