"""Small cases of our own in every format, their figures from formulas of a few lines: teeth where no shared data is."""

from functools import cache
from typing import Any

from crossmargin.sources import load_rulebook
from tests.strategies.conformance import pm2_document, srm_document

LOADED = cache(load_rulebook)
DAY = 86400


def documents() -> dict[str, Any]:
    """One document for each format, and one that nothing reads."""
    return {
        "made_portfolio.json": portfolio_margin(),
        "made_standard.json": standard_margin(),
        "made_simulate.json": simulate(),
        "made_linear.json": linear(),
        "made_builder.json": builder(),
        "made_brackets.json": brackets(),
        "venue_other.json": {"cases": [{"kind": "auction"}, {"kind": "auction"}, {"kind": "health"}, 7]},
    }


def option(days: int, strike: float, amount: float, *, call: bool, vol: float = 0.7) -> dict[str, Any]:
    return {"expiry_secs": days * DAY, "strike": strike, "is_call": call, "amount": amount, "vol": vol}


def portfolio_parameters() -> dict[str, Any]:
    scenarios = [(1.3, "Up", 0.4), (1.1, "Up", 1), (1.1, "None", 1), (0.9, "Down", 1), (0.9, "Up", 1), (0.5, "Up", 0.3)]
    scenarios += [(1.0, "Linear", 1.1), (1.0, "Abs", 0.9)]
    names = ("spot_shock", "vol_shock", "dampening")
    return {
        "scenarios": [dict(zip(names, row, strict=True)) for row in scenarios],
        "skew_shock": {
            "linear_base_cap": 0.5,
            "abs_base_cap": 0.4,
            "linear_cbase": -0.05,
            "abs_cbase": 0.07,
            "min_k_star": 0.02,
            "width_scale": 3,
            "vol_param_static": 0.6,
            "vol_param_scale": -0.1,
        },
        "vol_shock": {
            "vol_range_up": 0.6,
            "min_vol_up_shock": 0.45,
            "vol_range_down": 0.3,
            "short_term_power": 0.3,
            "long_term_power": 0.13,
            "dte_floor_days": 2.0,
        },
        "margin": {
            "im_factor": 1.1,
            "mm_factor": 0.8,
            "long_base_static_discount": 0.94,
            "long_rate_mult": 1,
            "short_base_static_discount": 1.0,
            "short_rate_mult": 0.5,
            "long_rate_add": 0.07,
            "short_rate_add": 0.02,
        },
        "basis_contingency": {"spot_up": 1.05, "spot_down": 0.94, "add_factor": 0.4, "mult_factor": 1.5},
        "other_contingency": {
            "peg_loss_threshold": 0.99,
            "peg_loss_factor": 3,
            "conf_threshold": 0.6,
            "conf_margin": 0.7,
            "mm_perp_pct": 0.02,
            "im_perp_pct": 0.01,
            "mm_option_pct": 0.004,
            "im_option_pct": 0.003,
        },
    }


def portfolio_margin() -> dict[str, Any]:
    sure = {"forward_confidence": 1.0, "rate_confidence": 0.9, "vol_confidence": 0.95}
    market = {
        "spot": 2000.0,
        "spot_confidence": 1.0,
        "perp_price": 2003.0,
        "perp_confidence": 0.5,
        "stable_price": 0.97,
        "expiries": [
            {"expiry_secs": 9 * DAY, "forward": 2004.0, "rate": 0.1, **sure},
            {"expiry_secs": 80 * DAY, "forward": 2040.0, "rate": 0.12, **sure},
        ],
    }
    coin = {"confidence": 0.55, "im_haircut_extra": 0.02}
    portfolio = {
        "cash": -1500.0,
        "perp_position": -3.0,
        "perp_unrealised_pnl": 120.0,
        "perp_unrealised_funding": -4.0,
        "collaterals": [
            {"name": "STETH", "amount": 4.0, "price": 1990.0, "risk_cancelling": True, "mm_haircut": 0.03, **coin},
            {"name": "DAI", "amount": 900.0, "price": 1.001, "risk_cancelling": False, "mm_haircut": 0.1, **coin},
        ],
        "options": [
            option(9, 2100.0, -6.0, call=True),
            option(9, 2100.0, 1.5, call=False),
            option(9, 1800.0, -2.0, call=False, vol=0.8),
            option(80, 2000.0, 5.0, call=True, vol=0.65),
            option(80, 2600.0, 0.0, call=True),
        ],
    }
    return pm2_document(portfolio, market, portfolio_parameters())


