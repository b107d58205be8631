"""Drift v2: the formats of its cases on weights by size and on the margin of an account.

Weights and ratios are integers of 0.0001, an account's figures dollars.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import (
    FULL_PRECISION,
    Case,
    Family,
    Figure,
    Rulebooks,
    Steps,
    case_names,
    holds_kind,
    of_kind,
)
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.drift_account import account_parameters, pose_account
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.quote_positions import DOLLAR, DUST, above_zero, amount
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from crossmargin.analysis.conformance.case import Outcome
    from crossmargin.margin import Rulebook

RULEBOOK: Final = "drift-v2@2026-01-20"
TYPES: Final = {"Initial": "initial", "Maintenance": "maintenance", "Fill": "fill"}
_TICK: Final = 1e4
_IMF: Final = 1e6
_BASE: Final = 1e9
_DECIMALS: Final = range(19)
_COIN: Final = "COIN"
_PERPETUAL: Final = "COIN-PERP"
_QUOTE: Final = "USDC"
_SIDES: Final = ("asset", "liability")
_RATIOS: Final = {
    "parameters.initial_ratio": "initial",
    "parameters.maintenance_ratio": "maintenance",
    "parameters.high_initial_ratio": "hlm_initial",
    "parameters.high_maintenance_ratio": "hlm_maintenance",
}


def requirement_of(stated: Fields) -> str:
    """Return the requirement of a case's margin type."""
    found = stated.text("type", "Initial")
    return TYPES[found] if found in TYPES else refuse(" or ".join(TYPES), found, stated.at("type"))


