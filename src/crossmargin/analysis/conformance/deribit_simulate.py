"""Deribit's documented response of a simulated portfolio: futures of one currency, margins in coin.

The response states positions in coin and no time. Its roll charge uses the least move, so the case is placed where
the annualised move over each future's time is smaller still.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Read, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.scenarios import PERPETUAL
from crossmargin.units import DAYS_PER_YEAR, exact

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "deribit-portfolio@2024-04-01"
_MULTIPLIER: Final = 10.0  # USD of one inverse contract
_SYMBOL: Final = re.compile(r"([A-Z0-9]+)-(PERPETUAL|(\d{1,2})([A-Z]{3})(\d{2}))")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_EXPIRY_HOUR: Final = 8
_ANY_MOMENT: Final = datetime(2024, 4, 1, tzinfo=UTC)

NUMBERS: Final[Mapping[str, str]] = {
    "parameters.axis_steps": "buckets_count",
    "parameters.extended_factor": "ext_factor",
    "parameters.max_delta_shock": "max_delta_shock",
    "parameters.liquidity_threshold": "delta_liq_thr",
    "parameters.mm_factor": "mm_factor",
    "shocks.vol_down": "vol_down",
    "shocks.min_vol_up": "min_vol_up",
    "shocks.short_term_power": "short_vega_pow",
    "shocks.long_term_power": "long_vega_pow",
}
TABLES: Final[Mapping[str, str]] = {
    "parameters.price_range": "price_range",
    "parameters.m_inc": "m_inc",
    "shocks.vol_up": "vol_up",
}
BY_CURRENCY: Final[Mapping[str, str]] = {
    "parameters.min_annualised_move": "min_annualised_move",
    "parameters.annualised_move": "annualised_move_risk",
    "parameters.extended_dampener": "extended_dampener",
    "parameters.pnl_offset": "pnl_offset",
    "parameters.max_offsetable_pnl": "max_offsetable_pnl",
}


def names(document: Fields) -> list[str]:
    """Return the one case's name."""
    return [document.text("id", "simulated portfolio")]


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return the response as an account, a market and a rulebook."""
    currency = _currency(document)
    parameters = document.needed("params")
    group = _group(parameters, currency)
    bound = group.number("min_annualised_move") / max(group.number("annualised_move_risk"), 1e-9)
    expiries = {symbol: _expiry(symbol, document) for symbol in document.needed("positions")}
    as_of = _moment([expiry for expiry in expiries.values() if expiry is not None], bound)
    name = names(document)[index]
    listings = {symbol: _listing(symbol, currency, document, expiry) for symbol, expiry in expiries.items()}
    index_price = document.number("index")
    changes = _changes(parameters, group, currency)
    return Case(
        name=name,
        account=_account(name, document),
        snapshot=Snapshot(
            as_of=as_of, reporting_asset="USD", assets={currency: AssetQuote(price=index_price)}, listings=listings
        ),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source="params"),
        figures=tuple(_figures(document.needed("expected"), int(parameters.number("buckets_count")))),
        changes=changes,
    )


def _currency(document: Fields) -> str:
    found = {_match(symbol, document)[1] for symbol in document.needed("positions")}
    if len(found) != 1:
        refuse("positions of one currency", sorted(found), document.at("positions"))
    return found.pop()


def _match(symbol: str, document: Fields) -> re.Match[str]:
    found = _SYMBOL.fullmatch(symbol)
    return found or refuse("a perpetual or future, as BTC-PERPETUAL or BTC-28JUN24", symbol, document.at("positions"))


def _group(parameters: Fields, currency: str) -> Fields:
    for key in (currency.lower(), currency, "usd"):
        if key in parameters:
            return parameters.needed(key)
    return parameters


def _expiry(symbol: str, document: Fields) -> datetime | None:
    match = _match(symbol, document)
    if match[3] is None:
        return None
    if match[4] not in _MONTHS:
        refuse("a month such as JUN", match[4], document.at("positions"))
    try:
        return datetime(2000 + int(match[5]), _MONTHS.index(match[4]) + 1, int(match[3]), _EXPIRY_HOUR, tzinfo=UTC)
    except ValueError:
        refuse("a day of the calendar", symbol, document.at("positions"))


def _moment(expiries: list[datetime], bound: float) -> datetime:
    """Return a moment at which no future has as many years left as the bound; else the day before the first expiry.

    `bound` is where the annualised move over the time left equals the least move.
    """
    if not expiries:
        return _ANY_MOMENT
    halfway = max(expiries) - timedelta(days=0.5 * min(bound, 1.0) * DAYS_PER_YEAR)
    return min(halfway, min(expiries) - timedelta(days=1))


def _listing(symbol: str, currency: str, document: Fields, expiry: datetime | None) -> Listing:
    return Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL if expiry is None else InstrumentKind.FUTURE,
        underlying=currency,
        quote_asset="USD",
        settlement_asset=currency,
        contract=ContractKind.INVERSE,
        multiplier=_MULTIPLIER,
        expiry=expiry,
        mark_price=document.needed("mark").number(symbol),
        index_price=document.number("index"),
    )


def _account(name: str, document: Fields) -> Account:
    positions = []
    held, marks = document.needed("positions"), document.needed("mark")
    for symbol in held:
        mark = marks.number(symbol)
        contracts = held.number(symbol) * mark / _MULTIPLIER
        if contracts:
            positions.append(Position(instrument=symbol, quantity=exact(contracts), entry_price=exact(mark)))
    inputs = {key: exact(document.number(key, 0.0)) for key in ("mmp_margin", "open_orders_margin")}
    return Account(id=name, positions=tuple(positions), inputs=inputs)


def _changes(parameters: Fields, group: Fields, currency: str) -> dict[str, object]:
    out: dict[str, Any] = {entry: parameters.number(key) for entry, key in NUMBERS.items() if key in parameters}
    for entry, key in TABLES.items():
        if key in parameters:
            out[entry] = {"by": "bucket", currency: parameters.number(key)}
    for entry, key in BY_CURRENCY.items():
        if key in group:
            out[entry] = {"by": "bucket", currency: group.number(key)}
    steps = parameters.number("buckets_count")
    if steps != int(steps) or not 1 <= steps <= _MOST_STEPS:
        refuse("a whole number of price steps from 1 to 50", steps, parameters.at("buckets_count"))
    spot = [float(step) for step in range(-int(steps), int(steps) + 1)]
    scale = "price_range / axis_steps"
    out["scenarios.matrix"] = [{"spot": spot, "vol": ["down", "same", "up"], "scale": scale}]
    return out


_MOST_STEPS: Final = 50


def _figures(expected: Fields, steps: int) -> list[Figure]:
    out = [Figure(name, expected.number(name), read) for name, read in _READ.items() if name in expected]
    for name, read in _VECTORS.items():
        numbers = expected.numbers(name)
        if numbers and len(numbers) != 2 * steps + 1:
            refuse(f"{2 * steps + 1} numbers, one for each price step", len(numbers), expected.at(name))
        for step, number in enumerate(numbers):
            out.append(Figure(f"{name}[{step}]", number, partial(read, step)))
    if not out:
        refuse("a figure to compare", expected.value, expected.place)
    return out


def _unmoved(outcome: Outcome) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the scenarios of the matrix at today's vol: futures do not feel the others."""
    vols = outcome.detail("matrix").cells.axes.vol
    return np.asarray([index for index, vol in enumerate(vols) if vol == "same"], dtype=np.int64)


