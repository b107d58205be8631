"""Binance's margin parameters of an option: what one sold option requires of an index of 1 at a mark of 0."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome
    from crossmargin.analysis.conformance.fields import Fields

RULEBOOK: Final = "binance-options@2026-01-20"
_KEYS: Final = ("initialMargin", "maintenanceMargin", "minInitialMargin", "minMaintenanceMargin")
_FEE: Final = "liquidationFeeRate"
_STABLE: Final = "USDT"
_COIN: Final = "BTC"
_STRIKES: Final = {OptionType.CALL: 3.0, OptionType.PUT: 0.001}
"""So far out of the money, of an index of 1, that only the floor is left."""
_AT: Final = "at the money"
_OUT: Final = "far out of the money"


def names(document: Fields) -> list[str]:
    """Return one case for each type of option."""
    del document
    return [f"short {kind.value}" for kind in _STRIKES]


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one option sold at the money and one sold far from it."""
    kind = list(_STRIKES)[index]
    name = names(document)[index]
    wanted = {key: document.number(key) for key in _KEYS}
    changes: dict[str, Any] = {
        "charges.short_options.share": {
            "initial": wanted["initialMargin"],
            "maintenance": wanted["maintenanceMargin"],
        },
        "charges.short_options.floor_share": {
            "initial": wanted["minInitialMargin"],
            "maintenance": wanted["minMaintenanceMargin"],
        },
    }
    figures = [
        Figure("initialMargin", wanted["initialMargin"], partial(_charged, "initial", _AT)),
        Figure("maintenanceMargin", wanted["maintenanceMargin"], partial(_charged, "maintenance", _AT)),
        Figure("minInitialMargin", wanted["minInitialMargin"], partial(_charged, "initial", _OUT)),
        Figure("minMaintenanceMargin", wanted["minMaintenanceMargin"], partial(_charged, "maintenance", _OUT)),
    ]
    if _FEE in document:
        fee = document.number(_FEE)
        changes["charges.liquidation_fee.liquidation_fee_rate"] = fee
        figures.append(Figure(_FEE, fee, partial(_fee, _AT)))
    listings = {_AT: _listing(_AT, kind, 1.0), _OUT: _listing(_OUT, kind, _STRIKES[kind])}
    return Case(
        name=name,
        account=Account(
            id=name, positions=tuple(Position(instrument=symbol, quantity=exact(-1.0)) for symbol in listings)
        ),
        snapshot=Snapshot(
            as_of=AS_OF,
            reporting_asset=_STABLE,
            assets={_STABLE: AssetQuote(price=1.0), _COIN: AssetQuote(price=1.0)},
            listings=listings,
        ),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=name),
        figures=tuple(figures),
        changes=changes,
    )


def _listing(symbol: str, kind: OptionType, strike: float) -> Listing:
    """Return an option on an index of 1 whose mark is 0, so that what is charged is a share of the index."""
    return Listing(
        symbol=symbol,
        kind=InstrumentKind.OPTION,
        underlying=_COIN,
        quote_asset=_STABLE,
        settlement_asset=_STABLE,
        expiry=AS_OF.replace(year=AS_OF.year + 1),
        strike=strike,
        option_type=kind,
        mark_price=0.0,
        mark_iv=1.0,  # no charge reads a vol
        forward_price=1.0,
        index_price=1.0,
    )


def _charged(requirement: str, symbol: str, outcome: Outcome) -> float:
    return _of_leg("short_options", requirement, symbol, outcome)


def _fee(symbol: str, outcome: Outcome) -> float:
    return _of_leg("liquidation_fee", "maintenance", symbol, outcome)


def _of_leg(line: str, requirement: str, symbol: str, outcome: Outcome) -> float:
    """Return a line's amount on the leg of one instrument."""
    resolved = outcome.book.resolved
    column = outcome.book.evaluation.line(line, requirement)
    held = resolved.contracts.symbol[resolved.legs.contract].tolist()
    return sum(float(column[leg]) for leg, code in enumerate(held) if resolved.names.symbols[code] == symbol)


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return the parameters: each case has all."""
    del index
    return {key: (key,) for key in (*_KEYS, _FEE) if key in document}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds the venue's margin parameters of an option."""
    return has_keys(document, *_KEYS)


FAMILY: Final = Family("binance_options", "parameters", recognises, names, pose, parameters)
