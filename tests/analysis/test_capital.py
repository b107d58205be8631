"""Required capital and capital efficiency: by hand, and solved to a headroom of 0."""

from decimal import Decimal

import msgspec
import pytest

from crossmargin.account import Account, Book
from crossmargin.analysis import required_capital
from crossmargin.analysis.capital import capital_efficiency
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import assess
from crossmargin.sources import list_rulebooks, load_rulebook
from tests.analysis.desk import account, order, rules, snapshot
from tests.strategies.portfolios import market_of, portfolios


def capital(held: Account, total: str = "scan") -> float:
    return required_capital(held, snapshot(), rules(total))


@pytest.mark.parametrize("usd", ["0", "1", "1000000", "-5"])
def test_cash_alone_requires_nothing(usd: str) -> None:
    assert capital(account({}, usd=usd)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("usd", ["0", "100000"])
def test_a_position_requires_its_initial_margin_however_much_cash_there_is(usd: str) -> None:
    assert capital(account({"BTC-PERP": "4"}, usd=usd)) == pytest.approx(20_000)


def test_a_coin_requires_its_haircut() -> None:
    assert capital(account({}, balances={"BTC": Decimal(2)})) == pytest.approx(20_000)


def test_a_premium_is_capital() -> None:
    # two options bought for 5,000 each; the worst payoff of a long option is 0, so nothing else is asked
    assert capital(account({"BTC-1.0-C": "2"}), "payoff") == pytest.approx(0.0, abs=1e-6)
    # sold: 10,000 came in, 100,000 may go out at price 0
    assert capital(account({"BTC-1.0-P": "-2"}), "payoff") == pytest.approx(100_000)


def test_orders_and_the_venues_own_figures_are_backed_too() -> None:
    held = account({"BTC-PERP": "1"}, orders=(order("BTC-PERP", "1"),), inputs={"fixed": Decimal(250)})
    assert capital(held) == pytest.approx(10_250)


def test_netting_saves_capital() -> None:
    found = capital_efficiency(account({"BTC-PERP": "4", "BTC-FUT": "-3"}), snapshot(), rules("scan"))
    assert found.cross == pytest.approx(5_000)
    assert found.positions == pytest.approx({"BTC-PERP": 20_000, "BTC-FUT": 15_000})
    assert found.efficiency == pytest.approx(6 / 7)


def test_profit_and_funding_do_not_enter_a_part_alone() -> None:
    held = account({"BTC-PERP": "4"})
    changed = msgspec.structs.replace(held.positions[0], entry_price=Decimal(10_000), accrued_funding=Decimal(77))
    found = capital_efficiency(msgspec.structs.replace(held, positions=(changed,)), snapshot(), rules("scan"))
    assert found.positions == pytest.approx({"BTC-PERP": 20_000})
    assert found.efficiency == pytest.approx(0.0)


def test_what_compounds_costs_more_together() -> None:
    held = account({"BTC-FUT": "3"})
    second = msgspec.structs.replace(held.positions[0], pool="second")
    twice = msgspec.structs.replace(held, positions=(held.positions[0], second))
    found = capital_efficiency(twice, snapshot(), rules("squared"))
    assert found.cross == pytest.approx(0.001 * 36 * 50_000)
    assert found.efficiency == pytest.approx(-1.0)
    assert len(found.positions) == 2


def test_coins_are_parts_and_cash_is_not() -> None:
    held = account({"BTC-PERP": "1"}, balances={"BTC": Decimal(1)})
    found = capital_efficiency(held, snapshot(), rules("scan"))
    assert found.positions == pytest.approx({"BTC-PERP": 5_000, "BTC": 10_000})


def test_a_coin_and_a_contract_of_its_name_are_two_parts() -> None:
    listing = msgspec.structs.replace(snapshot().listings["BTC-PERP"], symbol="BTC")
    market = msgspec.structs.replace(snapshot(), listings={"BTC": listing})
    held = account({"BTC-PERP": "1"}, balances={"BTC": Decimal(1), "ETH": Decimal(1)})
    named = msgspec.structs.replace(held, positions=(msgspec.structs.replace(held.positions[0], instrument="BTC"),))
    found = capital_efficiency(named, market, rules("scan"))
    assert found.positions["BTC"] == pytest.approx(5_000)
    assert found.positions["BTC balance"] == pytest.approx(10_000)
    assert len(found.positions) == 3


def test_parts_of_one_contract_say_their_side_and_pool() -> None:
    one = account({"BTC-PERP": "-1"}).positions[0]
    positions = tuple(msgspec.structs.replace(one, pool=pool) for pool in ("a", "b"))
    held = msgspec.structs.replace(account({}), positions=positions)
    found = capital_efficiency(held, snapshot(), rules("scan"))
    assert set(found.positions) == {"BTC-PERP short a", "BTC-PERP short b"}


def test_nothing_at_stake_has_no_efficiency() -> None:
    assert capital_efficiency(account({}), snapshot(), rules("scan")).efficiency is None


def test_a_refused_account_keeps_its_reason() -> None:
    held = msgspec.structs.replace(account({"BTC-PERP": "1"}), balances={"GOLD": Decimal(1)})
    with pytest.raises(InputError) as caught:
        capital(held)
    assert caught.value.reason is FailureReason.UNKNOWN_ASSET
    assert caught.value.account == "desk"


@pytest.mark.parametrize("spec", [shipped.spec for shipped in list_rulebooks()])
def test_with_that_capital_headroom_is_nothing(spec: str) -> None:
    """One pool: the reporting balance changed by what is missing leaves no headroom and no lack."""
    rulebook = load_rulebook(spec)
    market = market_of(rulebook)
    for held in portfolios(rulebook, market, 4, seed=41):
        one = msgspec.structs.replace(held, positions=tuple(p for p in held.positions if p.margin_mode is None))
        report = assess(one, market, rulebook)
        if len(report.pools) > 1:
            continue
        needed = required_capital(one, market, rulebook)
        asset = report.pools[0].reporting_asset
        rate = 1.0 if rulebook.reporting != "settlement" else market.assets[asset].price
        added = Decimal(repr((needed - report.equity) / rate))
        balances = {**one.balances, asset: one.balances.get(asset, Decimal(0)) + added}
        after = assess(msgspec.structs.replace(one, balances=balances), market, rulebook)
        scale = abs(report.equity) + report.initial_margin + 1.0
        assert after.available_margin == pytest.approx(0.0, abs=1e-9 * scale)
        assert after.equity == pytest.approx(needed, rel=1e-9, abs=1e-9 * scale)


def test_the_account_is_one_book_with_its_parts() -> None:
    """Solving many accounts at once changes none of them."""
    rulebook = load_rulebook("reference")
    market = market_of(rulebook)
    held = portfolios(rulebook, market, 1, seed=3)[0]
    found = capital_efficiency(held, market, rulebook)
    assert found.cross == required_capital(held, market, rulebook)
    assert found.standalone == pytest.approx(sum(found.positions.values()))
    assert Book.from_accounts([held]).account_ids == (held.id,)
