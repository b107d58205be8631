"""Derive's portfolio margin, first version: the format of its cases with one underlying and its own coin.

The file states margins as what is left, in full precision or cut to the integer toward zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from crossmargin.analysis.conformance.case import (
    Case,
    Family,
    Figure,
    Read,
    Rulebooks,
    Steps,
    any_case,
    case_names,
    has_keys,
)
from crossmargin.analysis.conformance.derive_market import STABLE, Desk, PerpetualQuote, option_quotes
from crossmargin.analysis.conformance.derive_pm2 import referred
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Confidence

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "derive-portfolio-1@2024-01-01"
UNDERLYING: Final = "ETH"
"""The cases do not name the underlying; any coin that the rulebook knows serves."""
_TRUNCATED: Final = "_trunc"
_VOLS: Final = {"up": "up", "down": "down", "none": "same"}

# entry of the rulebook: component and key of the case
NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    "shocks.vol_up": ("vol_shock", "vol_range_up"),
    "shocks.vol_down": ("vol_shock", "vol_range_down"),
    "shocks.near_power": ("vol_shock", "short_term_power"),
    "shocks.far_power": ("vol_shock", "long_term_power"),
    "shocks.day_floor": ("vol_shock", "dte_floor_days"),
    "charges.factor.im_factor": ("margin", "im_factor"),
    "charges.scan.base_long": ("margin", "base_static_discount"),
    "charges.scan.mult_long": ("margin", "rate_mult"),
    "charges.scan.add_long": ("margin", "rate_add"),
    "charges.basis.add": ("basis_contingency", "add_factor"),
    "charges.basis.mult": ("basis_contingency", "mult_factor"),
    "charges.factor.peg_threshold": ("other_contingency", "peg_loss_threshold"),
    "charges.factor.peg_factor": ("other_contingency", "peg_loss_factor"),
    "parameters.trusted": ("other_contingency", "conf_threshold"),
    "parameters.share": ("other_contingency", "conf_margin"),
    "charges.perpetuals.percent": ("other_contingency", "perp_pct"),
    "charges.naked_options.percent": ("other_contingency", "option_pct"),
}
_COIN_SHARE: Final = ("other_contingency", "base_pct")
_MOVES: Final = ("spot_up", "spot_down")


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one case as an account, a market and a rulebook."""
    case = document.objects("cases")[index]
    name = case_names(document)[index]
    desk = desk_of(case.needed("portfolio"), case.needed("market"))
    changes = changes_of(referred(document, case, "parameters", "parameter_sets").value)
    return Case(
        name=name,
        account=desk.account(name),
        snapshot=desk.snapshot(),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=case.at("parameters")),
        figures=tuple(_figures(case)),
        changes=changes,
    )


def desk_of(portfolio: Fields, market: Fields) -> Desk:
    """Return what a portfolio holds, and its market."""
    desk = Desk()
    spot, held = market.number("spot"), portfolio.number("perp_position", 0.0)
    sure = market.number("spot_confidence", 1.0)
    trust = Confidence(spot=sure, perpetual=market.number("perp_confidence", 1.0))
    desk.assets[STABLE] = AssetQuote(price=market.number("stable_price"))
    # where a perpetual is held the lesser of the two confidences is the coin's too
    desk.assets[UNDERLYING] = AssetQuote(price=spot, confidence=min(sure, trust.perpetual) if held else sure)
    desk.hold(STABLE, portfolio.number("cash", 0.0))
    coins = portfolio.number("base_position", 0.0)
    if coins < 0:
        refuse("0 or more coins", coins, portfolio.at("base_position"))
    desk.hold(UNDERLYING, coins)
    gain, funding = (portfolio.number(f"perp_unrealised_{part}", 0.0) for part in ("pnl", "funding"))
    mark = market.number("perp_price") if held else spot
    desk.perpetual(PerpetualQuote(UNDERLYING, mark, spot, trust), held, gain, funding)
    quotes = option_quotes(market, UNDERLYING, held=bool(held), discounted=False)
    for option in portfolio.objects("options"):
        seconds = option.number("expiry_secs")
        if seconds not in quotes:
            refuse("an expiry of market.expiries", seconds, option.at("expiry_secs"))
        desk.option(option, quotes[seconds])
    return desk


