"""Drift v2: how much of a position or debt a liquidator takes, what fees are left, and what a bankruptcy costs others.

The cases state a shortage and weights, not an account: the lines of the rulebook's procedure are evaluated over them.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.analysis.conformance.case import ProcedureFamily, Run, case_names, of_kind
from crossmargin.analysis.conformance.linear_market import decimal_at, stated
from crossmargin.analysis.conformance.procedure_lines import evaluated, line_run
from crossmargin.margin import with_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Amount, Rulebooks
    from crossmargin.analysis.conformance.fields import Fields

RULEBOOK: Final = "drift-v2@2026-01-20"
_TO_THE_UNIT: Final = 0.0

# kind: the line, the figure that the case expects, and how many units of it make one
_LINES: Final[Mapping[str, tuple[str, str, int]]] = {
    "base_to_cover_shortage": ("perp_quantity", "base_1e9", 10**9),
    "liability_to_cover_shortage": ("token_quantity", "liability_native", 10**9),
    "liability_implied_by_asset": ("implied", "liability_native", 10**9),
    "asset_for_liability": ("per_unit", "asset_native", 10**6),
    "bankruptcy_funding_delta": ("funding_delta", "cumulative_funding_rate_delta_1e9", 10**9),
    "bankruptcy_deposit_index_delta": ("index_delta", "index_delta", 10**10),
    "perp_if_fee": ("perp_fund_fee", "fee_1e6", 10**6),
    "spot_if_fee": ("token_fund_fee", "fee_1e6", 10**6),
    "time_ramped_liquidation_fee": ("liquidation_fee", "fee_1e6", 10**6),
    "max_pct_to_liquidate": ("share", "pct_1e4", 10**4),
}

# what the case calls what a line reads
_NAMES: Final[Mapping[str, str]] = {
    "margin_shortage": "shortage",
    "margin_ratio": "ratio",
    "liquidation_fee": "liquidation_fee",
    "liquidator_fee": "liquidation_fee",
    "if_fee": "fund_fee",
    "oracle_price": "price",
    "quote_price": "settle_price",
    "asset_weight": "given_weight",
    "liability_weight": "owed_weight",
    "asset_multiplier": "collateral_asset_multiplier",
    "liability_multiplier": "debt_liability_multiplier",
    "liability_price": "debt_price",
    "asset_price": "collateral_price",
    "asset_amount": "collateral_quantity",
    "base": "contracts_held",
    "token_amount": "moved_quantity",
    "max_if_fee": "fund_fee",
    "loss": "lost",
    "deposits": "deposit_total",
    "slots_elapsed": "slots",
    "grace_slots": "grace",
    "small_shortage_threshold": "small_shortage",
}
_IN_MILLIONTHS: Final = {"base_fee_1e6": "base_fee", "max_fee_1e6": "most_fee", "increase_per_slot_1e6": "per_slot"}


def pose(kind: str, document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return one case of a line."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    line, figure, scale = _LINES[kind]
    rulebook = rulebooks(RULEBOOK)
    told = _told(case.needed("input"))
    own = rulebook.procedure.liquidation.parameters
    changes: dict[str, Any] = {
        f"liquidation.parameters.{key}": float(value) for key, value in told.items() if key in own
    }
    rulebook = with_values(rulebook, changes, source=case.at("input"))
    expected = stated(case.needed("expected"), figure)

    def read(_: str) -> Amount:
        return evaluated(rulebook, line, told, exactly=True) * _amount(case, scale)

    return line_run(name, {figure: (expected, _TO_THE_UNIT)}, partial(_cut, read))


def _amount(case: Fields, scale: int) -> Amount:
    """Return the units of one of what is asked: of an asset for a stated debt, as many times that debt."""
    given = case.needed("input")
    return _fraction(given, "liability_amount") * scale if "liability_amount" in given else scale


def _cut(read: Callable[[str], Amount], key: str) -> int:
    """Return whole units, as the chain holds them: what is left of one is cut off."""
    return int(read(key))


def _told(given: Fields) -> dict[str, Amount]:
    """Return what the lines read, in fractions of what the case states."""
    found: dict[str, Amount] = {}
    for key in given:
        if key in _NAMES:
            found[_NAMES[key]] = _fraction(given, key)
        elif key in _IN_MILLIONTHS:
            found[_IN_MILLIONTHS[key]] = _fraction(given, key) / 10**6
    if "base_long" in given:
        found["base_total"] = abs(_fraction(given, "base_long")) + abs(_fraction(given, "base_short"))
    if "deposit_index_1e10" in given:
        found["deposit_index"] = _fraction(given, "deposit_index_1e10") / 10**10
    return found


def _fraction(given: Fields, key: str) -> Fraction:
    return Fraction(decimal_at(given, key))


FAMILIES: Final = tuple(ProcedureFamily("drift_v2", kind, of_kind(kind), partial(pose, kind)) for kind in _LINES)
