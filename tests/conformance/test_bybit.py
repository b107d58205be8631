"""Bybit's examples: a short option by its formula, and collateral tiers; cases of our own, and the published ones."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.account import Account, Order, Position
from crossmargin.analysis.conformance.bybit import FAMILIES
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from crossmargin.errors import CrossmarginError, InputError
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import MarginReport, assess
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.conformance.made import LOADED
from tests.strategies.books import AS_OF

if TYPE_CHECKING:
    from pathlib import Path

OPTION, TIERS = FAMILIES
RULE = "MM=(max(0.04*S,0.04*mark)+mark+0.5%*S)*q ; IM=max(max(0.2*S-OTM,0.05*S)+max(entry,mark), MM)"
# maintenance is 40 and the mark of 30 and 5; initial 200 less the 100 out of the money, and the entry at 35
SHORT_PUT: dict[str, Any] = {"spot": 1000, "K": 900, "mark": 30, "entry": 35, "formula": RULE}
SHORT_PUT |= {"expected_mm": 75, "expected_im": 135}
COINS: dict[str, Any] = {"eth_tiers": [[100, 0.9], [400, 0.8], ["inf", 0.25]], "usdc": 0.99, "note": "made"}


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    fields = Fields(document, "")
    (family,) = [family for family in FAMILIES if family.recognises(document)]
    return [judge(family, fields, index, name, LOADED) for index, name in enumerate(family.names(fields))]


def test_the_formula_of_the_case_is_posed() -> None:
    assert [verdict.failures for verdict in verdicts(SHORT_PUT)] == [()]


@pytest.mark.parametrize(
    ("changes", "maintenance", "initial"),
    [
        ({"type": "call", "K": 1050}, 75, 185),  # out of the money by 50
        ({"type": "call", "K": 2000}, 75, 85),  # the floor
        ({"q": 3}, 225, 405),
        ({"q": -0.5}, 37.5, 67.5),
        ({"mark": 2000, "entry": 1}, 2085, 2100),  # the factor on the mark
        ({"entry": None}, 75, 130),  # an account that states no entry: the mark
        ({"formula": None, "K": 2000, "type": "call"}, 62, 135),  # 3 %, 0.2 %, 15 % and 10 % as shipped
        ({"formula": RULE.replace("0.2*S-OTM,0.05*S", "0.01*S-OTM,0.01*S")}, 75, 75),  # maintenance is the least
    ],
)
def test_variants_of_the_short_option(changes: dict[str, Any], maintenance: float, initial: float) -> None:
    stated = {**SHORT_PUT, **changes, "expected_mm": maintenance, "expected_im": initial}
    document = {key: value for key, value in stated.items() if value is not None}
    assert [verdict.failures for verdict in verdicts(document)] == [()]


@pytest.mark.parametrize("key", ["expected_mm", "expected_im"])
def test_a_wrong_figure_is_told(key: str) -> None:
    (verdict,) = verdicts({**SHORT_PUT, key: SHORT_PUT[key] + 0.001})
    (failure,) = verdict.failures
    assert (failure.figure, failure.tolerance) == (key, 1e-9)


@pytest.mark.parametrize(
    "changes",
    [{"formula": "MM=mark+0.2"}, {"formula": RULE.replace("0.04*mark", "0.05*mark")}, {"type": "swap"}, {"K": "x"}],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        OPTION.pose(Fields({**SHORT_PUT, **changes}, ""), 0, LOADED)


def test_each_tier_is_the_rate_of_one_more_coin() -> None:
    found = verdicts(COINS)
    assert TIERS.names(Fields(COINS, "")) == ["eth_tiers[0]", "eth_tiers[1]", "eth_tiers[2]", "usdc"]
    assert [verdict.failures for verdict in found] == [()] * 4
    assert all(verdict.residual is not None and verdict.residual < 1e-12 for verdict in found)


def test_every_number_of_the_tiers_is_a_parameter() -> None:
    fields = Fields(COINS, "")
    names = {name for index in range(4) for name in TIERS.parameters(fields, index)}
    assert names == {
        *("eth_tiers[0].rate", "eth_tiers[1].rate", "eth_tiers[2].rate"),
        *("eth_tiers[0].bound", "eth_tiers[1].bound", "usdc"),
    }


@pytest.mark.parametrize(
    "rows", [[[10, 0.9]], [[10, 0.9], [10, 0.8], ["inf", 0]], [[10], ["inf", 0]], [7], [["x", 1], ["inf", 0]]]
)
def test_tiers_of_another_shape_are_refused(rows: list[Any]) -> None:
    document = {**copy.deepcopy(COINS), "eth_tiers": rows}
    with pytest.raises(CrossmarginError):
        TIERS.pose(Fields(document, ""), 0, LOADED)


# --- the shipped rulebook itself


def assessed(account: Account, *listings: Listing) -> MarginReport:
    assets = {"USD": AssetQuote(price=1.0), "USDC": AssetQuote(price=1.0), "USDT": AssetQuote(price=1.0)}
    assets["BTC"] = AssetQuote(price=30_000.0)
    listed = {one.symbol: one for one in listings}
    snapshot = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings=listed)
    return assess(account, snapshot, LOADED("bybit-unified"))


def test_the_short_call_of_the_help_page() -> None:
    """Index 30,000, strike 31,000, mark 300: max(3 %) + 300 + 0.2 % of the index."""
    call = Listing(
        symbol="C",
        kind=InstrumentKind.OPTION,
        underlying="BTC",
        quote_asset="USDC",
        settlement_asset="USDC",
        expiry=AS_OF.replace(year=2027),
        strike=31_000.0,
        option_type=OptionType.CALL,
        mark_price=300.0,
        index_price=30_000.0,
        forward_price=30_000.0,
        mark_iv=0.6,
    )
    account = Account(
        id="a", balances={"USDC": Decimal(10_000)}, positions=(Position(instrument="C", quantity=Decimal(-1)),)
    )
    report = assessed(account, call)
    assert report.maintenance_margin == pytest.approx(1_260, rel=1e-12)
    assert 1 / report.coverage_ratio == pytest.approx(0.126, rel=1e-12)  # the MM rate


def test_deductions_of_all_perpetual_tiers() -> None:
    """Maintenance at each bound is value x rate - deduction, with the deductions that the venue prints."""
    printed = {
        2_000_000: (0.005, 0),
        2_600_000: (0.0056, 1_200),
        3_200_000: (0.0063, 3_020),
        3_800_000: (0.0067, 4_300),
        4_400_000: (0.0071, 5_820),
        5_000_000: (0.0077, 8_460),
        5_600_000: (0.0091, 15_460),
        8_500_000: (0.01, 20_500),
        10_000_000: (0.013, 46_000),
        14_000_000: (0.015, 66_000),
        20_000_000: (0.016, 80_000),
        28_000_000: (0.02, 160_000),
        38_000_000: (0.025, 300_000),
        50_000_000: (0.029, 452_000),
        55_000_000: (0.03, 502_000),
        60_000_000: (0.035, 777_000),
        65_000_000: (0.036, 837_000),
        70_000_000: (0.038, 967_000),
        75_000_000: (0.04, 1_107_000),
        80_000_000: (0.045, 1_482_000),
    }
    for value, (rate, deduction) in printed.items():
        report = assessed(perpetual_account(value), btcusdt())
        assert report.maintenance_margin == pytest.approx(value * rate - deduction, rel=1e-12)


def test_leverage_is_at_most_that_of_the_tier() -> None:
    report = assessed(perpetual_account(9_000_000, leverage=Decimal(90)), btcusdt())
    assert report.initial_margin == pytest.approx(9_000_000 / 45, rel=1e-12)
    lower = assessed(perpetual_account(9_000_000, leverage=Decimal(10)), btcusdt())
    assert lower.initial_margin == pytest.approx(900_000, rel=1e-12)


@pytest.mark.parametrize(
    ("orders", "filled"),
    [((20, -30), 1_600_000), ((20, -100), 2_000_000), ((-50,), 1_000_000), ((), 1_000_000)],
)
def test_orders_count_in_both_requirements_by_the_worse_side(orders: tuple[int, ...], filled: int) -> None:
    """A million long; as held, with all bids filled, or with all asks filled."""
    held = perpetual_account(1_000_000).positions
    report = assessed(Account(id="a", positions=held, orders=tuple(order(one) for one in orders)), btcusdt())
    assert report.maintenance_margin == pytest.approx(0.005 * filled, rel=1e-12)
    assert report.initial_margin == pytest.approx(filled / 100, rel=1e-12)


def test_a_debt_counts_in_full_and_a_coin_by_its_tiers() -> None:
    report = assessed(Account(id="a", balances={"BTC": Decimal(25), "USDT": Decimal(-1_000)}))
    (pool,) = report.pools
    assert pool.adjusted_equity_maintenance == pytest.approx((10 * 0.98 + 10 * 0.95 + 5 * 0.9) * 30_000 - 1_000)


def btcusdt() -> Listing:
    return Listing(
        symbol="BTCUSDT",
        kind=InstrumentKind.PERPETUAL,
        underlying="BTC",
        quote_asset="USDT",
        settlement_asset="USDT",
        mark_price=30_000.0,
        index_price=30_000.0,
    )


def perpetual_account(value: int, **changes: Any) -> Account:  # noqa: ANN401 - fields of a position
    quantity = Decimal(value) / Decimal(30_000)
    held = Position(instrument="BTCUSDT", quantity=quantity, entry_price=Decimal(30_000), **changes)
    return Account(id="a", positions=(held,))


def order(quantity: int) -> Order:
    return Order(instrument="BTCUSDT", quantity=Decimal(quantity), limit_price=Decimal(30_000))


# --- published cases


@pytest.mark.shared
@pytest.mark.parametrize(("name", "count"), [("venue_bybit_short_put", 1), ("venue_bybit_collateral_tiers", 7)])
def test_the_published_cases_reproduce(shared: Path, name: str, count: int) -> None:
    path = shared / "cases" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"published cases absent: no file {path}")
    found = verdicts(json.loads(path.read_text()))
    assert [verdict.failures for verdict in found] == [()] * count
    assert all(verdict.residual is not None and verdict.residual < 1e-12 for verdict in found)
