"""Derive's portfolio margin, second version: the format of its portfolio and parameter-sweep cases.

The files state margins as what is left: value less requirement. They are compared with the two headrooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.analysis.conformance.case import (
    Case,
    Family,
    Figure,
    Outcome,
    Read,
    Rulebooks,
    Steps,
    any_case,
    case_names,
    has_keys,
)
from crossmargin.analysis.conformance.derive_market import (
    STABLE,
    Desk,
    PerpetualQuote,
    option_quotes,
)
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Confidence
from crossmargin.scenarios import ASSET, OPTION

if TYPE_CHECKING:
    from crossmargin.margin import Rulebook

# Its known defect lets a case state the static discounts at either side of 1.
RULEBOOK: Final = "derive-portfolio@2025-06-09"
COMPONENTS: Final = ("scenarios", "skew_shock", "vol_shock", "margin", "basis_contingency", "other_contingency")
_MARGIN_TOLERANCE: Final = 1e-7
_SCENARIO_TOLERANCE: Final = 1e-6
_VOLS: Final = {"up": "up", "down": "down", "none": "same", "linear": "skew", "abs": "smile"}

# entry of the rulebook: component and key of the case
NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    "shocks.skew_limit": ("skew_shock", "linear_base_cap"),
    "shocks.smile_limit": ("skew_shock", "abs_base_cap"),
    "shocks.skew_base": ("skew_shock", "linear_cbase"),
    "shocks.smile_base": ("skew_shock", "abs_cbase"),
    "shocks.min_kink": ("skew_shock", "min_k_star"),
    "shocks.width": ("skew_shock", "width_scale"),
    "shocks.width_vol": ("skew_shock", "vol_param_static"),
    "shocks.width_slope": ("skew_shock", "vol_param_scale"),
    "shocks.vol_up": ("vol_shock", "vol_range_up"),
    "shocks.vol_down": ("vol_shock", "vol_range_down"),
    "shocks.vol_floor": ("vol_shock", "min_vol_up_shock"),
    "shocks.near_power": ("vol_shock", "short_term_power"),
    "shocks.far_power": ("vol_shock", "long_term_power"),
    "shocks.day_floor": ("vol_shock", "dte_floor_days"),
    "charges.factor.im_factor": ("margin", "im_factor"),
    "charges.factor.mm_factor": ("margin", "mm_factor"),
    "charges.scan.base_long": ("margin", "long_base_static_discount"),
    "charges.scan.base_short": ("margin", "short_base_static_discount"),
    "charges.scan.mult_long": ("margin", "long_rate_mult"),
    "charges.scan.mult_short": ("margin", "short_rate_mult"),
    "charges.scan.add_long": ("margin", "long_rate_add"),
    "charges.scan.add_short": ("margin", "short_rate_add"),
    "charges.basis.add": ("basis_contingency", "add_factor"),
    "charges.basis.mult": ("basis_contingency", "mult_factor"),
    "charges.factor.peg_threshold": ("other_contingency", "peg_loss_threshold"),
    "charges.factor.peg_factor": ("other_contingency", "peg_loss_factor"),
    "parameters.trusted": ("other_contingency", "conf_threshold"),
    "parameters.share": ("other_contingency", "conf_margin"),
    "charges.perpetuals.mm_percent": ("other_contingency", "mm_perp_pct"),
    "charges.perpetuals.im_extra": ("other_contingency", "im_perp_pct"),
    "charges.naked_options.mm_percent": ("other_contingency", "mm_option_pct"),
    "charges.naked_options.im_extra": ("other_contingency", "im_option_pct"),
}


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one case as an account, a market and a rulebook."""
    case = document.objects("cases")[index]
    portfolio = referred(document, case, "portfolio", "portfolio_sets").value
    market = referred(document, case, "market", "market_sets").value
    desk, coins = _desk(portfolio, market)
    name = case_names(document)[index]
    changes = _changes(document, case, portfolio, coins)
    return Case(
        name=name,
        account=desk.account(name),
        snapshot=desk.snapshot(),
        rulebook=_rulebook(rulebooks, changes, case),
        figures=tuple(_figures(document, case, coins.underlying)),
        changes=changes,
    )


def _rulebook(rulebooks: Rulebooks, changes: Mapping[str, object], case: Fields) -> Rulebook:
    return with_values(rulebooks(RULEBOOK), changes, source=case.at("parameters"))


@dataclass(frozen=True, slots=True)
class Referred:
    """A part of a case that may be named and stand elsewhere in the document: its value and where it stands."""

    value: Fields
    steps: Steps