def _perpetual(step: int, outcome: Outcome) -> float:
    """Return what the perpetuals alone gain at a price step, before any fold."""
    resolved = outcome.book.resolved
    legs = resolved.legs
    perpetuals = np.flatnonzero(resolved.contracts.kind[legs.contract] == PERPETUAL)
    gain = outcome.detail("matrix").cells.valuation.gain[:, _unmoved(outcome)[step]]
    return float(np.sum(legs.quantity[perpetuals] * gain[legs.contract[perpetuals]]))


def _aggregated(step: int, outcome: Outcome) -> float:
    pnl = outcome.detail("matrix").pnl
    return float(pnl[0, _unmoved(outcome)[step]]) if pnl.shape[0] else 0.0


_VECTORS: Final = {"perp_vector": _perpetual, "aggregated": _aggregated}
_READ: Final[Mapping[str, Read]] = {
    "worst_case": lambda outcome: outcome.pool.lines["worst_case"].initial,
    "roll_shock": lambda outcome: (
        outcome.pool.lines["roll_perpetual"].initial + outcome.pool.lines["roll_dated"].initial
    ),
    "delta_shock": lambda outcome: outcome.pool.lines["delta_shock"].initial,
    "risk_matrix_margin": lambda outcome: outcome.pool.lines["risk_matrix"].initial,
    "initial_margin": lambda outcome: outcome.pool.initial_margin,
    "maintenance_margin": lambda outcome: outcome.pool.maintenance_margin,
}


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters stand, by key."""
    del index
    stated = document.needed("params")
    out: dict[str, Steps] = {}
    for key in stated:
        if isinstance(stated.value[key], Mapping):
            out |= {f"{key}.{inner}": ("params", key, inner) for inner in stated.needed(key)}
        elif key != "buckets_count":  # a count: one per cent more of it is none
            out[key] = ("params", key)
    return out


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document is a simulated portfolio: parameters by price step, positions, an index."""
    return has_keys(document, "positions", "mark", "index", "expected") and has_keys(
        document.get("params"), "price_range", "buckets_count"
    )


FAMILY: Final = Family("deribit_pme", "simulate", recognises, names, pose, parameters)