def standard_margin() -> dict[str, Any]:
    market = {
        "option": {
            "max_spot": 0.16,
            "min_spot": 0.12,
            "mm_call_spot": 0.08,
            "mm_put_spot": 0.07,
            "mm_put_mtm": 0.9,
            "unpaired_im_scale": 1.3,
            "unpaired_mm_scale": 1.1,
            "mm_offset_scale": 1.06,
        },
        "oracle": {"perp_threshold": 0.6, "option_threshold": 0.5, "base_threshold": 0.7, "factor": 0.8},
        "perp_mm": 0.05,
        "perp_im": 0.07,
        "base_margin_factor": 0.75,
        "base_im_scale": 0.9,
    }
    sure = {"forward_confidence": 0.45, "vol_confidence": 1.0}
    eth = {"spot": 2000.0, "spot_confidence": 0.65, "perp_price": 2010.0, "perp_confidence": 0.55}
    btc = {"spot": 30000.0, "spot_confidence": 1.0, "perp_price": 30100.0, "perp_confidence": 1.0}
    near, far = str(9 * DAY), str(80 * DAY)
    underlyings = {
        "ETH": {**eth, "expiries": {near: {"forward": 2003.0, **sure}, far: {"forward": 2031.0, **sure}}},
        "BTC": {**btc, "expiries": {near: {"forward": 30050.0, "forward_confidence": 1.0, "vol_confidence": 1.0}}},
    }
    portfolio = {
        "cash": 5000.0,
        "options": [
            {"underlying": "ETH", **option(9, 2100.0, -3.0, call=True)},
            {"underlying": "ETH", **option(9, 2600.0, 1.0, call=True)},
            {"underlying": "ETH", **option(80, 2300.0, -2.0, call=False)},
            {"underlying": "BTC", **option(9, 29000.0, -0.2, call=False, vol=0.4)},
            {"underlying": "BTC", **option(9, 31000.0, -0.1, call=True, vol=0.4)},
        ],
        "perps": {"ETH": {"position": -1.5, "entry_price": 1950.0, "unrealised_pnl_plus_funding": -93.0}},
        "bases": {"ETH": 2.0, "BTC": 0.1},
    }
    parameters = {
        "markets": {"ETH": market, "BTC": {**market, "perp_mm": 0.04}},
        "depeg": {"threshold": 0.99, "factor": 2},
    }
    return srm_document(portfolio, {"stable_price": 0.98, "underlyings": underlyings}, parameters)


