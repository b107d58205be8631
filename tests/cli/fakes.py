"""Reports and explanations made by hand, so that what draws them is tested without the engine."""

from __future__ import annotations

from datetime import UTC, date, datetime
from math import exp, inf

from crossmargin.analysis.explanation import (
    CapitalEfficiency,
    Contribution,
    Explanation,
    FormulaNode,
    GreeksRow,
    LiquidationPrice,
    PoolTree,
    Profile,
    ProfilePoint,
)
from crossmargin.errors import Failure, FailureReason
from crossmargin.margin.report import (
    AccountState,
    BookRow,
    CollateralRow,
    LineAmount,
    MarginReport,
    PoolReport,
    RulebookId,
    ScenarioRow,
    ScenarioTable,
    Term,
)

SPOTS = (-16, -12, -8, -4, 0, 4, 8, 12, 16)
VOLS = ("down", "same", "up")
RULEBOOK = RulebookId(name="reference", effective_from=date(2026, 1, 1), digest="9f2c41aa" * 8)
AS_OF = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"


def pnl(spot: float, vol: str, bend: float) -> float:
    tilt = {"down": 1.4, "same": 1.0, "up": 0.55}[vol]
    return 4_200.0 * spot * tilt - bend * spot**2 + {"down": 21_000.0, "same": 0.0, "up": -38_000.0}[vol]


def scenario_table(row: str, bend: float) -> ScenarioTable:
    values = {f"spot {'0' if s == 0 else f'{s:+g}'} %, vol {v}": pnl(s, v, bend) for s in SPOTS for v in VOLS}
    worst = min(values, key=lambda name: values[name])
    rows = tuple(ScenarioRow(name=n, pnl=x, worst=n == worst) for n, x in values.items())
    return ScenarioTable(
        line="scan",
        row=row,
        requirement="maintenance",
        loss=max(0.0, -values[worst]),
        counts=1.0,
        worst_scenario=worst,
        scenarios=rows,
    )


def stress_table() -> ScenarioTable:
    values = {"2020-03-12": -412_000.0, "2021-05-19": -268_500.0, "2022-11-08": -90_120.5, "2026-02-05": 31_000.0}
    rows = tuple(ScenarioRow(name=n, pnl=x, worst=n == "2020-03-12") for n, x in values.items())
    return ScenarioTable(
        line="history",
        row="pool",
        requirement="maintenance",
        loss=412_000.0,
        counts=0.0,
        worst_scenario="2020-03-12",
        scenarios=rows,
    )


def collateral(asset: str, amount: float, price: float, factor: float) -> CollateralRow:
    value = amount * price
    counted = value * (factor if value > 0 else 1.02)
    return CollateralRow(
        asset=asset,
        amount=amount,
        price=price,
        value=value,
        adjusted_value_initial=counted,
        adjusted_value_maintenance=counted,
        haircut_initial=1 - factor if value > 0 else None,
        haircut_maintenance=1 - factor if value > 0 else None,
    )


