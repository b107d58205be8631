"""Derive's second portfolio margin, slowly: plain loops over one case, straight from the published formulas."""

from math import erfc, exp, log, sqrt
from typing import Any

YEAR = 365 * 86400
MONTH = 30 * 86400


def black(forward: float, strike: float, vol: float, years: float, *, call: bool) -> float:
    """Black-76, not discounted."""
    sign = 1.0 if call else -1.0
    width = vol * sqrt(years)
    if width == 0:
        return max(sign * (forward - strike), 0.0)
    d1 = log(forward / strike) / width + width / 2
    return sign * (forward * normal(sign * d1) - strike * normal(sign * (d1 - width)))


def normal(x: float) -> float:
    return erfc(-x / sqrt(2.0)) / 2.0


def shocked_vol(kind: str, o: dict[str, Any], forward: float, p: dict[str, Any]) -> float:
    iv = float(o["vol"])
    v, k, years = p["vol_shock"], p["skew_shock"], o["expiry_secs"] / YEAR
    power = v["short_term_power"] if o["expiry_secs"] <= MONTH else v["long_term_power"]
    tenor: float = (MONTH / max(o["expiry_secs"], v["dte_floor_days"] * 86400)) ** power
    if kind == "Up":
        return max(float(v["min_vol_up_shock"]), iv * (1 + float(v["vol_range_up"]) * tenor))
    if kind == "Down":
        return iv * max(0.0, 1 - float(v["vol_range_down"]) * tenor)
    if kind == "None":
        return iv
    name = "linear" if kind == "Linear" else "abs"
    cap = k[f"{name}_cbase"] * sqrt(years) + k[f"{name}_base_cap"]
    kink = sqrt(years) * k["width_scale"] * (k["vol_param_static"] + sqrt(years) * k["vol_param_scale"])
    kink = max(k["min_k_star"], kink)
    away = log(o["strike"] / forward)
    if kind == "Linear":
        share = max(away * cap / kink, -cap) if away < 0 else min(away * cap / kink, cap)
    else:
        share = min(abs(away) * cap / kink, cap)
    return iv * max(0.0, 1 + float(share))


def book_value(options: list[dict[str, Any]], e: dict[str, Any], move: float, kind: str, p: dict[str, Any]) -> float:
    """One expiry's options at a move of the forward and a vol shock, discounted."""
    total = 0.0
    years = e["expiry_secs"] / YEAR
    for o in options:
        vol = shocked_vol(kind, o, e["forward"], p)
        total += o["amount"] * black(e["forward"] * move, o["strike"], vol, years, call=o["is_call"])
    return total * exp(-max(e["rate"], 0.0) * years)


def closed_out(value: float, e: dict[str, Any], m: dict[str, Any]) -> float:
    years, rate = e["expiry_secs"] / YEAR, max(e["rate"], 0.0)
    if value >= 0:
        speed = rate * m["long_rate_mult"] + m["long_rate_add"]
        return value * float(m["long_base_static_discount"]) * exp(-years * speed)
    worse = m["short_base_static_discount"] * exp(years * (rate * m["short_rate_mult"] + m["short_rate_add"]))
    return value * min(exp(rate * years), float(worse))


def expected(portfolio: dict[str, Any], market: dict[str, Any], p: dict[str, Any]) -> dict[str, Any]:
    """Every figure that a case file of this format states."""
    m, c, b = p["margin"], p["other_contingency"], p["basis_contingency"]
    perp, spot = portfolio["perp_position"], market["spot"]
    expiries = [
        (e, [o for o in portfolio["options"] if o["expiry_secs"] == e["expiry_secs"]]) for e in market["expiries"]
    ]
    coins = [(x, x["amount"] * x["price"] / market["stable_price"]) for x in portfolio["collaterals"]]
    pnl = []
    for s in p["scenarios"]:
        x, kind = s["spot_shock"], s["vol_shock"]
        gain = perp * (x - 1) * market["perp_price"] + (x - 1) * sum(v for q, v in coins if q["risk_cancelling"])
        for e, options in expiries:
            change = closed_out(book_value(options, e, x, kind, p), e, m) - book_value(options, e, 1.0, "None", p)
            gain += -abs(change) if kind in {"Linear", "Abs"} else change
        pnl.append(gain * s["dampening"])
    basis = 0.0
    naked = 0.0
    oracle = charged(min(market["spot_confidence"], market["perp_confidence"]), abs(perp) * spot, c)
    option_value = 0.0
    for e, options in expiries:
        today = book_value(options, e, 1.0, "None", p)
        option_value += today
        moved = [book_value(options, e, b[side], "None", p) - today for side in ("spot_up", "spot_down")]
        basis += min(0.0, *moved) * (b["add_factor"] + b["mult_factor"] * e["expiry_secs"] / YEAR)
        strikes = {o["strike"] for o in options}
        naked += sum(max(0.0, -sum(o["amount"] for o in options if o["strike"] == k)) for k in strikes)
        trust = [market["spot_confidence"], market["perp_confidence"] if perp else 1.0]
        trust += [e["forward_confidence"], e["rate_confidence"], e["vol_confidence"]]
        oracle += charged(min(trust), sum(abs(o["amount"]) for o in options) * spot, c)
    oracle += sum(charged(min(x["confidence"], market["spot_confidence"]), v, c) for x, v in coins)
    worst = min([0.0, basis, *pnl])
    coin_value = sum(v for _, v in coins)
    gained = portfolio["perp_unrealised_pnl"] + portfolio["perp_unrealised_funding"]
    worth = portfolio["cash"] + gained + option_value + coin_value
    mm_charge = abs(perp) * spot * c["mm_perp_pct"] + naked * spot * c["mm_option_pct"]
    mm_charge += sum(v * x["mm_haircut"] for x, v in coins)
    im_charge = abs(perp) * spot * c["im_perp_pct"] + naked * spot * c["im_option_pct"]
    im_charge += sum(v * x["im_haircut_extra"] for x, v in coins)
    factor = m["im_factor"] + max(0.0, c["peg_loss_threshold"] - market["stable_price"]) * c["peg_loss_factor"]
    return {
        "IM": factor * worst - mm_charge - im_charge - oracle + worth,
        "MM": m["mm_factor"] * worst - mm_charge + worth,
        "portfolio_mtm": worth,
        "option_mtm": option_value,
        "collateral_mtm": coin_value,
        "basis_contingency": basis,
        "oracle_contingency": -oracle,
        "im_loss_factor": factor,
        "scenario_pnl": pnl,
    }


def charged(confidence: float, notional: float, c: dict[str, Any]) -> float:
    return (1 - confidence) * float(c["conf_margin"]) * notional if confidence < c["conf_threshold"] else 0.0
