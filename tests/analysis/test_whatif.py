"""What-ifs against `assess` of the account that really holds what the what-if says."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, MarginMode, Order, Position, PositionSide
from crossmargin.analysis.prepared import Prepared, Trade, prepare
from crossmargin.analysis.trades import Changes, Leg, Shock, changed_account
from crossmargin.analysis.whatif import WhatIf, what_if
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import MarginReport, assess
from crossmargin.market import AssetQuote
from tests.strategies.books import (
    ASSETS,
    LATEST,
    coins_of,
    decimal,
    in_scope,
    market,
    option,
    perpetual,
    random_accounts,
    rules,
    snapshot_of,
    units,
)

REFERENCE = next(spec for spec in LATEST if spec.startswith("reference@"))
LINEAR, INVERSE = perpetual("BTC", "USDC", quote_asset="USDC"), perpetual("BTC", "BTC")
CALL, COIN_CALL = (option("BTC", settle, 50, 60_000.0, call=True) for settle in ("USDC", "BTC"))
SPOT = market().listings["ETH/USD"]
MARKET = snapshot_of([LINEAR, INVERSE, CALL, COIN_CALL, SPOT])
FIGURES = ("equity", "initial_margin", "maintenance_margin", "available_margin", "maintenance_headroom")


def d(text: float | str) -> Decimal:
    return Decimal(str(text))


def desk(*positions: Position, **balances: float) -> Account:
    return Account(id="desk", positions=positions, balances={name: d(amount) for name, amount in balances.items()})


def held(symbol: str, quantity: float, entry: float | None = None, **more: object) -> Position:
    return Position(instrument=symbol, quantity=d(quantity), entry_price=None if entry is None else d(entry), **more)  # type: ignore[arg-type]


def after(account: Account, *legs: Leg, fee_rate: float = 0.0) -> Account:
    return changed_account(account, MARKET, Changes(add=legs, fee_rate=fee_rate))[0]


# --- what a trade does to an account, exactly


def test_opening_a_perpetual_takes_no_cash_and_adding_averages_the_entry() -> None:
    one = after(desk(USDC=1_000), (LINEAR.symbol, d(2), d(60_000)))
    assert one.balances == {"USDC": 1_000}
    assert one.positions == (held(LINEAR.symbol, 2, 60_000),)
    two = after(one, (LINEAR.symbol, d(1), d(63_000)))
    assert two.positions == (held(LINEAR.symbol, 3, 61_000),)


def test_reducing_realises_profit_into_the_wallet_and_leaves_the_entry() -> None:
    account = desk(held(LINEAR.symbol, 3, 60_000, accrued_funding=d(9)), USDC=1_000)
    one = after(account, (LINEAR.symbol, d(-1), d(61_500)))
    assert one.balances == {"USDC": d(1_000) + 1_500 + 3}
    assert one.positions == (held(LINEAR.symbol, 2, 60_000, accrued_funding=d(6)),)
    assert after(one, (LINEAR.symbol, d(-2), d(60_000))).positions == ()
    flipped = after(one, (LINEAR.symbol, d(-5), d(59_000)))
    assert flipped.balances == {"USDC": d(2_503) - 2_000 + 6}
    assert flipped.positions == (held(LINEAR.symbol, -3, 59_000),)


def test_an_inverse_perpetual_averages_harmonically_and_pays_coin() -> None:
    one = after(desk(), (INVERSE.symbol, d(100), d(50_000)), (INVERSE.symbol, d(100), d(100_000)))
    assert float(one.positions[0].entry_price or 0) == pytest.approx(66_666.6666666667)
    two = after(one, (INVERSE.symbol, d(-200), d(80_000)))
    assert two.positions == ()
    assert float(two.balances["BTC"]) == pytest.approx(1_000 * (1 / 50_000 + 1 / 100_000 - 2 / 80_000))


def test_options_are_paid_for_in_what_they_settle_in() -> None:
    one = after(desk(USDC=5_000), (CALL.symbol, d("0.5"), d(4_000)), (COIN_CALL.symbol, d(-2), d("0.05")))
    assert one.balances == {"USDC": d("3000.0"), "BTC": d("0.10")}
    assert [(p.instrument, p.quantity, p.entry_price) for p in one.positions] == [
        (CALL.symbol, d("0.5"), None),
        (COIN_CALL.symbol, d(-2), None),
    ]
    assert after(one, (COIN_CALL.symbol, d(2), d("0.07"))).balances["BTC"] == d("-0.04")


def test_spot_exchanges_two_assets() -> None:
    one = after(desk(USD=10_000), (SPOT.symbol, d(2), d(2_400)))
    assert one.balances == {"USD": d(5_200), "ETH": d(2)}
    assert one.positions == ()


def test_fees_are_a_share_of_notional_in_what_the_contract_settles_in() -> None:
    changes = Changes(
        add=((LINEAR.symbol, d(-2), d(60_000)), (INVERSE.symbol, d(600), d(60_000)), (COIN_CALL.symbol, d(1), None)),
        fee_rate=0.0005,
    )
    found, fees = changed_account(desk(USDC=100), MARKET, changes)
    assert fees["USDC"] == d(60)
    assert float(fees["BTC"]) == pytest.approx(0.0005 * (0.1 + 1))
    assert found.balances["USDC"] == d(40)


def test_in_hedge_mode_a_trade_closes_the_other_side_first() -> None:
    both = desk(
        held(LINEAR.symbol, 2, 60_000, side=PositionSide.LONG), held(LINEAR.symbol, -1, 61_000, side=PositionSide.SHORT)
    )
    one = after(both, (LINEAR.symbol, d(3), d(60_000)))
    assert one.positions == (held(LINEAR.symbol, 4, 60_000, side=PositionSide.LONG),)
    assert one.balances == {"USDC": 1_000}


@pytest.mark.parametrize(
    ("leg", "reason"),
    [
        (("NOTHING", d(1), None), FailureReason.UNKNOWN_INSTRUMENT),
        ((LINEAR.symbol, d(0), None), FailureReason.INVALID_QUANTITY),
        ((LINEAR.symbol, d("NaN"), None), FailureReason.INVALID_QUANTITY),
        ((LINEAR.symbol, d(1), d(-5)), FailureReason.INVALID_PRICE),
        ((LINEAR.symbol, d(1), d(0)), FailureReason.INVALID_PRICE),
    ],
)
def test_a_trade_that_is_none_is_refused(leg: Leg, reason: FailureReason) -> None:
    with pytest.raises(InputError) as caught:
        after(desk(), leg)
    assert caught.value.reason == reason


def test_a_trade_at_the_mark_needs_one() -> None:
    snapshot = snapshot_of([replace(LINEAR, mark_price=None)])
    with pytest.raises(InputError, match="no mark_price"):
        changed_account(desk(), snapshot, Changes(add=((LINEAR.symbol, d(1), None),)))


@pytest.mark.parametrize("quantity", [5, -5])
def test_a_fill_on_an_entry_price_of_nothing_is_refused(quantity: int) -> None:
    account = desk(held(INVERSE.symbol, 10, 0), BTC=1)
    with pytest.raises(InputError, match="entry_price above 0"):
        what_if(account, MARKET, rules(REFERENCE), Changes(add=((INVERSE.symbol, d(quantity), None),)))


def test_the_fee_of_an_option_needs_the_price_of_its_underlying() -> None:
    bare = replace(CALL, index_price=None, forward_price=None)
    changes = Changes(add=((CALL.symbol, d(1), d(4_000)),), fee_rate=0.001)
    priced = snapshot_of([bare])
    index = priced.assets["BTC"].price / priced.assets[bare.quote_asset].price
    assert float(changed_account(desk(), priced, changes)[1]["USDC"]) == pytest.approx(0.001 * index)
    unpriced = replace(priced, assets={"USDC": priced.assets["USDC"]})
    with pytest.raises(InputError, match="index_price"):
        changed_account(desk(), unpriced, changes)
    assert changed_account(desk(), unpriced, replace(changes, fee_rate=0.0))[1] == {}


# --- the figures


def assert_reports_agree(found: MarginReport, wanted: MarginReport) -> None:
    for name in FIGURES:
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("spec", LATEST)
def test_after_a_what_if_the_figures_are_those_of_the_account_that_holds_it(spec: str) -> None:
    rulebook, rng = rules(spec), np.random.default_rng([3, LATEST.index(spec)])
    listings = in_scope(rulebook)
    if not listings:
        pytest.skip(f"{spec} margins no instruments")
    for account in random_accounts(spec, 8, 8):
        legs = tuple(
            (one.symbol, decimal(units(one, coins_of(rng, one))), None)
            for one in (listings[i] for i in rng.choice(len(listings), 2))
        )
        changes = Changes(add=legs, deposits={"USDC": d(1_000)}, fee_rate=0.0002)
        holding, _ = changed_account(account, market(), changes)
        found = what_if(account, market(), rulebook, changes)
        assert_reports_agree(found.before, assess(account, market(), rulebook, withdrawable=False))
        wanted = assess(holding, market(), rulebook, withdrawable=False)
        assert_reports_agree(found.after, wanted)
        assert found.initial_margin == pytest.approx(wanted.initial_margin - found.before.initial_margin, abs=1e-6)
        assert [leg.instrument for leg in found.marginal] == [leg[0] for leg in legs]


@pytest.mark.parametrize("spec", [spec for spec in LATEST if rules(spec).pool_by != "position"])
def test_a_prepared_account_answers_as_assess_does(spec: str) -> None:
    rulebook, rng = rules(spec), np.random.default_rng([4, LATEST.index(spec)])
    listings = [one for one in in_scope(rulebook) if one.kind != "spot"]
    if not listings:
        pytest.skip(f"{spec} margins no instruments")
    for account in random_accounts(spec, 9, 4):
        ready = prepare(account, market(), rulebook, [one.symbol for one in listings])
        trades: list[Trade] = []
        for one in (listings[i] for i in rng.choice(len(listings), 3)):
            price = float(one.mark_price or 0) * rng.uniform(0.9, 1.1)
            trades.append((one.symbol, units(one, coins_of(rng, one)), price))
        margined = [p for p in account.positions if market().listings[p.instrument].kind != "spot"]
        trades += [(p.instrument, -float(p.quantity) * share, None) for p in margined for share in (0.5, 1, 2)]
        for trade, many in zip(trades, ready.what_ifs(trades), strict=True):
            leg = (trade[0], decimal(trade[1]), None if trade[2] is None else decimal(trade[2]))
            holding, _ = changed_account(account, market(), Changes(add=(leg,)))
            wanted = assess(holding, market(), rulebook, withdrawable=False)
            for one_of in (ready.what_if(*trade), many):
                expected = [getattr(wanted, name) for name in one_of._fields]
                assert list(one_of) == pytest.approx(expected, rel=1e-9, abs=1e-6), (trade, account)


def test_a_prepared_account_starts_where_it_stands() -> None:
    account = desk(held(LINEAR.symbol, 1, 60_000), USDC=50_000)
    ready = prepare(account, MARKET, rules(REFERENCE), [CALL.symbol])
    report = assess(account, MARKET, rules(REFERENCE))
    assert list(ready.today()) == pytest.approx([getattr(report, name) for name in ready.today()._fields], rel=1e-12)
    assert ready.what_ifs([]) == []
    with pytest.raises(InputError, match="not prepared"):
        ready.what_if(COIN_CALL.symbol, 1.0)
    with pytest.raises(InputError, match="does not list it"):
        prepare(account, MARKET, rules(REFERENCE), ["NOTHING"])


def test_what_is_remembered_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossmargin.analysis.prepared._MOST_KEPT", 10)
    ready: Prepared = prepare(desk(USDC=50_000), MARKET, rules(REFERENCE), [LINEAR.symbol, CALL.symbol])
    first = ready.what_if(LINEAR.symbol, 1.0)
    ready.what_if(CALL.symbol, -1.0)
    assert ready.what_if(LINEAR.symbol, 1.0) == first


def test_what_trades_into_isolated_positions_is_not_prepared() -> None:
    account = replace(desk(USDC=1), margin_mode=MarginMode.ISOLATED)
    with pytest.raises(InputError, match="use what_if"):
        prepare(account, MARKET, rules(REFERENCE))
    apart = held(LINEAR.symbol, 2, 60_000, margin_mode=MarginMode.ISOLATED, isolated_collateral={"USDC": d(9_000)})
    ready = prepare(desk(apart, USDC=50_000), MARKET, rules(REFERENCE), [CALL.symbol])
    assert ready.what_if(CALL.symbol, 1.0).initial_margin > 0
    with pytest.raises(InputError, match="use what_if"):
        ready.what_if(LINEAR.symbol, -1.0)


def asked(shock: Shock, account: Account | None = None) -> WhatIf:
    account = account or desk(held(LINEAR.symbol, 1, 60_000), BTC=1, STETH=10, USDC=20_000)
    return what_if(account, MARKET, rules(REFERENCE), Changes(shock=shock))


def test_a_shock_moves_prices_and_what_wraps_them() -> None:
    lost = asked(Shock(prices={"BTC": -0.2})).equity
    assert lost == pytest.approx(-0.2 * (60_000 + (LINEAR.mark_price or 0) * ASSETS["USDC"].price))
    assert asked(Shock(prices={"ETH": 0.1})).equity == pytest.approx(0.1 * 10 * ASSETS["STETH"].price)
    assert asked(Shock(peg={"STETH": -0.5})).equity == pytest.approx(-0.5 * 10 * ASSETS["STETH"].price)


def test_time_funding_and_vol() -> None:
    assert asked(Shock(funding=0.001)).equity == pytest.approx(-0.001 * (LINEAR.mark_price or 0) * ASSETS["USDC"].price)
    options = desk(held(CALL.symbol, 1), USDC=10_000)
    assert asked(Shock(vol=0.5), options).equity > 0
    assert asked(Shock(vol={"ETH": 0.5}), options).equity == 0
    decayed = asked(Shock(time_days=10), options)
    assert decayed.equity < 0
    assert (decayed.after.as_of - decayed.before.as_of).days == 10


@pytest.mark.parametrize(
    "shock", [Shock(prices={"BTC": -1.0}), Shock(vol=-1.5), Shock(time_days=-1), Shock(peg={"USDC": float("nan")})]
)
def test_a_shock_that_cannot_be_is_refused(shock: Shock) -> None:
    with pytest.raises(InputError):
        asked(shock)


def test_orders_reserve_and_withdrawals_show() -> None:
    account = desk(USDC=50_000)
    order = Changes(orders=((LINEAR.symbol, d(1), None),), deposits={"USDC": d(-10_000)})
    found = what_if(account, MARKET, rules(REFERENCE), order, withdrawable=True)
    assert found.initial_margin > 0
    assert found.after.pools[0].withdrawable is not None
    assert found.equity == pytest.approx(-10_000 * ASSETS["USDC"].price)
    wanted = replace(
        account,
        balances={"USDC": d(40_000)},
        orders=(Order(instrument=LINEAR.symbol, quantity=d(1), limit_price=decimal(LINEAR.mark_price or 0)),),
    )
    assert_reports_agree(found.after, assess(wanted, MARKET, rules(REFERENCE)))


def test_refusals_name_the_account() -> None:
    broken = desk(held("NOTHING", 1))
    with pytest.raises(InputError) as caught:
        what_if(broken, MARKET, rules(REFERENCE), Changes())
    assert caught.value.account == "desk"
    stale = snapshot_of([LINEAR], assets={**ASSETS, "USDC": AssetQuote(price=float("nan"))})
    with pytest.raises(InputError) as caught:
        what_if(desk(USDC=1), stale, rules(REFERENCE), Changes())
    assert caught.value.account == "desk"


@pytest.mark.parametrize(
    ("shock", "told"),
    [
        (Shock(prices={"btc": -0.1}), "'btc'"),
        (Shock(prices={"STETH": -0.1}), "shock ETH, or STETH in shock.peg"),
        (Shock(peg={"NONE": -0.1}), "'NONE'"),
        (Shock(vol={"XRP": 0.1}), "'XRP'"),
        (Shock(rate=float("nan")), "rate"),
        (Shock(funding=float("inf")), "funding"),
        (Shock(time_days=1e300), "time_days"),
    ],
)
def test_a_shock_that_would_move_nothing_or_all_is_refused(shock: Shock, told: str) -> None:
    with pytest.raises(InputError, match=told):
        what_if(desk(USD=1.0), MARKET, rules(REFERENCE), Changes(shock=shock))