def changes_of(parameters: Fields) -> dict[str, object]:
    """Return the rulebook's entries that a set of parameters replaces."""
    values: dict[str, Any] = {
        entry: parameters.needed(component).number(key) for entry, (component, key) in NUMBERS.items()
    }
    component, key = _COIN_SHARE
    values["charges.coins.percent"] = {
        "by": "asset",
        UNDERLYING: parameters.needed(component).number(key),
        "default": 0,
    }
    values["scenarios.all"] = _blocks(parameters.objects("scenarios"))
    basis = parameters.needed("basis_contingency")
    moves = [basis.number(key) - 1.0 for key in _MOVES]
    values["scenarios.forward"] = [{"spot": moves, "vol": ["same"]}]
    return values


def _blocks(rows: list[Fields]) -> list[dict[str, Any]]:
    """Return the case's scenarios, and a weightless one for each vol shock that it leaves out (none may be unused)."""
    blocks: list[dict[str, Any]] = [{"spot": [row.number("spot_shock") - 1.0], "vol": [_vol(row)]} for row in rows]
    used = {block["vol"][0] for block in blocks}
    return [*blocks, *({"spot": [0.0], "vol": [vol], "weight": [0.0]} for vol in _VOLS.values() if vol not in used)]


def _vol(row: Fields) -> str:
    name = row.text("vol_shock")
    if name.lower() not in _VOLS:
        refuse(f"one of {', '.join(_VOLS)}", name, row.at("vol_shock"))
    return _VOLS[name.lower()]


def _figures(case: Fields) -> list[Figure]:
    expected = case.needed("expected")
    out = []
    for name, read in _READ.items():
        if name in expected:
            out.append(Figure(name, expected.number(name), read))
        cut = f"{name}{_TRUNCATED}"
        if cut in expected:
            out.append(Figure(cut, expected.number(cut), read, truncated=True))
    if not out:
        refuse("a figure to compare", expected.value, expected.place)
    return out


def _shares(outcome: Outcome) -> float:
    lines = outcome.report.lines
    return sum(lines[name].maintenance for name in ("perpetuals", "naked_options", "coins"))


_READ: Final[Mapping[str, Read]] = {
    "IM": lambda outcome: outcome.report.available_margin,
    "MM": lambda outcome: outcome.report.maintenance_headroom,
    "portfolio_mtm_incl_cash": lambda outcome: outcome.report.equity,
    "forward_contingency": lambda outcome: -outcome.report.lines["basis"].initial,
    "static_contingency": _shares,
}


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters of a case stand, by component and key."""
    found = referred(document, document.objects("cases")[index], "parameters", "parameter_sets")
    places = [*NUMBERS.values(), _COIN_SHARE, *(("basis_contingency", key) for key in _MOVES)]
    out: dict[str, Steps] = {".".join(place): (*found.steps, *place) for place in places}
    for row, scenario in enumerate(found.value.objects("scenarios")):
        label = f"scenarios[{scenario.number('spot_shock'):g} {scenario.text('vol_shock')}]"
        out[f"{label}.spot_shock"] = (*found.steps, "scenarios", row, "spot_shock")
    return out


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds cases whose portfolios have a position in the base coin."""
    return any_case(document, lambda case: has_keys(case.get("portfolio"), "base_position", "perp_position"))


FAMILY: Final = Family("derive_pmrm1", "portfolio_margin", recognises, case_names, pose, parameters)
FAMILIES: Final[tuple[Family, ...]] = (FAMILY,)
