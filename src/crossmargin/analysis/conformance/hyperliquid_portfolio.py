"""Hyperliquid's documented examples of portfolio margin: what may be borrowed, the rate, the two sides of the ratio.

The rate is no requirement: it is read as a year's interest on a debt of 1, a line that the rulebook only reports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Read, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from crossmargin.margin import Rulebook

RULEBOOK: Final = "hyperliquid-portfolio@2026-03-01"
_CASH: Final = "USDC"
_OWED: Final = "USDH"
_COIN: Final = "HYPE"
_UNCAPPED: Final = 1e18
_RATIO: Final = "ratio_fixture"
_NUMBER: Final = r"(\d*\.?\d+)"
_LAW: Final = re.compile(
    rf"(?:APY\s*=)?\s*{_NUMBER}\s*\+\s*{_NUMBER}\s*\*\s*max\(\s*0\s*,\s*u\s*-\s*{_NUMBER}\s*\)", re.IGNORECASE
)
_LAW_ENTRIES: Final = ("base", "slope", "kink")


# entry of the rulebook: the fixture's key
_PLAIN: Final[Mapping[str, str]] = {
    "charges.offset.min_borrow_offset": "min_borrow_offset",
    "charges.beyond_cap.user_borrow_cap": "borrow_cap",
}
_BY_COIN: Final[Mapping[str, str]] = {
    "charges.backed.user_supply_cap": "supply_cap",
    "charges.backed.ltv": "ltv",
}

_READ: Final[Mapping[str, Read]] = {
    "borrow": lambda outcome: outcome.report.available_margin,
    "rate": lambda outcome: outcome.report.lines["yearly_interest"].maintenance,
    "expected_req": lambda outcome: outcome.report.maintenance_margin,
    "expected_liq_value": lambda outcome: outcome.pool.adjusted_equity_maintenance,
}


def names(document: Fields) -> list[str]:
    """Return the examples that the document holds."""
    points = [f"rate at {point}" for point in document.object("rate").object("points")]
    return [*(["borrow"] if "borrow" in document else []), *points, *(["ratio"] if _RATIO in document else [])]


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one example as an account, a market and a rulebook."""
    name = names(document)[index]
    rulebook = rulebooks(RULEBOOK)
    if name == "borrow":
        return _borrow(document.needed("borrow"), rulebook)
    if name == "ratio":
        return _ratio(document.needed(_RATIO), rulebook)
    return _rate(document.needed("rate"), name, rulebook)


def _borrow(example: Fields, rulebook: Rulebook) -> Case:
    """Return a balance of a coin and nothing else; the example knows no caps."""
    price = _positive(example, "price")
    changes: dict[str, Any] = {
        "charges.backed.ltv": {"by": "asset", _COIN: example.number("ltv")},
        "charges.backed.user_supply_cap": {"by": "asset", _COIN: _UNCAPPED},
        "charges.beyond_cap.user_borrow_cap": _UNCAPPED,
    }
    account = Account(id="borrow", balances=_held({_COIN: example.number("balance")}))
    snapshot = _snapshot({_COIN: AssetQuote(price=price)})
    figure = Figure("borrow", example.number("expected"), _READ["borrow"])
    return _case("borrow", account, snapshot, rulebook, changes, (figure,))


def _rate(example: Fields, name: str, rulebook: Rulebook) -> Case:
    """Return a debt of 1 at a utilisation: deposits of 1, of which so much is borrowed."""
    points = example.needed("points")
    point = name.removeprefix("rate at ")
    try:
        utilisation = float(point)
    except ValueError:
        refuse("utilisations as keys", point, points.place)
    quote = AssetQuote(price=1.0, deposits=1.0, borrows=utilisation)
    account = Account(id=name, balances=_held({_CASH: -1.0}))
    figure = Figure("rate", points.number(point), _READ["rate"])
    return _case(name, account, _snapshot({_CASH: quote}), rulebook, _law(example), (figure,))