def simulate() -> dict[str, Any]:
    held = {"BTC-PERPETUAL": 400.0, "BTC-27SEP24": -30.0}
    group = {"min_annualised_move": 0.02, "annualised_move_risk": 0.08, "extended_dampener": 1000}
    group |= {"pnl_offset": 0.3, "max_offsetable_pnl": 250_000}
    index, net, moves = 50_000.0, 370.0, (-0.2, -0.1, 0.0, 0.1, 0.2)
    gains = [net * (1 - 1 / (1 + move)) for move in moves]
    aggregated = [min(0.3 * gain, 250_000 / index) if gain > 0 else gain for gain in gains]
    # the fraction of the loss in USD, converted at the edge of the range: -66 % counts as -20 %, times the factor
    wide = net * (-0.66) * (0.2 / 0.66) * 1.2 / (1 - 0.2) + 1000 / index
    worst = max(-min(aggregated), -wide)
    roll = (400.0 + 30.0) * 0.02
    # 370 coins are 18.5 million, of which 8.5 lie above the threshold: 170 coins
    shock = net * min(0.05, 0.0001 * 170.0)
    total = worst + roll + shock
    return {
        "params": {
            "price_range": 0.2,
            "buckets_count": 2,
            "vol_up": 0.5,
            "vol_down": 0.25,
            "min_vol_up": 0.5,
            "short_vega_pow": 0.3,
            "long_vega_pow": 0.13,
            "ext_factor": 1.2,
            "max_delta_shock": 0.05,
            "delta_liq_thr": 10_000_000,
            "m_inc": 0.0001,
            "mm_factor": 0.75,
            "btc": group,
        },
        "positions": held,
        "index": index,
        "mark": {"BTC-PERPETUAL": 50_100.0, "BTC-27SEP24": 50_900.0},
        "mmp_margin": 0.5,
        "open_orders_margin": 0.25,
        "expected": {
            "perp_vector": [400.0 * (1 - 1 / (1 + move)) for move in moves],
            "aggregated": aggregated,
            "worst_case": worst,
            "roll_shock": roll,
            "delta_shock": shock,
            "risk_matrix_margin": total,
            "initial_margin": total + 0.5 + 0.25,
            "maintenance_margin": 0.75 * total,
        },
    }


def linear() -> dict[str, Any]:
    rows = [("ETH_USDC", 2000.0, 40.0, 0.03, 0.0001, "IM"), ("ETH_USDC", 2000.0, -40.0, 0.015, 0.0001, "MM")]
    keys = ("sym", "price", "size", "base", "slope", "kind")
    cases = [dict(zip(keys, row, strict=True)) for row in rows]
    return {"cases": [{**c, "expected": 80_000.0 * (row[3] + 0.004)} for c, row in zip(cases, rows, strict=True)]}


def builder() -> dict[str, Any]:
    """Two units whose marks lie 1 % above and 2 % below the index, and what is borrowed."""
    units = [unit("BTC", 3_000.0, 1.01, 0.09, 0.18), unit("LTC", -500.0, 0.98, 0.3, 0.75)]
    derivatives = sum(u["mmr"] for u in units)
    account = {"eq": -200.0, "borrowMmr": 4.0, "borrowImr": 20.0, "derivMmr": derivatives}
    account |= {"totalMmr": derivatives + 4.0, "totalImr": 1.3 * derivatives + 20.0}
    return {"units": units, "account": account}


def unit(name: str, delta: float, mark: float, width: float, extreme: float) -> dict[str, Any]:
    loss = abs(delta) * mark
    mr1, mr4, mr6, mr7 = loss * width, abs(delta) * 0.003, 0.5 * loss * extreme, abs(delta) * 0.005
    mmr = max(mr1 + mr4, mr6, mr7)
    side = -1.0 if delta > 0 else 1.0
    return {
        "unit": name,
        "delta": delta,
        "mr1": mr1,
        "mr1_shock": side * width,
        "mr4": mr4,
        "mr4_rate": 0.003,
        "grid": {repr(side * width * step / 3): -mr1 * step / 3 for step in (1, 2, 3)},
        "mr6": mr6,
        "mr6_pnl": -2 * mr6,
        "mr6_shock": side * extreme,
        "mr7": mr7,
        "mr7_rate": 0.005,
        "mmr": mmr,
        "imr": 1.3 * mmr,
    }


def brackets() -> dict[str, Any]:
    rows = [[1_000, 0.01, 0], [5_000, 0.02, 10], [20_000, 0.05, 160], [90_000, 0.1, 1160]]
    return {"rows": rows, "formula": "MM=notional*mmr-cum"}