def pose_spot_weight(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a token's weight by size as the weight of one deposit, or of one borrow."""
    case = document.objects("cases")[index]
    stated = case.needed("input")
    side = stated.text("side")
    if side not in _SIDES:
        refuse(" or ".join(_SIDES), side, stated.at("side"))
    decimals = amount(stated, "decimals")
    if decimals not in _DECIMALS:
        refuse("a number of decimals", decimals, stated.at("decimals"))
    tokens = exact(amount(stated, "size_native")).scaleb(-int(decimals))
    weights = {name: amount(stated, f"{name}_weight") / _TICK for name in ("initial", "maintenance")}
    changes = {f"parameters.{name}_{side}": _keyed(weights[name]) for name in weights}
    other = _SIDES[side == "asset"]
    changes |= {f"parameters.{name}_{other}": _keyed(1.0) for name in weights}
    changes["parameters.spot_imf"] = _keyed(amount(stated, "imf_factor") / _IMF)
    sign = 1 if side == "asset" else -1
    account = Account(id=case_names(document)[index], balances={_COIN: sign * max(tokens, DUST)})
    market = _market(AssetQuote(price=1.0))
    return _weight(case, account, market, changes, requirement_of(stated), rulebooks(RULEBOOK))


def pose_scaled_weight(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a token's weight by its market's deposits as the weight of one small deposit."""
    case = document.objects("cases")[index]
    stated = case.needed("input")
    weight = _keyed(amount(stated, "initial_weight") / _TICK)
    changes: dict[str, Any] = {
        **{f"parameters.{name}_asset": weight for name in ("initial", "maintenance")},
        **{f"parameters.{name}_liability": _keyed(1.0) for name in ("initial", "maintenance")},
        "parameters.spot_imf": _keyed(0.0),
        "parameters.scale_start": {**_keyed(amount(stated, "scale_start_quote")), "default": 0},
    }
    account = Account(id=case_names(document)[index], balances={_COIN: DUST})
    price = above_zero(stated, "oracle_price")
    market = _market(AssetQuote(price=price, deposits=amount(stated, "deposits_tokens")))
    return _weight(case, account, market, changes, requirement_of(stated), rulebooks(RULEBOOK))


def _keyed(number: float) -> dict[str, Any]:
    return {"by": "bucket", _COIN: number}


def _market(token: AssetQuote, *listings: Listing) -> Snapshot:
    return Snapshot(
        as_of=AS_OF,
        reporting_asset=DOLLAR,
        assets={_COIN: token, _QUOTE: AssetQuote(price=1.0)},
        listings={one.symbol: one for one in listings},
    )


def _weight(
    case: Fields, account: Account, market: Snapshot, changes: dict[str, Any], requirement: str, rulebook: Rulebook
) -> Case:
    read = partial(_line_in_ticks, "spot_weight", requirement)
    figure = Figure("weight", amount(case.needed("expected"), "weight"), read, _tolerance(case))
    return Case(account.id, account, market, with_values(rulebook, changes, source=case.place), (figure,), changes)


def _tolerance(case: Fields) -> float:
    return amount(case, "tolerance", FULL_PRECISION)


def _line_in_ticks(line: str, requirement: str, outcome: Outcome) -> float:
    return _TICK * float(outcome.book.evaluation.line_total(line, requirement)[0])


def pose_perpetual_ratio(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a perpetual's margin ratio by size as the ratio of one long position."""
    case = document.objects("cases")[index]
    stated = case.needed("input")
    changes: dict[str, Any] = {entry: _keyed(amount(stated, key, 0.0) / _TICK) for entry, key in _RATIOS.items()}
    changes["parameters.perpetual_imf"] = _keyed(amount(stated, "imf_factor") / _IMF)
    contract = Listing(
        symbol=_PERPETUAL,
        kind=InstrumentKind.PERPETUAL,
        underlying=_COIN,
        quote_asset=_QUOTE,
        settlement_asset=_QUOTE,
        mark_price=1.0,
        index_price=1.0,
    )
    base: Decimal = max(exact(amount(stated, "size_base_1e9")) / exact(_BASE), DUST)
    high = "high_leverage_user" in stated and stated.flag("high_leverage_user")
    account = Account(
        id=case_names(document)[index],
        class_="high_leverage" if high else None,
        positions=(Position(instrument=_PERPETUAL, quantity=base, entry_price=exact(1.0)),),
    )
    read = partial(_line_in_ticks, "perpetual_ratio", requirement_of(stated))
    figure = Figure("ratio", amount(case.needed("expected"), "ratio"), read, _tolerance(case))
    rulebook = with_values(rulebooks(RULEBOOK), changes, source=case.place)
    return Case(account.id, account, _market(AssetQuote(price=1.0), contract), rulebook, (figure,), changes)


def pose_margin(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return an account's margin as it stands."""
    case = document.objects("cases")[index]
    requirement = requirement_of(case.needed("input"))
    return pose_account(case, case_names(document)[index], requirement, rulebooks(RULEBOOK), _tolerance(case))


def _named(*keys: str) -> Callable[[Fields, int], dict[str, Steps]]:
    """Return what lists these keys of a case's input, where they are stated."""

    def parameters(document: Fields, index: int) -> dict[str, Steps]:
        stated = document.objects("cases")[index].needed("input")
        return {key: ("cases", index, "input", key) for key in keys if key in stated}

    return parameters


def _family(kind: str, keys: tuple[str, ...], pose: Any, parameters: Any) -> Family:  # noqa: ANN401 - as Family says
    return Family("drift_v2", kind, holds_kind(kind, keys=keys), case_names, pose, parameters, of_kind(kind))


FAMILIES: Final[tuple[Family, ...]] = (
    _family(
        "spot_weight",
        ("side", "size_native"),
        pose_spot_weight,
        _named("initial_weight", "maintenance_weight", "imf_factor"),
    ),
    _family(
        "deposit_cap_scaled_weight",
        ("deposits_tokens", "scale_start_quote"),
        pose_scaled_weight,
        _named("initial_weight", "scale_start_quote"),
    ),
    _family(
        "perp_margin_ratio",
        ("size_base_1e9",),
        pose_perpetual_ratio,
        _named(*_RATIOS.values(), "imf_factor"),
    ),
    _family("account_margin", ("quote", "spot", "perps"), pose_margin, account_parameters),
)
