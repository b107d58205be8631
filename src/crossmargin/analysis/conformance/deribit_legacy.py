"""Deribit's documented examples of its portfolio margin of 2017: the vol shock by tenor, and two contingencies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import FULL_PRECISION, Case, Family, Figure, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.shocked_vol import vol_shock
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "deribit-portfolio@2017-01-01"
_COIN: Final = "BTC"
_PRICE: Final = 10_000.0
_VOL: Final = 0.6
_MONTH_AWAY: Final = 30
_MOST_DAYS: Final = 36_500
_PER_CENT: Final = 100.0
_NUMBER: Final = r"(\d+(?:\.\d+)?|\.\d+)"
_LAW: Final = re.compile(rf"sqrt\(\s*{_NUMBER}\s*/\s*DTE\s*\)\s*\*\s*{_NUMBER}\s*%", re.IGNORECASE)
_OPTIONS: Final = re.compile(rf"{_NUMBER}\s*options?\s*\*\s*{_NUMBER}\s*%", re.IGNORECASE)
_FUTURES: Final = re.compile(rf"offsetting\s+futures\s+{_NUMBER}\s*[A-Z]+\s*\*\s*{_NUMBER}\s*%", re.IGNORECASE)


def names(document: Fields) -> list[str]:
    """Return the vol shock, then the contingencies by what they are of."""
    shock = ["vol shock and price move"] if "example" in document else []
    return [*shock, *(f"contingency_examples[{i}]" for i in range(len(document.items("contingency_examples"))))]


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one example as an account, a market and a rulebook."""
    name = names(document)[index]
    changes = _law(document)
    if name.startswith("vol"):
        account, listings, figures = _vol_shock(document, name)
    else:
        first = 1 if "example" in document else 0
        account, listings, figures, more = _contingency(document.objects("contingency_examples")[index - first], name)
        changes |= more
    return Case(
        name=name,
        account=account,
        snapshot=Snapshot(
            as_of=AS_OF,
            reporting_asset="USD",
            assets={_COIN: AssetQuote(price=_PRICE)},
            listings={one.symbol: one for one in listings},
        ),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=name),
        figures=figures,
        changes=changes,
    )


def _law(document: Fields) -> dict[str, Any]:
    """Return the price range and the vol law that the document states."""
    out: dict[str, Any] = {}
    if "price" in document:
        out["parameters.price_range"] = document.number("price")
    if "vol" in document:
        found = _LAW.fullmatch(document.text("vol").strip())
        if found is None:
            refuse("a law such as sqrt(30/DTE)*40%", document.text("vol"), document.at("vol"))
        out |= {"shocks.month": float(found[1]), "shocks.vol_move": float(found[2]) / _PER_CENT}
    return out


def _vol_shock(document: Fields, name: str) -> tuple[Account, list[Listing], tuple[Figure, ...]]:
    """Return an option of so many days, on whose vol the scan shows its law.

    The shock is printed in decimals: it is met within half of the last of them, at best to full precision.
    """
    example = document.needed("example")
    days = example.number("dte")
    if not 0 < days < _MOST_DAYS:
        refuse("days above 0 and below a century", days, example.at("dte"))
    option = _option(days)
    stated = example.number("expected")
    figures = [Figure("vol shock", stated, _upward, _half_of_last_digit(stated))]
    if "price" in document:
        figures.append(Figure("price move", document.number("price"), _widest))
    return Account(id=name, positions=(_position(option, 1.0),)), [option], tuple(figures)


def _half_of_last_digit(number: float) -> float:
    exponent = Decimal(repr(number)).as_tuple().exponent
    half = 0.5 * 10.0**exponent if isinstance(exponent, int) and exponent < 0 else 0.0
    return max(half, FULL_PRECISION)


def _upward(outcome: Outcome) -> float:
    """Return the upward vol shock where the price stays."""
    cells = outcome.detail("matrix").cells
    still = [s for s, vol in enumerate(cells.axes.vol) if vol == "up" and float(cells.spot[0, s]) == 0.0]
    return vol_shock("matrix", still[0], outcome)


def _widest(outcome: Outcome) -> float:
    return float(abs(outcome.detail("matrix").cells.spot).max())


def _contingency(example: Fields, name: str) -> tuple[Account, list[Listing], tuple[Figure, ...], dict[str, Any]]:
    """Return options, or a future long and another short, and the line that charges them."""
    told, expected = example.text("desc"), example.number("expected_btc")
    if found := _OPTIONS.search(told):
        line, held = "options", [(_option(_MONTH_AWAY), float(found[1]))]
    elif found := _FUTURES.search(told):
        coins = float(found[1])
        line, held = "offsetting_futures", [(_future(_MONTH_AWAY), coins), (_future(2 * _MONTH_AWAY), -coins)]
    else:
        refuse("so many options, or offsetting futures, times a rate", told, example.at("desc"))
    figure = Figure("contingency", expected, partial(_line, line))
    changes = {f"charges.{line}.share": float(found[2]) / _PER_CENT}
    account = Account(id=name, positions=tuple(_position(one, coins) for one, coins in held if coins))
    return account, [one for one, _ in held], (figure,), changes


def _line(line: str, outcome: Outcome) -> float:
    return outcome.pool.lines[line].maintenance


def _position(listing: Listing, coins: float) -> Position:
    contracts = coins if listing.kind == InstrumentKind.OPTION else coins * _PRICE / listing.multiplier
    return Position(instrument=listing.symbol, quantity=exact(contracts), entry_price=exact(listing.mark_price or 0.0))


def _option(days: float) -> Listing:
    return Listing(
        symbol=f"{_COIN}-{days:g}-C",
        kind=InstrumentKind.OPTION,
        underlying=_COIN,
        quote_asset="USD",
        settlement_asset=_COIN,
        contract=ContractKind.INVERSE,
        expiry=AS_OF + timedelta(days=days),
        strike=_PRICE,
        option_type=OptionType.CALL,
        mark_price=0.05,
        index_price=_PRICE,
        forward_price=_PRICE,
        mark_iv=_VOL,
    )


def _future(days: float) -> Listing:
    return Listing(
        symbol=f"{_COIN}-{days:g}",
        kind=InstrumentKind.FUTURE,
        underlying=_COIN,
        quote_asset="USD",
        settlement_asset=_COIN,
        contract=ContractKind.INVERSE,
        multiplier=10.0,
        expiry=AS_OF + timedelta(days=days),
        mark_price=_PRICE,
        index_price=_PRICE,
    )


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the price range stands; the other parameters stand in texts."""
    stated = names(document)[index].startswith("vol") and "price" in document
    return {"price": ("price",)} if stated else {}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds a vol law by tenor with contingencies."""
    examples = document.get("contingency_examples")
    listed = examples if isinstance(examples, list) else []
    return "vol" in document and any(has_keys(one, "desc", "expected_btc") for one in listed)


FAMILY: Final = Family("deribit_legacy", "portfolio_margin", recognises, names, pose, parameters)
