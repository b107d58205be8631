"""Binance's margin parameters of an option, posed as sold options; and the venue's other rulebooks on its own pages."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.binance_options import FAMILY
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from crossmargin.errors import InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin import AccountState, MarginReport, assess
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.conformance.made import LOADED
from tests.strategies.books import AS_OF

if TYPE_CHECKING:
    from pathlib import Path

MADE: dict[str, Any] = {
    "initialMargin": 0.2,
    "maintenanceMargin": 0.09,
    "minInitialMargin": 0.12,
    "minMaintenanceMargin": 0.04,
    "liquidationFeeRate": 0.003,
}


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    fields = Fields(document, "")
    return [judge(FAMILY, fields, index, name, LOADED) for index, name in enumerate(FAMILY.names(fields))]


def test_the_parameters_are_what_an_option_requires() -> None:
    assert FAMILY.recognises(MADE)
    assert [verdict.failures for verdict in verdicts(MADE)] == [(), ()]


def test_a_fee_is_not_needed() -> None:
    document = {key: value for key, value in MADE.items() if key != "liquidationFeeRate"}
    assert [verdict.failures for verdict in verdicts(document)] == [(), ()]
    assert set(FAMILY.parameters(Fields(document, ""), 0)) == set(document)


def test_a_floor_above_the_share_is_told_where_the_share_is_expected() -> None:
    for verdict in verdicts({**MADE, "minInitialMargin": 0.3}):
        assert [failure.figure for failure in verdict.failures] == ["initialMargin"]


@pytest.mark.parametrize("value", ["0.1", None, [1]])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        FAMILY.pose(Fields({**MADE, "initialMargin": value}, ""), 0, LOADED)


@pytest.mark.shared
def test_the_published_parameters_reproduce(shared: Path) -> None:
    path = shared / "cases" / "venue_binance_options_params.json"
    if not path.is_file():
        pytest.skip(f"published cases absent: no file {path}")
    document = json.loads(path.read_text())
    assert FAMILY.recognises(document)
    assert [verdict.failures for verdict in verdicts(document)] == [(), ()]


# --- portfolio margin: the venue's worked account


PRICES = {"BTC": 40_000.0, "ETH": 2_500.0, "USDT": 1.0, "USD": 1.0}


def contract(symbol: str, mark: float, *, inverse: bool = False) -> Listing:
    return Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        underlying="BTC",
        quote_asset="USD" if inverse else "USDT",
        settlement_asset="BTC" if inverse else "USDT",
        contract=ContractKind.INVERSE if inverse else ContractKind.LINEAR,
        multiplier=100.0 if inverse else 1.0,
        mark_price=mark,
        index_price=40_000.0,
    )


MARKET = Snapshot(
    as_of=AS_OF,
    reporting_asset="USD",
    assets={asset: AssetQuote(price=price) for asset, price in PRICES.items()},
    listings={
        one.symbol: one
        for one in (
            contract("BTCUSDT", 40_000.0),
            contract("BTCUSDT_241227", 42_000.0),
            contract("BTCUSD_PERP", 40_000.0, inverse=True),
        )
    },
)


def held(symbol: str, quantity: str, entry: str) -> Position:
    return Position(instrument=symbol, quantity=Decimal(quantity), entry_price=Decimal(entry))


def portfolio(account: Account) -> MarginReport:
    return assess(account, MARKET, LOADED("binance-portfolio"))


def test_loans_need_a_tenth_at_a_leverage_of_three() -> None:
    """0.04 BTC need 0.004 BTC, 15 ETH need 1.5 ETH; less at a higher loan leverage."""
    owed = {"BTC": Decimal("-0.04"), "ETH": Decimal(-15)}
    wanted = 0.004 * PRICES["BTC"] + 1.5 * PRICES["ETH"]
    assert portfolio(Account(id="a", balances=owed)).maintenance_margin == pytest.approx(wanted, rel=1e-12)
    for class_, share, leverage in (("margin-3x", 1, 3), ("margin-5x", 0.8, 5), ("margin-10x", 0.5, 10)):
        report = portfolio(Account(id="a", balances=owed, class_=class_))
        assert report.maintenance_margin == pytest.approx(share * wanted, rel=1e-12)
        assert report.initial_margin == pytest.approx(10 * wanted / (leverage - 1), rel=1e-12)


def test_futures_of_the_worked_account() -> None:
    """Its P&L: 600 of the short, -414 of the long; in coin, contracts of 100 dollars."""
    short, long = held("BTCUSDT", "-0.05", "52000"), held("BTCUSDT_241227", "0.04", "52350")
    report = portfolio(Account(id="a", balances={"USDT": Decimal(5_000)}, positions=(short, long)))
    (pool,) = report.pools
    assert pool.equity == pytest.approx(5_000 + 600 - 414, rel=1e-12)
    assert pool.adjusted_equity_maintenance == pytest.approx(5_186, rel=1e-12)
    assert report.maintenance_margin == pytest.approx(0.004 * 2_000 + 0.01 * 1_680, rel=1e-12)
    coin = portfolio(Account(id="a", positions=(held("BTCUSD_PERP", "100", "50000"),)))
    loss = 10_000 * (1 / 50_000 - 1 / 40_000) * 40_000
    assert coin.equity == pytest.approx(loss, rel=1e-12)
    assert coin.pools[0].adjusted_equity_maintenance == pytest.approx(loss, rel=1e-12)  # a loss counts in full
    assert coin.maintenance_margin == pytest.approx(0.004 * 0.25 * 40_000, rel=1e-12)


@pytest.mark.parametrize(
    ("cash", "band", "state"),
    [
        (160, None, AccountState.HEALTHY),
        (149, "reminder", AccountState.MARGIN_CALL),
        (119, "reduce_only", AccountState.MARGIN_CALL),
        (106, "reduce_only", AccountState.MARGIN_CALL),
        (105, "reduce_only", AccountState.LIQUIDATABLE),  # the trigger holds at 1.05 itself
        (101, "liquidation", AccountState.LIQUIDATABLE),
        (99, "liquidation_and_claim", AccountState.LIQUIDATABLE),
    ],
)
def test_bands_of_the_unified_ratio(cash: int, band: str | None, state: AccountState) -> None:
    """A position of 25,000 at 0.4 % needs 100."""
    leverage = Decimal(250) if cash > 149 else Decimal(100)
    position = held("BTCUSDT", "0.625", "40000")
    account = Account(
        id="a",
        balances={"USDT": Decimal(cash)},
        positions=(Position(instrument="BTCUSDT", quantity=position.quantity, entry_price=position.entry_price,
                            leverage=leverage),),
    )  # fmt: skip
    report = portfolio(account)
    assert report.coverage_ratio == pytest.approx(cash / 100, rel=1e-12)
    assert (report.pools[0].band, report.state) == (band, state)


# --- coin-margined futures


def test_coin_brackets_are_in_coins_and_each_coin_is_a_pool() -> None:
    account = Account(
        id="a",
        balances={"BTC": Decimal(3), "ETH": Decimal(100)},
        positions=(held("BTCUSD_PERP", "6000", "40000"),),  # 600,000 dollars: 15 coins
    )
    report = assess(account, MARKET, LOADED("binance-coinm"))
    pools = {pool.pool: pool for pool in report.pools}
    wanted = 5 * 0.004 + 5 * 0.005 + 5 * 0.01
    assert pools["BTC"].maintenance_margin == pytest.approx(wanted, rel=1e-12)
    assert pools["BTC"].initial_margin == pytest.approx(15 / 20, rel=1e-12)
    assert pools["BTC"].adjusted_equity_maintenance == pytest.approx(3, rel=1e-12)
    assert pools["ETH"].maintenance_margin == 0


def test_the_brackets_of_autumn_2024_subtract_what_the_venue_subtracts() -> None:
    for notional, rate, subtracted in ((40_000_000, 0.02, 131_450), (4_000_000_000, 0.5, 421_481_450)):
        account = Account(id="a", positions=(held("BTCUSDT", str(notional // 40_000), "40000"),))
        report = assess(account, MARKET, LOADED("binance-usdm@2024-09-01"))
        assert report.maintenance_margin == pytest.approx(notional * rate - subtracted, rel=1e-12)