def pool(name: str = "account", state: AccountState = AccountState.HEALTHY) -> PoolReport:
    return PoolReport(
        pool=name,
        reporting_asset="USD",
        state=state,
        band=None,
        equity=1_642_318.44,
        adjusted_equity_initial=1_498_220.10,
        adjusted_equity_maintenance=1_521_904.77,
        initial_margin=812_450.25,
        maintenance_margin=624_961.73,
        coverage_ratio=2.4352,
        available_margin=685_769.85,
        maintenance_headroom=896_943.04,
        scan_loss=548_112.30,
        worst_scenario="spot +16 %, vol up",
        requirements={"maintenance": 624_961.73, "initial": 812_450.25},
        lines={
            "coins": LineAmount(section="values", initial=1_061_200.0, maintenance=1_084_884.67),
            "unrealized": LineAmount(section="values", initial=22_140.10, maintenance=22_140.10),
            "debts": LineAmount(section="values", initial=-84_090.0, maintenance=-84_090.0),
            "scan": LineAmount(section="charges", initial=712_545.99, maintenance=548_112.30),
            "tail": LineAmount(section="charges", initial=301_118.00, maintenance=231_629.00),
            "short_options": LineAmount(section="charges", initial=61_204.26, maintenance=47_080.20),
            "borrow": LineAmount(section="charges", initial=38_700.0, maintenance=29_769.23),
        },
        initial_terms=(
            Term(expression="1.3 * max(scan, tail)", amount=712_545.99),
            Term(expression="1.3 * short_options", amount=61_204.26),
            Term(expression="1.3 * borrow", amount=38_700.0),
        ),
        maintenance_terms=(
            Term(expression="max(scan, tail)", amount=548_112.30),
            Term(expression="short_options", amount=47_080.20),
            Term(expression="borrow", amount=29_769.23),
        ),
        collateral=(
            collateral("BTC", 6.25, 71_480.0, 0.95),
            collateral("ETH", 140.0, 2_115.0, 0.93),
            collateral("STETH", 180.5, 2_112.25, 0.88),
            collateral("USDC", 424_687.60, 0.9998, 0.995),
            collateral("USDT", 160_000.0, 0.9991, 0.98),
            collateral("SOL", -901.85, 91.6, 1.0),
        ),
        scenario_tables=(scenario_table("BTC", 900.0), scenario_table("ETH", 300.0), stress_table()),
        withdrawable={"BTC": 6.25, "ETH": 140.0, "USDC": 424_687.6, "SOL": 0.0},
    )


def report(account: str = "desk", pools: tuple[PoolReport, ...] | None = None) -> MarginReport:
    pools = pools or (pool(),)
    first = pools[0]
    return MarginReport(
        schema_version="1.0",
        engine_version="0.1.0",
        rulebook=RULEBOOK,
        as_of=AS_OF,
        account=account,
        reporting_asset="USD",
        state=max((p.state for p in pools), key=list(AccountState).index),
        worst_pool=first.pool,
        equity=first.equity,
        adjusted_equity_initial=first.adjusted_equity_initial,
        adjusted_equity_maintenance=first.adjusted_equity_maintenance,
        initial_margin=first.initial_margin,
        maintenance_margin=first.maintenance_margin,
        coverage_ratio=first.coverage_ratio,
        available_margin=first.available_margin,
        maintenance_headroom=first.maintenance_headroom,
        scan_loss=first.scan_loss,
        worst_scenario=first.worst_scenario,
        lines=first.lines,
        pools=pools,
        warnings=("short_options: the rate 0.05 is unverified",),
    )


def leaf(name: str, row: str, expression: str, value: float, **figures: float) -> FormulaNode:
    return FormulaNode(
        name=name,
        level="bucket",
        row=row,
        kind="formula",
        requirement="maintenance",
        expression=expression,
        figures=figures,
        value=value,
        unverified=name == "short_options",
    )


def tree(name: str = "account") -> PoolTree:
    scan = leaf("scan", "BTC", "largest loss over 27 scenarios", 548_112.30, worst=-548_112.30)
    tail = leaf("tail", "BTC", "weight * loss", 231_629.00, weight=0.5, loss=463_258.0)
    top = FormulaNode(
        name="maintenance",
        level="account",
        row="account",
        kind="formula",
        requirement="maintenance",
        expression="max(scan, tail) + short_options + borrow",
        figures={"scan": 548_112.30, "tail": 231_629.0, "short_options": 47_080.20, "borrow": 29_769.23},
        value=624_961.73,
        inactive=("tail",),
        children=(
            scan,
            tail,
            leaf("short_options", "BTC", "rate * short * index", 47_080.20, rate=0.05, short=13.17, index=71_480.0),
            leaf("borrow", "SOL", "marginal(tiers, short * price)", 29_769.23, short=901.85, price=91.6),
        ),
    )
    equity = leaf(
        "adjusted", "account", "coins + debts + unrealized", 1_521_904.77, coins=1_583_854.67, debts=-84_090.0
    )
    return PoolTree(
        pool=name,
        reporting_asset="USD",
        adjusted_equity={"maintenance": equity},
        requirements={"maintenance": top},
    )


