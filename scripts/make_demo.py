"""Writes the desk and the market of `crossmargin demo`: invented, realistic, and the same on every run.

Option marks follow from one forward curve and one smile per underlying (total variance over log-moneyness), checked
for calendar and butterfly arbitrage before anything is written.

    python scripts/make_demo.py [--check]
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import erf, exp, log, sqrt
from pathlib import Path
from typing import Any

PLACE = Path(__file__).resolve().parents[1] / "src" / "crossmargin" / "cli" / "demo"
AS_OF = datetime(2026, 3, 2, 8, tzinfo=UTC)
EXPIRIES = {
    "6MAR26": datetime(2026, 3, 6, 8, tzinfo=UTC),
    "27MAR26": datetime(2026, 3, 27, 8, tzinfo=UTC),
    "26JUN26": datetime(2026, 6, 26, 8, tzinfo=UTC),
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Market:
    """One underlying: spot, carry of its futures, and the smile's level, slope and curvature."""

    name: str
    spot: float
    carry: float
    vol: float
    slope: float
    curve: float
    step: float
    strikes: dict[str, tuple[float, ...]]

    def forward(self, years: float) -> float:
        """Forward price, rounded to the tick at which it is published."""
        return round(self.spot * exp(self.carry * years), 2)

    def vol_at(self, strike: float, years: float) -> float:
        """Annualised vol of one strike: a level that falls with tenor, skewed and curved in standardised moneyness."""
        distance = log(strike / self.forward(years)) / sqrt(years)
        level = self.vol * (1 + 0.10 * exp(-years * 12))
        return round(level + self.slope * distance + self.curve * distance**2 / (1 + distance**2), 4)


def strikes_around(step: float, *centres: float) -> dict[str, tuple[float, ...]]:
    """Ten strikes per expiry, wider apart the later it is."""
    width = {"6MAR26": 1.0, "27MAR26": 2.0, "26JUN26": 4.0}
    return {
        label: tuple(centre + step * width[label] * (i - 4) for i in range(10))
        for label, centre in zip(EXPIRIES, centres, strict=True)
    }


BTC = Market("BTC", 71_480.0, 0.052, 0.52, -0.045, 0.050, 2000, strikes_around(1000, 71_000, 72_000, 76_000))
ETH = Market("ETH", 2_115.0, 0.045, 0.68, -0.040, 0.060, 100, strikes_around(50, 2_100, 2_100, 2_200))
SOL = Market("SOL", 91.60, 0.030, 0.80, 0.0, 0.0, 5, {})


def black76(forward: float, strike: float, years: float, vol: float, *, call: bool) -> float:
    """Undiscounted value of a European option, per unit of the underlying, in quote."""
    spread = vol * sqrt(years)
    first = log(forward / strike) / spread + spread / 2
    sign = 1 if call else -1
    return sign * (forward * _normal(sign * first) - strike * _normal(sign * (first - spread)))