def referred(document: Fields, case: Fields, key: str, table: str) -> Referred:
    """Return the object that a case states under a key, there or by name in a table of the document."""
    stated = case.get(key)
    if isinstance(stated, str):
        return Referred(document.needed(table).needed(stated), (table, stated))
    return Referred(Fields(stated, case.at(key)), (*_steps_of(case), key))


def _steps_of(case: Fields) -> Steps:
    return ("cases", int(case.place.removeprefix("cases[").removesuffix("]")))


def _component(document: Fields, case: Fields, name: str) -> tuple[Fields, str, Steps]:
    """Return where a component of the parameters stands: the object that holds it, its key, the steps to it."""
    parameters = case.needed("parameters")
    stated = parameters.get(name)
    if isinstance(stated, str):
        return document.needed("parameter_sets"), stated, ("parameter_sets", stated)
    return parameters, name, (*_steps_of(case), "parameters", name)


@dataclass(frozen=True, slots=True)
class _Coins:
    """The manager's underlying, the coins whose price risk cancels, and each collateral's name in the account."""

    underlying: str
    cancelling: tuple[str, ...]
    names: tuple[str, ...]


def _desk(portfolio: Fields, market: Fields) -> tuple[Desk, _Coins]:
    desk = Desk()
    spot = market.number("spot")
    desk.assets[STABLE] = AssetQuote(price=market.number("stable_price"))
    desk.hold(STABLE, portfolio.number("cash", 0.0))
    coins = _collaterals(desk, portfolio, spot, market.number("spot_confidence", 1.0))
    held = portfolio.number("perp_position", 0.0)
    gain, funding = (portfolio.number(f"perp_unrealised_{part}", 0.0) for part in ("pnl", "funding"))
    trust = Confidence(spot=market.number("spot_confidence", 1.0), perpetual=market.number("perp_confidence", 1.0))
    mark = market.number("perp_price") if held else spot
    desk.perpetual(PerpetualQuote(coins.underlying, mark, spot, trust), held, gain, funding)
    quotes = option_quotes(market, coins.underlying, held=bool(held))
    for option in portfolio.objects("options"):
        seconds = option.number("expiry_secs")
        if seconds not in quotes:
            refuse("an expiry of market.expiries", seconds, option.at("expiry_secs"))
        desk.option(option, quotes[seconds])
    return desk, coins


def _collaterals(desk: Desk, portfolio: Fields, spot: float, spot_confidence: float) -> _Coins:
    rows = portfolio.objects("collaterals")
    own = [row.text("name") for row in rows if row.flag("risk_cancelling") and row.number("price") == spot]
    underlying = own[0] if own else desk.name("UNDERLYING")
    names = []
    cancelling = []
    for row in rows:
        first = row.text("name") == underlying and underlying not in desk.assets
        name = underlying if first else desk.name(row.text("name"))
        names.append(name)
        wraps = None
        if row.flag("risk_cancelling"):
            cancelling.append(name)
            wraps = None if name == underlying else underlying
        trust = min(row.number("confidence", 1.0), spot_confidence)
        desk.assets[name] = AssetQuote(price=row.number("price"), wraps=wraps, confidence=trust)
        desk.hold(name, row.number("amount"))
    desk.assets.setdefault(underlying, AssetQuote(price=spot))
    return _Coins(underlying, tuple(cancelling), tuple(names))


def _changes(document: Fields, case: Fields, portfolio: Fields, coins: _Coins) -> dict[str, object]:
    values: dict[str, Any] = {}
    for entry, (component, key) in NUMBERS.items():
        holder, name, _ = _component(document, case, component)
        values[entry] = holder.needed(name).number(key)
    holder, name, _ = _component(document, case, "scenarios")
    values["scenarios.all"] = _blocks(holder.objects(name))
    holder, name, _ = _component(document, case, "basis_contingency")
    basis = holder.needed(name)
    moves = [basis.number("spot_up") - 1.0, basis.number("spot_down") - 1.0]
    values["scenarios.forward"] = [{"spot": moves, "vol": ["same"]}]
    values["tags.hedging.assets"] = [coins.underlying, *(n for n in coins.cancelling if n != coins.underlying)]
    rows = list(zip(coins.names, portfolio.objects("collaterals"), strict=True))
    for entry, key in (("mm_haircut", "mm_haircut"), ("im_extra", "im_haircut_extra")):
        shares = {name: row.number(key) for name, row in rows}
        values[f"charges.haircuts.{entry}"] = {"by": "asset", **shares, "default": 0}
    return values


