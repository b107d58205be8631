"""Derive's standard margin, slowly: plain loops over one case, straight from the published formulas."""

from typing import Any

from tests.twins.pm2 import YEAR, black

Found = dict[str, Any]


def option_value(o: Found, expiry: Found) -> float:
    return black(expiry["forward"], o["strike"], o["vol"], o["expiry_secs"] / YEAR, call=o["is_call"])


def isolated(o: Found, spot: float, value: float, p: Found, initial: bool) -> float:
    """What one option is worth in margin: nothing where it is long."""
    amount = float(o["amount"])
    if amount >= 0:
        return 0.0
    away = max(0.0, o["strike"] - spot if o["is_call"] else spot - o["strike"])
    base: float = max(p["max_spot"] * spot - away, p["min_spot"] * spot)
    if o["is_call"]:
        return amount * ((base if initial else float(p["mm_call_spot"]) * spot) + value)
    least: float = amount * (max(p["mm_put_spot"] * spot, p["mm_put_mtm"] * value) + value)
    return min(amount * (base + value), float(p["mm_offset_scale"]) * least) if initial else least


def worst_payoff(options: list[Found], forward: float, scale: float) -> float:
    """The least payoff over price 0 and every strike, less what calls short of their count cost."""

    def payoff(price: float) -> float:
        sides = [(o["amount"], price - o["strike"] if o["is_call"] else o["strike"] - price) for o in options]
        return float(sum(amount * max(0.0, inside) for amount, inside in sides))

    calls = float(sum(o["amount"] for o in options if o["is_call"]))
    least = min(0.0, *(payoff(price) for price in [0.0, *(o["strike"] for o in options)]))
    return least + min(0.0, calls) * scale * forward


def doubt(confidence: float, threshold: float, factor: float, notional: float) -> float:
    return (1 - confidence) * factor * notional if confidence < threshold else 0.0


def left(portfolio: Found, market: Found, parameters: Found, initial: bool) -> float:
    """What is left over: value less requirement."""
    total = portfolio["cash"]
    depeg = max(0.0, parameters["depeg"]["threshold"] - market["stable_price"]) * parameters["depeg"]["factor"]
    for name, quote in market["underlyings"].items():
        p = parameters["markets"][name]
        oracle, spot, trust = p["oracle"], quote["spot"], quote["spot_confidence"]
        perp = portfolio["perps"].get(name, {"position": 0.0, "unrealised_pnl_plus_funding": 0.0})
        held = abs(perp["position"])
        rate = p["perp_im"] if initial else p["perp_mm"]
        total += perp["unrealised_pnl_plus_funding"] - held * quote["perp_price"] * rate
        coins = portfolio["bases"].get(name, 0.0)
        total += coins * spot * p["base_margin_factor"] * (p["base_im_scale"] if initial else 1.0)
        mine = [o for o in portfolio["options"] if o["underlying"] == name]
        if initial:
            perp_trust = min(trust, quote["perp_confidence"])
            total -= doubt(perp_trust, oracle["perp_threshold"], oracle["factor"], held * spot)
            total -= doubt(trust, oracle["base_threshold"], oracle["factor"], coins * spot)
            total -= (held + sum(max(0.0, -o["amount"]) for o in mine)) * depeg * spot
        for seconds, expiry in quote["expiries"].items():
            options = [o for o in mine if o["expiry_secs"] == int(seconds)]
            alone = sum(isolated(o, spot, option_value(o, expiry), p["option"], initial) for o in options)
            scale = p["option"]["unpaired_im_scale" if initial else "unpaired_mm_scale"]
            total += max(alone, worst_payoff(options, expiry["forward"], scale))
            short = sum(max(0.0, -o["amount"]) for o in options)
            least = min(trust, expiry["forward_confidence"], expiry["vol_confidence"])
            if initial:
                total -= doubt(least, oracle["option_threshold"], oracle["factor"], short * spot)
    return float(total)


def expected(portfolio: Found, market: Found, parameters: Found) -> dict[str, float]:
    """Every figure that a case file of this format states."""
    worth = portfolio["cash"] + sum(x["unrealised_pnl_plus_funding"] for x in portfolio["perps"].values())
    for name, quote in market["underlyings"].items():
        worth += portfolio["bases"].get(name, 0.0) * quote["spot"] / market["stable_price"]
        mine = [o for o in portfolio["options"] if o["underlying"] == name]
        worth += sum(o["amount"] * option_value(o, quote["expiries"][str(o["expiry_secs"])]) for o in mine)
    out = {"IM": left(portfolio, market, parameters, initial=True)}
    return {**out, "MM": left(portfolio, market, parameters, initial=False), "mtm": worth}