def _law(example: Fields) -> dict[str, Any]:
    """Return the numbers of the stated formula; none where none is stated."""
    if "formula" not in example:
        return {}
    formula = example.text("formula")
    found = _LAW.fullmatch(formula.strip())
    if found is None:
        refuse("a formula such as APY=.05+4.75*max(0,u-.8)", formula, example.at("formula"))
    stated = zip(_LAW_ENTRIES, found.groups(), strict=True)
    return {f"charges.yearly_interest.{entry}": float(number) for entry, number in stated}


def _ratio(example: Fields, rulebook: Rulebook) -> Case:
    """Return one balance twice, as the fixture's reading has it: in full as cash, and as a coin that backs.

    The debt is in another stablecoin: of USDC it would only be the balance that is left. The perpetual's maintenance
    margin is stated, so its rate is 1.
    """
    oracle, balance, required = _positive(example, "oracle"), example.number("balance"), example.number("cross_mm")
    if balance < 0 or required < 0:
        refuse("a balance and a maintenance margin of at least 0", (balance, required), example.place)
    changes: dict[str, Any] = {"charges.positions.tiers": {"by": "bucket", _COIN: [["inf", 1.0]]}}
    changes |= {entry: example.number(key) for entry, key in _PLAIN.items() if key in example}
    changes |= {e: {"by": "asset", _COIN: example.number(k)} for e, k in _BY_COIN.items() if k in example}
    perpetual = Listing(
        symbol=_COIN,
        kind=InstrumentKind.PERPETUAL,
        underlying=_COIN,
        quote_asset=_CASH,
        settlement_asset=_CASH,
        mark_price=1.0,
        index_price=1.0,
    )
    held = Position(instrument=_COIN, quantity=exact(required), entry_price=exact(1.0))
    account = Account(
        id="ratio",
        balances=_held({_CASH: balance, _COIN: balance, _OWED: -example.number("borrowed")}),
        positions=(held,) if required else (),
    )
    snapshot = _snapshot({_COIN: AssetQuote(price=oracle), _OWED: AssetQuote(price=oracle)}, perpetual)
    figures = tuple(Figure(key, example.number(key), _READ[key]) for key in _READ if key in example)
    return _case("ratio", account, snapshot, rulebook, changes, figures or refuse("a figure", example.value, _RATIO))


def _case(
    name: str,
    account: Account,
    snapshot: Snapshot,
    rulebook: Rulebook,
    changes: dict[str, Any],
    figures: tuple[Figure, ...],
) -> Case:
    return Case(name, account, snapshot, with_values(rulebook, changes, source=name), figures, changes)


def _held(amounts: dict[str, float]) -> dict[str, Any]:
    return {asset: exact(amount) for asset, amount in amounts.items() if amount}


def _positive(example: Fields, key: str) -> float:
    price = example.number(key)
    return price if price > 0 else refuse("a price above 0", price, example.at(key))


def _snapshot(assets: dict[str, AssetQuote], *listings: Listing) -> Snapshot:
    return Snapshot(
        as_of=AS_OF,
        reporting_asset="USD",
        assets={_CASH: AssetQuote(price=1.0), **assets},
        listings={one.symbol: one for one in listings},
    )


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where an example's parameters stand; the rate's stand in a formula."""
    name = names(document)[index]
    if name == "borrow":
        return {"borrow.ltv": ("borrow", "ltv")}
    if name != "ratio":
        return {}
    stated = document.needed(_RATIO)
    return {f"ratio.{key}": (_RATIO, key) for key in (*_PLAIN.values(), *_BY_COIN.values()) if key in stated}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds an example of borrowing, or the sides of the ratio."""
    borrowing = has_keys(document.get("borrow"), "balance", "price", "ltv", "expected")
    return borrowing or has_keys(document.get(_RATIO), "min_borrow_offset", "cross_mm", "borrowed")


FAMILY: Final = Family("hyperliquid_portfolio", "examples", recognises, names, pose, parameters)