def _blocks(rows: list[Fields]) -> list[dict[str, Any]]:
    """Return the scenarios in the case's order; after them a weightless one for each vol shock that it leaves out.

    The rulebook refuses a shocked vol that no scenario uses, and a scenario without weight gains and loses nothing.
    """
    blocks = [_block(row) for row in rows]
    used = {block["vol"][0] for block in blocks}
    left_out = [vol for vol in _VOLS.values() if vol not in used]
    return [*blocks, *({"spot": [0.0], "vol": [vol], "weight": [0.0]} for vol in left_out)]


def _block(row: Fields) -> dict[str, Any]:
    vol = row.text("vol_shock").lower()
    if vol not in _VOLS:
        refuse(f"one of {', '.join(_VOLS)}", vol, row.at("vol_shock"))
    block: dict[str, Any] = {"spot": [row.number("spot_shock") - 1.0], "vol": [_VOLS[vol]]}
    block["weight"] = [row.number("dampening", 1.0)]
    if _VOLS[vol] in {"skew", "smile"}:
        if block["spot"] != [0.0]:
            refuse("1 where the vol shock is a skew", row.get("spot_shock"), row.at("spot_shock"))
        block["fold"] = {"expiry": {"gain": -1, "loss": 1}}
    return block


def _figures(document: Fields, case: Fields, underlying: str) -> list[Figure]:
    expected, tolerance = case.needed("expected"), case.object("tolerance")
    within = tolerance.number("IM_MM_mtm_rel", _MARGIN_TOLERANCE)
    out = [Figure(name, expected.number(name), read, within) for name, read in _READ.items() if name in expected]
    each = tolerance.number("scenario_pnl_rel", _SCENARIO_TOLERANCE)
    gains = expected.numbers("scenario_pnl")
    holder, name, _ = _component(document, case, "scenarios")
    if gains and len(gains) != len(holder.items(name)):
        refuse(f"{len(holder.items(name))} numbers, one for each scenario", len(gains), expected.at("scenario_pnl"))
    for index, pnl in enumerate(gains):
        out.append(Figure(f"scenario_pnl[{index}]", pnl, partial(_scenario, underlying, index), each))
    if not out:
        refuse("a figure to compare", expected.value, expected.place)
    return out


def _scenario(underlying: str, index: int, outcome: Outcome) -> float:
    return outcome.scenario_pnl("scan", underlying, index)


def _marked(kind: int, outcome: Outcome) -> float:
    """Return the mark value of all legs of a kind, the stable coin's balance left out."""
    book = outcome.book
    contract = book.resolved.legs.contract
    chosen = (book.resolved.contracts.kind[contract] == kind) & ~book.evaluation.measures.word("cash")
    return float(np.sum(np.asarray(book.evaluation.measures["mark_value"])[chosen]))


def _oracle(outcome: Outcome) -> float:
    lines = outcome.report.lines
    return -(lines["oracle"].initial + lines["coins_oracle"].initial)


_READ: Final[Mapping[str, Read]] = {
    "IM": lambda outcome: outcome.report.available_margin,
    "MM": lambda outcome: outcome.report.maintenance_headroom,
    "portfolio_mtm": lambda outcome: outcome.report.equity,
    "option_mtm": partial(_marked, OPTION),
    "collateral_mtm": partial(_marked, ASSET),
    "basis_contingency": lambda outcome: -outcome.report.lines["basis"].initial,
    "oracle_contingency": _oracle,
    "im_loss_factor": lambda outcome: outcome.report.lines["factor"].initial,
}


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters of a case stand, by component and key."""
    case = document.objects("cases")[index]
    out: dict[str, Steps] = {}
    for component in COMPONENTS:
        holder, name, steps = _component(document, case, component)
        if component != "scenarios":
            out |= {f"{component}.{key}": (*steps, key) for key in holder.needed(name)}
            continue
        for row, scenario in enumerate(holder.objects(name)):
            label = f"scenarios[{scenario.number('spot_shock'):g} {scenario.text('vol_shock')}]"
            out[f"{label}.dampening"] = (*steps, row, "dampening")
            if scenario.text("vol_shock").lower() not in {"linear", "abs"}:  # a skew's move must be none
                out[f"{label}.spot_shock"] = (*steps, row, "spot_shock")
    portfolio = referred(document, case, "portfolio", "portfolio_sets")
    for row, collateral in enumerate(portfolio.value.objects("collaterals")):
        for key in ("mm_haircut", "im_haircut_extra"):
            out[f"{key}[{collateral.text('name')}]"] = (*portfolio.steps, "collaterals", row, key)
    return out


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds cases whose parameters have skew shocks and scenarios."""
    return any_case(document, lambda case: has_keys(case.get("parameters"), "scenarios", "skew_shock"))


FAMILY: Final = Family("derive_pmrm2", "portfolio_margin", recognises, case_names, pose, parameters)
