"""What a venue reported, in what ccxt returns: unified fields of positions, and the raw answers under `info`.

`fetch_balance` keeps the venue's own answer under `info`; where it is one that is known, the account's figures are read
from it. A position's margins are taken from the unified fields, and from its raw `info` where those are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from crossmargin.sources.ccxt_shapes import Shape, mapping, real, records, text
from crossmargin.sources.messages import refuse
from crossmargin.sources.reported_binance import is_binance, reported_from_binance
from crossmargin.sources.reported_deribit import is_deribit, reported_from_deribit
from crossmargin.sources.reported_fields import Reported
from crossmargin.sources.reported_okx import is_okx, reported_from_okx

Reader: TypeAlias = tuple[Callable[[object], bool], Callable[[object, str], Reported]]

VENUES: Final[Mapping[str, Reader]] = {
    "okx": (is_okx, reported_from_okx),
    "binance": (is_binance, reported_from_binance),
    "deribit": (is_deribit, reported_from_deribit),
}
_UNIFIED: Final = {
    "notional": "notional",
    "liquidationPrice": "liquidation_price",
    "maintenanceMargin": "maintenance_margin",
    "initialMargin": "initial_margin",
    "marginRatio": "margin_ratio",
    "unrealizedPnl": "unrealized_pnl",
    "markPrice": "mark_price",
}
# a position's margins as venues name them in the raw answer
_RAW: Final = {
    "initial_margin": ("initialMargin", "initial_margin", "imr", "positionIM", "positionInitialMargin"),
    "maintenance_margin": ("maintMargin", "maintenance_margin", "mmr", "positionMM"),
    "liquidation_price": ("estimated_liquidation_price", "liqPx", "liqPrice", "liquidationPrice"),
    "mark_price": ("markPx", "mark_price", "markPrice"),
}
_ASIDE: Final = frozenset({"source", "positions"})  # of a balance: positions are those of the list


def is_ccxt(document: object) -> bool:
    """Return whether a document is an object of what fetch_balance and fetch_positions returned."""
    return (
        isinstance(document, Mapping) and "accounts" not in document and bool({"balance", "positions"} & set(document))
    )


def reported_from_ccxt(document: object, name: str, instruments: Collection[str] = ()) -> Reported:
    """Return the `reported` block of such an object.

    Parameters
    ----------
    instruments
        Names in use: a position bears the first of its unified symbol and the venue's own ids that is among them.
    """
    if not isinstance(document, Mapping):
        refuse("expected an object {...} with `balance`, `positions` or both", f"{name}: $")
    found = from_balance(mapping(document, "balance"), name)
    held = [shape for shape in records(document.get("positions")) if real(shape, "contracts") != 0.0]
    positions = [position(shape, _name(shape, instruments)) for shape in held]
    return {"source": "ccxt", "exchange": text(document, "exchange"), **found, "positions": positions}


def from_balance(balance: Shape, name: str) -> Reported:
    """Return the account's figures in the raw answer of what fetch_balance returned; none where it is not known."""
    info = balance.get("info")
    for recognises, read in VENUES.values():
        if recognises(info):
            return {key: value for key, value in read(info, f"{name}: balance.info").items() if key not in _ASIDE}
    return {}


def position(shape: Shape, instrument: str) -> Reported:
    """Return what is reported of one position."""
    figures: dict[str, Any] = {ours: real(shape, theirs) for theirs, ours in _UNIFIED.items()}
    raw = mapping(shape, "info")
    for ours, theirs in _RAW.items():
        if figures.get(ours) is None:
            figures[ours] = real(raw, *theirs)
    present = {key: value for key, value in figures.items() if value is not None}
    if not present.get("liquidation_price", 1.0):
        del present["liquidation_price"]  # venues write 0 where there is none
    return {"instrument": instrument, "side": text(shape, "side"), **present}


def _name(shape: Shape, instruments: Collection[str]) -> str:
    raw = mapping(shape, "info")
    ids = [text(shape, "symbol"), *(text(raw, key) for key in ("instrument_name", "instId", "symbol", "coin"))]
    names = [name for name in ids if name]
    return next((name for name in names if name in instruments), names[0] if names else "")
