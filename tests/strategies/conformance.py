"""Random case documents in the formats of the two Derive families, their figures computed by the twins."""

from typing import Any

from hypothesis import strategies as st

from tests.twins import pm2, srm

SECONDS = (3_600 * 24 * 3, 3_600 * 24 * 30, 3_600 * 24 * 31, 3_600 * 24 * 200)
VOL_SHOCKS = ("Up", "None", "Down")


def number(low: float, high: float) -> st.SearchStrategy[float]:
    """A number of few digits, so that a failing case can be read."""
    return st.integers(round(low * 1000), round(high * 1000)).map(lambda n: n / 1000)


def nonzero(high: float) -> st.SearchStrategy[float]:
    return number(-high, high).filter(bool)


confidences = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0])


def pm2_options(seconds: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "expiry_secs": st.just(seconds),
            "strike": st.sampled_from([60.0, 90.0, 100.0, 115.0, 200.0]),
            "is_call": st.booleans(),
            "amount": nonzero(10),
            "vol": number(0.1, 2),
        }
    )


def unlike(options: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each contract: a venue nets them before it charges."""
    return list({(o.get("underlying"), o["expiry_secs"], o["strike"], o["is_call"]): o for o in options}.values())


@st.composite
def pm2_parameters(draw: st.DrawFn) -> dict[str, Any]:
    moves = draw(st.lists(st.sampled_from([0.34, 0.8, 0.95, 1.0, 1.05, 1.2, 3.0]), min_size=1, max_size=4))
    rows = [(x, draw(st.sampled_from(VOL_SHOCKS)), draw(number(0, 2))) for x in moves]
    rows += [(1.0, "Linear", draw(number(0, 2))), (1.0, "Abs", 1.0)]
    names = ("spot_shock", "vol_shock", "dampening")
    skew = {"min_k_star": number(0.001, 0.1), "width_scale": number(0.5, 5), "vol_param_static": number(0.1, 2)}
    skew |= {"vol_param_scale": number(-0.5, 0.5)}
    for name in ("linear", "abs"):
        skew |= {f"{name}_base_cap": number(0.1, 2), f"{name}_cbase": number(-0.05, 0.2)}
    vol = {"vol_range_up": number(0, 2), "min_vol_up_shock": number(0, 1), "vol_range_down": number(0, 1)}
    vol |= {"short_term_power": number(0, 1), "long_term_power": number(0, 1), "dte_floor_days": number(0.5, 40)}
    loose = {"im_factor": number(1, 2), "mm_factor": number(0.1, 1), "long_base_static_discount": number(0.5, 1)}
    loose |= {"short_base_static_discount": number(1, 1.5)}
    loose |= {f"{side}_rate_{part}": number(0, 1) for side in ("long", "short") for part in ("mult", "add")}
    other = {"peg_loss_threshold": number(0.9, 1), "peg_loss_factor": number(0, 5), "conf_threshold": number(0.2, 0.9)}
    other |= {"conf_margin": number(0, 1)}
    other |= {f"{side}_{kind}_pct": number(0, 0.05) for side in ("mm", "im") for kind in ("perp", "option")}
    basis = {"spot_up": number(1.01, 1.1), "spot_down": number(0.9, 0.99)}
    basis |= {"add_factor": number(0, 2), "mult_factor": number(0, 2)}
    return {
        "scenarios": [dict(zip(names, row, strict=True)) for row in rows],
        "skew_shock": draw(st.fixed_dictionaries(skew)),
        "vol_shock": draw(st.fixed_dictionaries(vol)),
        "margin": draw(st.fixed_dictionaries(loose)),
        "basis_contingency": draw(st.fixed_dictionaries(basis)),
        "other_contingency": draw(st.fixed_dictionaries(other)),
    }


@st.composite
def pm2_documents(draw: st.DrawFn) -> dict[str, Any]:
    """One document of the portfolio-margin format with one case."""
    seconds = draw(st.lists(st.sampled_from(SECONDS), max_size=3, unique=True))
    options = [o for s in seconds for o in draw(st.lists(pm2_options(s), max_size=4))]
    trust = {f"{part}_confidence": confidences for part in ("forward", "rate", "vol")}
    expiry = {"forward": number(80, 130), "rate": number(-0.1, 0.4), **trust}
    market = {
        "spot": 100.0,
        "spot_confidence": draw(confidences),
        "perp_price": draw(number(80, 120)),
        "perp_confidence": draw(confidences),
        "stable_price": draw(number(0.9, 1.1)),
        "expiries": [{"expiry_secs": s, **draw(st.fixed_dictionaries(expiry))} for s in seconds],
    }
    coin = {"amount": number(0, 10), "price": number(50, 150), "confidence": confidences}
    coin |= {"risk_cancelling": st.booleans(), "mm_haircut": number(0, 0.5), "im_haircut_extra": number(0, 0.4)}
    names = draw(st.lists(st.sampled_from(["ETH", "STETH", "BTC", "DAI"]), max_size=3, unique=True))
    held = draw(st.sampled_from([0.0, -3.5, 2.25]))
    portfolio = {
        "cash": draw(nonzero(1000)),  # an account with nothing in it has no line at all, and no factor
        "perp_position": held,
        "perp_unrealised_pnl": draw(number(-500, 500)),
        "perp_unrealised_funding": draw(number(-9, 9)),
        "collaterals": [{"name": name, **draw(st.fixed_dictionaries(coin))} for name in names],
        "options": unlike(options),
    }
    return pm2_document(portfolio, market, draw(pm2_parameters()))


def pm2_document(portfolio: dict[str, Any], market: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """One case with the twin's figures, its parameters by reference as the published files have them."""
    case = {
        "id": "made",
        "portfolio": portfolio,
        "market": market,
        "parameters": {name: f"{name}_1" for name in parameters},
        "expected": pm2.expected(portfolio, market, parameters),
        "tolerance": {"IM_MM_mtm_rel": 1e-9, "scenario_pnl_rel": 1e-9},
    }
    return {"parameter_sets": {f"{name}_1": value for name, value in parameters.items()}, "cases": [case]}


@st.composite
def srm_parameters(draw: st.DrawFn) -> dict[str, Any]:
    option = {"max_spot": number(0.1, 0.3), "min_spot": number(0.02, 0.15), "mm_call_spot": number(0.02, 0.1)}
    option |= {"mm_put_spot": number(0.02, 0.1), "mm_put_mtm": number(0, 1), "mm_offset_scale": number(1, 2)}
    option |= {"unpaired_im_scale": number(1, 2), "unpaired_mm_scale": number(0.5, 1)}
    oracle = {f"{kind}_threshold": number(0.2, 0.9) for kind in ("perp", "option", "base")}
    market = {
        "option": st.fixed_dictionaries(option),
        "oracle": st.fixed_dictionaries({**oracle, "factor": number(0, 1)}),
        "perp_mm": number(0.01, 0.1),
        "perp_im": number(0.1, 0.2),
        "base_margin_factor": number(0, 1),
        "base_im_scale": number(0.5, 1),
    }
    markets = {name: draw(st.fixed_dictionaries(market)) for name in ("ETH", "BTC")}
    return {"markets": markets, "depeg": {"threshold": draw(number(0.9, 1)), "factor": draw(number(0, 3))}}


@st.composite
def srm_documents(draw: st.DrawFn) -> dict[str, Any]:
    """One document of the standard-margin format with one case."""
    underlyings: dict[str, Any] = {}
    options: list[dict[str, Any]] = []
    perps: dict[str, Any] = {}
    for name in ("ETH", "BTC"):
        seconds = draw(st.lists(st.sampled_from(SECONDS), max_size=2, unique=True))
        expiry = {"forward": number(80, 130), "forward_confidence": confidences, "vol_confidence": confidences}
        perp_price = draw(number(80, 120))
        underlyings[name] = {
            "spot": draw(number(80, 120)),
            "spot_confidence": draw(confidences),
            "perp_price": perp_price,
            "perp_confidence": draw(confidences),
            "expiries": {str(s): draw(st.fixed_dictionaries(expiry)) for s in seconds},
        }
        for s in seconds:
            found = draw(st.lists(pm2_options(s), max_size=4))
            options += [{"underlying": name, **o} for o in found]
        if draw(st.booleans()):
            position, entry = draw(nonzero(10)), draw(number(70, 130))
            gain = position * (perp_price - entry) + draw(number(-5, 5))
            perps[name] = {"position": position, "entry_price": entry, "unrealised_pnl_plus_funding": gain}
    bases = {name: draw(number(0, 5)) for name in draw(st.lists(st.sampled_from(["ETH", "BTC"]), unique=True))}
    portfolio = {"cash": draw(number(-500, 500)), "options": unlike(options), "perps": perps, "bases": bases}
    market = {"stable_price": draw(number(0.9, 1.1)), "underlyings": underlyings}
    return srm_document(portfolio, market, draw(srm_parameters()))


def srm_document(portfolio: dict[str, Any], market: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """One case with the twin's figures."""
    case = {
        "id": "made",
        "portfolio": portfolio,
        "market": market,
        "parameters": "P1",
        "expected": srm.expected(portfolio, market, parameters),
    }
    return {"parameter_sets": {"P1": parameters}, "cases": [case]}