def _normal(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2


def years_to(expiry: datetime) -> float:
    """Years (ACT/365) from the snapshot to `expiry`."""
    return (expiry - AS_OF) / timedelta(days=365)


def stamp(seconds_ago: int = 0) -> str:
    """The snapshot's time, or some seconds before it, as the interchange writes it."""
    return (AS_OF - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def perpetual(market: Market, symbol: str, settlement: str, funding: float, interest: float) -> Row:
    """One perpetual; coin-settled ones are inverse, with a contract of 10 USD (BTC) or 1 USD."""
    inverse = settlement == market.name
    mark = round(market.spot * (1 + funding * 2), 2)
    return {
        "symbol": symbol,
        "kind": "perpetual",
        "underlying": market.name,
        "quote_asset": "USD" if inverse else settlement,
        "settlement_asset": settlement,
        "contract": "inverse" if inverse else "linear",
        "multiplier": (10.0 if market.name == "BTC" else 1.0) if inverse else 1.0,
        "mark_price": mark,
        "index_price": market.spot,
        "bid": round(mark * 0.99995, 2),
        "ask": round(mark * 1.00005, 2),
        "funding_rate": funding,
        "open_interest": interest,
        "observed_at": stamp(2),
    }


def future(market: Market, label: str, settlement: str) -> Row:
    """One dated future, at its forward."""
    inverse = settlement == market.name
    mark = market.forward(years_to(EXPIRIES[label]))
    return {
        "symbol": f"{market.name}{'' if inverse else '_' + settlement}-{label}",
        "kind": "future",
        "underlying": market.name,
        "quote_asset": "USD" if inverse else settlement,
        "settlement_asset": settlement,
        "contract": "inverse" if inverse else "linear",
        "multiplier": (10.0 if market.name == "BTC" else 1.0) if inverse else 1.0,
        "expiry": EXPIRIES[label].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "mark_price": mark,
        "index_price": market.spot,
        "forward_price": mark,
        "observed_at": stamp(3),
    }


def chain(market: Market, settlement: str) -> Iterator[Row]:
    """All options of one underlying in one settlement asset; coin-settled marks are in coin."""
    inverse = settlement == market.name
    for label, expiry in EXPIRIES.items():
        years = years_to(expiry)
        forward = market.forward(years)
        for strike in market.strikes[label]:
            vol = market.vol_at(strike, years)
            head = f"{market.name}{'' if inverse else '_' + settlement}-{label}-{strike:.0f}"
            for kind in ("call", "put"):
                value = black76(forward, strike, years, vol, call=kind == "call")
                yield {
                    "symbol": f"{head}-{kind[0].upper()}",
                    "kind": "option",
                    "underlying": market.name,
                    "quote_asset": "USD" if inverse else settlement,
                    "settlement_asset": settlement,
                    "contract": "inverse" if inverse else "linear",
                    "multiplier": 1.0,
                    "expiry": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "strike": strike,
                    "option_type": kind,
                    "mark_price": round(value / forward, 8) if inverse else round(value, 6),
                    "index_price": market.spot,
                    "forward_price": forward,
                    "rate": 0.0,
                    "mark_iv": vol,
                    "observed_at": stamp(4),
                }


def check_smile(market: Market) -> None:
    """Ends the run where the smile has calendar or butterfly arbitrage."""
    for strike in [market.spot * (0.6 + 0.02 * i) for i in range(40)]:
        totals = [market.vol_at(strike, years_to(e)) ** 2 * years_to(e) for e in EXPIRIES.values()]
        if totals != sorted(totals):
            sys.exit(f"{market.name}: total variance falls with tenor at {strike}: {totals}")
    for label, strikes in market.strikes.items():
        years = years_to(EXPIRIES[label])
        calls = [black76(market.forward(years), k, years, market.vol_at(k, years), call=True) for k in strikes]
        bends = [a - 2 * b + c for a, b, c in zip(calls, calls[1:], calls[2:], strict=False)]
        if min(bends) < 0:
            sys.exit(f"{market.name} {label}: call prices are not convex in strike")


def assets() -> dict[str, Row]:
    """Prices in USD; the two stablecoins are a little off their peg, staked ETH a little below ETH."""
    return {
        "USD": {"price": 1.0},
        "USDC": {"price": 0.9998, "stable_price": 0.9999, "pegged_to": "USD", "observed_at": stamp(5)},
        "USDT": {"price": 0.9991, "stable_price": 0.9994, "pegged_to": "USD", "observed_at": stamp(5)},
        "BTC": {"price": BTC.spot, "observed_at": stamp(2)},
        "ETH": {"price": ETH.spot, "observed_at": stamp(2)},
        "SOL": {"price": SOL.spot, "observed_at": stamp(2)},
        "STETH": {"price": 2_112.25, "wraps": "ETH", "observed_at": stamp(12)},
    }


def snapshot() -> Row:
    """The whole market."""
    rates = {"BTC": 0.00006, "ETH": 0.00004, "SOL": -0.00003}
    interest = {"BTC": 46_500.0, "ETH": 610_000.0, "SOL": 4_900_000.0}
    instruments = [
        *(perpetual(m, f"{m.name}-PERPETUAL", m.name, rates[m.name], 0.4 * interest[m.name]) for m in (BTC, ETH)),
        *(
            perpetual(m, f"{m.name}_USDC-PERPETUAL", "USDC", rates[m.name], 0.2 * interest[m.name])
            for m in (BTC, ETH, SOL)
        ),
        *(perpetual(m, f"{m.name}USDT", "USDT", rates[m.name], interest[m.name]) for m in (BTC, ETH, SOL)),
        *(future(m, label, m.name) for m in (BTC, ETH) for label in ("27MAR26", "26JUN26")),
        *(future(m, "27MAR26", "USDC") for m in (BTC, ETH)),
        *chain(BTC, "BTC"),
        *chain(ETH, "ETH"),
        *chain(ETH, "USDC"),
    ]
    return {"as_of": stamp(), "reporting_asset": "USD", "assets": assets(), "instruments": instruments}


def held(instrument: str, quantity: str, entry_price: str | None = None, **more: object) -> Row:
    """One position."""
    entry = {} if entry_price is None else {"entry_price": entry_price}
    return {"instrument": instrument, "quantity": quantity, **entry, **more}


def desk() -> Row:
    """A volatility desk: coin and stable collateral, option books hedged with futures and perpetuals."""
    return {
        "id": "desk",
        "margin_mode": "portfolio",
        "balances": {
            "BTC": "1.85",
            "ETH": "42",
            "STETH": "64.5",
            "USDC": "118000",
            "USDT": "85000",
            "SOL": "-400",
        },
        "accrued": {"USDC": "-312.40", "SOL": "-1.85"},
        "positions": [
            held("BTC-27MAR26-76000-C", "-25"),
            held("BTC-27MAR26-64000-P", "-20"),
            held("BTC-26JUN26-80000-C", "18"),
            held("BTC-26JUN26-60000-P", "12"),
            held("BTC-6MAR26-71000-P", "8"),
            held("BTC-27MAR26", "21500", "71120"),
            held("BTC-PERPETUAL", "-9400", "70250", accrued_funding="-0.00418"),
            held("ETH-27MAR26-2300-C", "-320"),
            held("ETH-27MAR26-1900-P", "-260"),
            held("ETH-26JUN26-2400-C", "300"),
            held("ETH_USDC-6MAR26-2100-P", "150"),
            held("ETH_USDC-27MAR26-2200-C", "-180"),
            held("ETH_USDC-PERPETUAL", "165", "2066.50", accrued_funding="12.85"),
            held("ETHUSDT", "-90", "2148.20"),
            held("SOL_USDC-PERPETUAL", "2400", "88.90"),
            held(
                "SOLUSDT",
                "-1100",
                "90.15",
                margin_mode="isolated",
                isolated_collateral={"USDT": "46000"},
                leverage="10",
            ),
        ],
        "orders": [
            {"instrument": "BTC_USDC-PERPETUAL", "quantity": "1.5", "limit_price": "69500"},
            {"instrument": "ETH-27MAR26-2300-C", "quantity": "-40", "limit_price": "0.021"},
        ],
    }


def mission(name: str, option: str) -> Row:
    """A long BTC future beside one short ETH option: a call offsets it, a put must not."""
    positions = [held("BTC_USDC-27MAR26", "1", "71200"), held(option, "-60")]
    return {"id": name, "margin_mode": "portfolio", "balances": {"USDC": "150000"}, "positions": positions}


def accounts() -> Row:
    """All accounts of the demo."""
    one_perp = {
        "id": "one-perp",
        "margin_mode": "cross",
        "balances": {"USDT": "12000"},
        "positions": [held("BTCUSDT", "0.5", "70900")],
        "reported": {"equity": "12294.29", "maintenance_margin": "142.98"},
    }
    flat = {
        "id": "flat",
        "margin_mode": "cross",
        "balances": {"USDC": "25000", "ETH": "3.5"},
        "positions": [],
    }
    call, put = "ETH_USDC-27MAR26-2200-C", "ETH_USDC-27MAR26-2000-P"
    return {"accounts": [desk(), mission("mission-call", call), mission("mission-put", put), flat, one_perp]}


def documents() -> dict[str, str]:
    """File name to text: one instrument or account a line, so that a change reads well in a diff."""
    world = snapshot()
    rows = ",\n".join("  " + json.dumps(row) for row in world.pop("instruments"))
    head = json.dumps(world, indent=1)[:-2]
    return {
        "snapshot.json": f'{head},\n "instruments": [\n{rows}\n ]\n}}\n',
        "accounts.json": json.dumps(accounts(), indent=1) + "\n",
    }


def main() -> None:
    """Writes both files; with --check ends with status 1 where they are not what this script makes."""
    for market in (BTC, ETH):
        check_smile(market)
    for name, text in documents().items():
        if "--check" not in sys.argv:
            (PLACE / name).write_text(text, encoding="utf-8")
        elif (PLACE / name).read_text(encoding="utf-8") != text:
            sys.exit(f"{name} is not what scripts/make_demo.py makes: run it")


if __name__ == "__main__":
    main()