def profile(underlying: str, centre: float) -> Profile:
    points = []
    for i in range(120):
        multiple = 0.05 * (200 ** (i / 119))
        loss = 900_000 * abs(multiple / centre - 1) ** 1.3
        ratio = (1_521_904.77 - loss) / (624_961.73 * (0.6 + 0.4 * exp(abs(multiple - 1))))
        points.append(
            ProfilePoint(
                multiple=multiple,
                adjusted_equity=1_521_904.77 - loss,
                maintenance_margin=624_961.73,
                coverage_ratio=ratio,
                liquidatable=ratio < 1,
            )
        )
    return Profile(pool="account", underlying=underlying, path="alone", points=tuple(points))


GREEKS = (
    GreeksRow(
        pool="account",
        underlying="BTC",
        delta=-4.21,
        delta_value=-300_930.8,
        gamma=-51_200.4,
        vega=-9_120.3,
        theta=8_211.9,
        rho=-12.4,
    ),
    GreeksRow(
        pool="account",
        underlying="ETH",
        delta=88.4,
        delta_value=186_966.0,
        gamma=-20_411.0,
        vega=-3_004.2,
        theta=2_870.0,
        rho=3.1,
    ),
)
LIQUIDATION_PRICES = (
    LiquidationPrice(
        pool="account",
        underlying="BTC",
        path="alone",
        spot=71_480.0,
        below=41_233.9,
        above=98_120.4,
        already_liquidatable=False,
        safe_regions=((41_233.9, 98_120.4), (512_000.0, 714_800.0)),
    ),
    LiquidationPrice(
        pool="account",
        underlying="ETH",
        path="alone",
        spot=2_115.0,
        below=None,
        above=4_980.2,
        already_liquidatable=False,
        safe_regions=((105.75, 4_980.2),),
    ),
)


def explanation(account: str = "desk") -> Explanation:
    names = ("BTC-27MAR26-76000-C", "BTC-27MAR26", "ETH-27MAR26-2300-C", "ETHUSDT", "BTC", "SOL")
    amounts = (402_000.0, -112_000.0, 244_960.0, 60_000.5, 0.0, 30_001.23)
    positions = {
        "BTC-27MAR26-76000-C": 611_000.0,
        "BTC-27MAR26": 288_500.0,
        "ETH-27MAR26-2300-C": 240_100.0,
        "ETHUSDT": 92_000.0,
    }
    return Explanation(
        report=report(account),
        trees=(tree(),),
        contributions=tuple(
            Contribution(
                pool="account",
                name=name,
                quantity=-25.0 + i,
                initial_margin=1.3 * amount,
                maintenance_margin=amount,
                adjusted_equity_initial=0.0,
                adjusted_equity_maintenance=0.0,
                method="euler" if i % 2 else "ray_average",
            )
            for i, (name, amount) in enumerate(zip(names, amounts, strict=True))
        ),
        greeks=GREEKS,
        liquidation_prices=LIQUIDATION_PRICES,
        profiles=(profile("BTC", 1.0), profile("ETH", 1.4)),
        capital_efficiency=CapitalEfficiency(
            cross=812_450.25, standalone=1_231_600.0, efficiency=0.3403, positions=positions
        ),
        required_capital=812_450.25,
    )


def book_rows() -> list[BookRow]:
    good = report()
    fields = {name: getattr(good, name) for name in BookRow.__struct_fields__ if name not in {"account", "failure"}}
    refused = Failure(
        FailureReason.MISSING_QUOTE, "no mark price for ETH-27MAR26-9999-C", "old-desk", "ETH-27MAR26-9999-C"
    )
    flat = {**fields, "maintenance_margin": 0.0, "initial_margin": 0.0, "coverage_ratio": inf}
    low = {**fields, "state": AccountState.LIQUIDATABLE, "maintenance_headroom": -1_204.22, "coverage_ratio": 0.931}
    return [
        BookRow(account="desk", **fields),
        BookRow(account="flat", **flat),
        BookRow(account="mission-put", **low),
        BookRow(account="old-desk", failure=refused),
    ]
