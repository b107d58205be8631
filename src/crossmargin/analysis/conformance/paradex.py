"""Paradex's published scenario grid: rows of a move, a vol shock and a weight.

Each row is one case: a perpetual of price 1 shows the weighted move, an option the shocked vol. The option's strike
is where the row takes the price, and it has 30 days left, where tenor does not change the shock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Rulebooks, Steps
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.analysis.conformance.shocked_vol import vol_shock
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.pricing.black76 import price as black76
from crossmargin.scenarios import PERPETUAL
from crossmargin.units import DAYS_PER_YEAR, exact

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "paradex-portfolio@2026-01-20"
_STABLE: Final = "USDC"
_COIN: Final = "BTC"
_COLUMNS: Final = ("spot", "vol", "weight")
_DAYS: Final = 30
_VOL: Final = 0.8
_NAMED: Final = 1e6  # a larger cell is no move: it is not shown, and refused where it is read


def names(document: Fields) -> list[str]:
    """Return one case for each row, called by what it moves."""
    return [_name(row, index) for index, row in enumerate(document.items("scenarios"))]


def _name(row: object, index: int) -> str:
    cells = row if isinstance(row, list) else []
    told = [f"{cell:+.0%}" for cell in cells[:2] if isinstance(cell, int | float) and abs(cell) < _NAMED]
    return f"scenarios[{index}] {' '.join(told)}".strip()


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one row, on the whole grid of the document."""
    rows = _rows(document)
    spot, vol, weight = rows[index]
    place = f"scenarios[{index}]"
    changes: dict[str, Any] = {"scenarios.all": [_block(*row) for row in rows]}
    if vol:
        changes["shocks.vol_up" if vol > 0 else "shocks.vol_down"] = abs(vol)
    listings = (_perpetual(), _option(1.0 + spot))
    name = names(document)[index]
    return Case(
        name=name,
        account=Account(
            id=name,
            positions=tuple(
                Position(instrument=one.symbol, quantity=exact(1.0), entry_price=exact(1.0)) for one in listings
            ),
        ),
        snapshot=Snapshot(
            as_of=AS_OF,
            reporting_asset="USD",
            assets={_STABLE: AssetQuote(price=1.0), _COIN: AssetQuote(price=1.0)},
            listings={one.symbol: one for one in listings},
        ),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=place),
        figures=(
            Figure("weight", weight, partial(_weight, index)),
            Figure("weighted P&L", spot * weight, partial(_perpetual_gain, index)),
            *((Figure("vol shock", vol, partial(vol_shock, "scan", index)),) if weight else ()),
        ),
        changes=changes,
    )


def _rows(document: Fields) -> list[tuple[float, float, float]]:
    return [_row(row, f"scenarios[{index}]") for index, row in enumerate(document.items("scenarios"))]


def _row(row: object, place: str) -> tuple[float, float, float]:
    if not isinstance(row, list) or len(row) != len(_COLUMNS):
        refuse("a move, a vol shock and a weight", row, place)
    spot, vol, weight = (as_number(cell, f"{place}[{column}]") for column, cell in enumerate(row))
    if not (spot > -1 and vol > -1):
        refuse("a move and a vol shock above -1", row, place)
    return spot, vol, weight if weight >= 0 else refuse("a weight of at least 0", weight, f"{place}[2]")


def _block(spot: float, vol: float, weight: float) -> dict[str, Any]:
    """Return one row as a block of its own; a row's vol law is known by its sign."""
    return {"spot": [spot], "vol": ["up" if vol > 0 else "down" if vol < 0 else "same"], "weight": [weight]}


def _perpetual() -> Listing:
    """Return a perpetual of price 1, so that a move is its gain."""
    return Listing(
        symbol=f"{_COIN}-USD-PERP",
        kind=InstrumentKind.PERPETUAL,
        underlying=_COIN,
        quote_asset=_STABLE,
        settlement_asset=_STABLE,
        mark_price=1.0,
        index_price=1.0,
        funding_rate=0.0,
    )


def _option(strike: float) -> Listing:
    return Listing(
        symbol=f"{_COIN}-USD-{strike!r}-C",
        kind=InstrumentKind.OPTION,
        underlying=_COIN,
        quote_asset=_STABLE,
        settlement_asset=_STABLE,
        expiry=AS_OF + timedelta(days=_DAYS),
        strike=strike,
        option_type=OptionType.CALL,
        mark_price=float(black76(1.0, strike, _VOL, _DAYS / DAYS_PER_YEAR, call=True)),
        index_price=1.0,
        forward_price=1.0,
        mark_iv=_VOL,
    )


def _weight(scenario: int, outcome: Outcome) -> float:
    return float(outcome.detail("scan").cells.weight[0, scenario])


def _perpetual_gain(scenario: int, outcome: Outcome) -> float:
    """Return what the perpetual gains in one scenario, weighted."""
    resolved = outcome.book.resolved
    legs = resolved.legs
    perpetuals = np.flatnonzero(resolved.contracts.kind[legs.contract] == PERPETUAL)
    gain = outcome.detail("scan").cells.valuation.gain[:, scenario]
    return float(np.sum(legs.quantity[perpetuals] * gain[legs.contract[perpetuals]]))


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where a row's three numbers stand; a number of 0 cannot be moved by one per cent."""
    row = _rows(document)[index]
    label = names(document)[index]
    return {f"{label} {column}": ("scenarios", index, place) for place, column in enumerate(_COLUMNS) if row[place]}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document is a list of scenarios of three numbers, with a least charge on delta."""
    rows = document.get("scenarios")
    listed = rows if isinstance(rows, list) else []
    return "min_delta" in document and any(isinstance(row, list) and len(row) == len(_COLUMNS) for row in listed)


FAMILY: Final = Family("paradex_portfolio", "scenarios", recognises, names, pose, parameters)
