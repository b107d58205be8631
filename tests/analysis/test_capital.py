"""Required capital and capital efficiency: by hand, and solved to a headroom of 0."""

from decimal import Decimal
from importlib.resources import files

import msgspec
import pytest

from crossmargin.account import Account, Book
from crossmargin.analysis import required_capital
from crossmargin.analysis.capital import capital_efficiency
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import MarginReport, Rulebook, assess, parse_rulebook
from crossmargin.market import AssetQuote, Snapshot
from crossmargin.sources import list_rulebooks, load_accounts, load_rulebook, load_snapshot
from tests.analysis.desk import account, order, rules, snapshot
from tests.strategies.books import LOANS
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
    if rulebook.name in LOANS:
        pytest.skip(f"under {spec} dollars back nothing")
    market = market_of(rulebook)
    for held in portfolios(rulebook, market, 4, seed=41):
        one = msgspec.structs.replace(held, positions=tuple(p for p in held.positions if p.margin_mode is None))
        report = assess(one, market, rulebook)
        if len(report.pools) > 1:
            continue
        needed = required_capital(one, market, rulebook)
        after = assess(funded(one, report, needed, market, rulebook, pegged=False), market, rulebook)
        scale = abs(report.equity) + report.initial_margin + 1.0
        if after.available_margin < -1e-9 * scale:  # the loan is charged: what is pegged went first
            after = assess(funded(one, report, needed, market, rulebook, pegged=True), market, rulebook)
        assert after.available_margin == pytest.approx(0.0, abs=1e-9 * scale)
        assert after.equity == pytest.approx(needed, rel=1e-9, abs=1e-9 * scale)


def funded(
    held: Account, report: MarginReport, needed: float, market: Snapshot, rulebook: Rulebook, *, pegged: bool
) -> Account:
    """Return the account after cash was added or taken: the reporting balance, what is pegged to it, then a loan."""
    asset = report.pools[0].reporting_asset
    balances = dict(held.balances)
    rate = 1.0 if rulebook.reporting != "settlement" else market.assets[asset].price
    missing = Decimal(repr((report.equity - needed) / rate)) - max(balances.get(asset, Decimal(0)), Decimal(0))
    balances[asset] = min(balances.get(asset, Decimal(0)), Decimal(0)) - missing
    for name in [name for name in balances if pegged and market.assets[name].pegged_to == asset]:
        worth = Decimal(repr(market.assets[name].price))
        taken = min(max(-balances[asset], Decimal(0)), max(balances[name], Decimal(0)) * worth)
        balances[name] -= taken / worth
        balances[asset] += taken
    return msgspec.structs.replace(held, balances=balances)


LOANS_CHARGED = """
[rulebook]
name = "loans"
effective_from = 2026-01-01
reporting = "USD"
scope = ["perpetual", "asset"]
[sources]
S1 = { title = "by hand", status = "inferred" }
[charges]
source = "S1"
[charges.margin]
of = "perpetual"
is = "rate * notional"
rate = 0.1
[charges.loan]
of = "debt"
is = "fee * short * price"
fee = FEE
[charges.haircuts]
of = "long coin"
haircut = true
is = "cut * value"
cut = { by = "asset", USDC = 0.1, default = 0 }
[values.holdings]
is = "value"
[equity]
adjusted = "holdings - haircuts"
[requirement]
maintenance = "margin + loan"
initial = "margin + loan"
"""


@pytest.mark.parametrize(
    ("balances", "charged", "not_charged"),
    [
        ({"USD": 30_000, "USDT": 8_000}, 5_000, 5_000),
        ({"USDT": 9_000}, 5_000, 5_000),
        # 3,000 and 5,000 less 10 %; the one that stands first goes first: x of 3,000 + 4,500 - x = 5,000 ...
        ({"USDT": 3_000, "USDC": 10_000}, 8_000 - 2_500, 8_000 - 2_500),
        # ... or 3,000 + 0.9 (5,000 - x) = 5,000; a loan leaves the haircut on all of it
        ({"USDC": 10_000, "USDT": 3_000}, 8_000 - 2_500 / 0.9, 8_000 - 2_500),
        # nothing is pegged, or not enough: 50,000 - x = 5,000 + 0.02 x for the loan x
        ({"BTC": 1}, 50_000 - 45_000 / 1.02, 5_000),
        ({"BTC": 1, "USDT": 4_000}, 50_000 - 45_000 / 1.02, 5_000),
        # debts of the pegged coin stay, and so does what is missing
        ({"USDT": -1_000, "USD": 9_000}, 5_000 + 20, 5_000),
        ({"USDT": 1_000}, 5_000, 5_000),
    ],
)
def test_where_loans_are_charged_what_is_pegged_is_taken_first(
    balances: dict[str, int], charged: float, not_charged: float
) -> None:
    pegged = {"USDT": AssetQuote(price=1.0, pegged_to="USDC"), "USDC": AssetQuote(price=0.5, pegged_to="USD")}
    market = msgspec.structs.replace(snapshot(), assets={**snapshot().assets, **pegged})
    held = account({"BTC-PERP": "1"}, usd="0", balances={name: Decimal(n) for name, n in balances.items()})
    for fee, wanted in (("0.02", charged), ("0", not_charged)):
        rulebook = parse_rulebook(LOANS_CHARGED.replace("FEE", fee), "loans.toml")
        assert required_capital(held, market, rulebook) == pytest.approx(wanted), fee


def test_the_demo_is_charged_no_loan_that_nobody_takes() -> None:
    """Dollar coins, a rulebook in dollars that charges borrowing: the capital is the initial margin."""
    folder = files("crossmargin.cli").joinpath("demo")
    market = load_snapshot(str(folder.joinpath("snapshot.json")))
    held = {one.id: one for one in load_accounts(str(folder.joinpath("accounts.json"))).require()}["mission-call"]
    rulebook = load_rulebook("okx-portfolio@2025-01-15")
    assert set(held.balances) == {"USDC"}
    needed = required_capital(held, market, rulebook)
    assert needed == pytest.approx(assess(held, market, rulebook).initial_margin)


def test_the_account_is_one_book_with_its_parts() -> None:
    """Solving many accounts at once changes none of them."""
    rulebook = load_rulebook("reference")
    market = market_of(rulebook)
    held = portfolios(rulebook, market, 1, seed=3)[0]
    found = capital_efficiency(held, market, rulebook)
    assert found.cross == required_capital(held, market, rulebook)
    assert found.standalone == pytest.approx(sum(found.positions.values()))
    assert Book.from_accounts([held]).account_ids == (held.id,)
