"""Derive's standard margin: the format of its rule-based cases over several underlyings.

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
from crossmargin.analysis.conformance.derive_market import (
    STABLE,
    Desk,
    OptionQuote,
    PerpetualQuote,
    read_forward,
)
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Confidence

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "derive-standard@2024-06-12"
_TRUNCATED: Final = "_trunc"

# entry of the rulebook, by underlying: where a market of the case states it
BY_MARKET: Final[Mapping[str, tuple[str, ...]]] = {
    "parameters.max_spot": ("option", "max_spot"),
    "parameters.min_spot": ("option", "min_spot"),
    "parameters.mm_call_spot": ("option", "mm_call_spot"),
    "parameters.mm_put_spot": ("option", "mm_put_spot"),
    "parameters.mm_put_mark": ("option", "mm_put_mtm"),
    "parameters.offset_scale": ("option", "mm_offset_scale"),
    "charges.uncovered.scale.initial": ("option", "unpaired_im_scale"),
    "charges.uncovered.scale.maintenance": ("option", "unpaired_mm_scale"),
    "parameters.perpetual_threshold": ("oracle", "perp_threshold"),
    "parameters.option_threshold": ("oracle", "option_threshold"),
    "parameters.base_threshold": ("oracle", "base_threshold"),
    "parameters.oracle_factor": ("oracle", "factor"),
    "charges.perpetuals.percent.maintenance": ("perp_mm",),
    "charges.perpetuals.percent.initial": ("perp_im",),
    "charges.haircuts.base_factor": ("base_margin_factor",),
    "charges.haircuts.initial_scale": ("base_im_scale",),
}
_BY_ASSET: Final = ("charges.haircuts.base_factor", "charges.haircuts.initial_scale")
_WITHOUT_MARKET: Final = {"charges.haircuts.base_factor": 0, "charges.haircuts.initial_scale": 1}


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one case as an account, a market and a rulebook."""
    case = document.objects("cases")[index]
    name = case_names(document)[index]
    desk = _desk(case.needed("portfolio"), case.needed("market"))
    changes = _changes(_parameter_set(document, case))
    return Case(
        name=name,
        account=desk.account(name),
        snapshot=desk.snapshot(),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=case.at("parameters")),
        figures=tuple(_figures(case)),
        changes=changes,
    )


def _parameter_set(document: Fields, case: Fields) -> Fields:
    stated = case.get("parameters")
    if isinstance(stated, str):
        return document.needed("parameter_sets").needed(stated)
    return case.needed("parameters")


def _desk(portfolio: Fields, market: Fields) -> Desk:
    desk = Desk()
    desk.assets[STABLE] = AssetQuote(price=market.number("stable_price"))
    desk.hold(STABLE, portfolio.number("cash", 0.0))
    underlyings = market.needed("underlyings")
    for underlying in underlyings:
        quote = underlyings.needed(underlying)
        trust = quote.number("spot_confidence", 1.0)
        desk.assets[underlying] = AssetQuote(price=quote.number("spot"), confidence=trust)
    bases = portfolio.object("bases")
    for base in bases:
        underlyings.needed(base)  # a coin needs its market
        desk.hold(base, bases.number(base))
    perpetuals = portfolio.object("perps")
    for underlying in perpetuals:
        _perpetual(desk, underlying, perpetuals.needed(underlying), underlyings.needed(underlying))
    for option in portfolio.objects("options"):
        _option(desk, option, underlyings.needed(option.text("underlying")))
    return desk


def _perpetual(desk: Desk, underlying: str, held: Fields, quote: Fields) -> None:
    trust = Confidence(spot=quote.number("spot_confidence", 1.0), perpetual=quote.number("perp_confidence", 1.0))
    quantity, mark = held.number("position"), quote.number("perp_price")
    entry = held.number("entry_price", mark)
    gain = quantity * (mark - entry)
    indices = held.number("funding_index_global", 0.0) - held.number("funding_index_account", 0.0)
    total = held.number("unrealised_pnl_plus_funding", gain - quantity * indices)
    desk.perpetual(PerpetualQuote(underlying, mark, quote.number("spot"), trust), quantity, gain, total - gain)


def _option(desk: Desk, option: Fields, quote: Fields) -> None:
    seconds = option.number("expiry_secs")
    expiries = quote.object("expiries")
    found = [key for key in expiries if _seconds(key, expiries) == seconds]
    if not found:
        refuse(f"an expiry of {expiries.place}", seconds, option.at("expiry_secs"))
    expiry = expiries.needed(found[0])
    forward, fixed = read_forward(expiry, seconds)
    trust = Confidence(
        spot=quote.number("spot_confidence", 1.0),
        forward=expiry.number("forward_confidence", 1.0),
        vol=expiry.number("vol_confidence", 1.0),
    )
    # the standard manager does not discount: no rate
    desk.option(option, OptionQuote(option.text("underlying"), quote.number("spot"), forward, fixed, 0.0, trust))


def _seconds(key: str, expiries: Fields) -> float:
    try:
        return as_number(float(key), expiries.at(key))
    except ValueError:
        refuse("seconds to expiry as the key", key, expiries.place)


def _changes(parameters: Fields) -> dict[str, object]:
    markets = parameters.needed("markets")
    out: dict[str, Any] = {}
    for entry, steps in BY_MARKET.items():
        table = {market: _number(markets.needed(market), steps) for market in markets}
        by = "asset" if entry in _BY_ASSET else "bucket"
        out[entry] = {"by": by, **table}
        if entry in _WITHOUT_MARKET:
            out[entry]["default"] = _WITHOUT_MARKET[entry]
    depeg = parameters.needed("depeg")
    out["parameters.depeg_threshold"] = depeg.number("threshold")
    out["parameters.depeg_factor"] = depeg.number("factor")
    return out


def _number(market: Fields, steps: tuple[str, ...]) -> float:
    for step in steps[:-1]:
        market = market.needed(step)
    return market.number(steps[-1])


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


def _left_initial(outcome: Outcome) -> float:
    return outcome.report.available_margin


def _left_maintenance(outcome: Outcome) -> float:
    return outcome.report.maintenance_headroom


def _worth(outcome: Outcome) -> float:
    return outcome.report.equity


_READ: Final[Mapping[str, Read]] = {"IM": _left_initial, "MM": _left_maintenance, "mtm": _worth}


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters of a case stand, by market and key."""
    case = document.objects("cases")[index]
    stated = case.get("parameters")
    named = isinstance(stated, str)
    steps: Steps = ("parameter_sets", stated) if named else ("cases", index, "parameters")
    found = _parameter_set(document, case)
    out: dict[str, Steps] = {f"depeg.{key}": (*steps, "depeg", key) for key in ("threshold", "factor")}
    for market in found.needed("markets"):
        for place in BY_MARKET.values():
            out[".".join((market, *place))] = (*steps, "markets", market, *place)
    return out


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds cases with markets of several underlyings and a stable price."""
    return any_case(
        document,
        lambda case: has_keys(case.get("market"), "underlyings", "stable_price") and has_keys(case, "portfolio"),
    )


FAMILY: Final = Family("derive_srm", "standard_margin", recognises, case_names, pose, parameters)
