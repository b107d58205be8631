"""Plans: what they promise the engine confirms, nothing is closed that is not held, and nothing cheaper was missed."""

from __future__ import annotations

import builtins
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.account import Account, Order, Position
from crossmargin.analysis.lint.by_procedure import short_accounts
from crossmargin.analysis.lint.market import CALM, make_snapshot
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import InstrumentKind
from crossmargin.liquidation import Costs, Engine, Impact, Leg, Plan, PlanOptions, Pool, beside, hedge_legs, plan
from crossmargin.liquidation.assessed import without
from crossmargin.liquidation.holdings import BASIS, HELD, WALLET, traded
from crossmargin.liquidation.moves import Desk
from crossmargin.liquidation.plan_aim import Aim
from crossmargin.liquidation.plan_surface import Surface
from crossmargin.liquidation.plan_ways import ways_of
from crossmargin.liquidation.run import begun
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources import load_rulebook
from crossmargin.units import exact
from tests.liquidation.procedures import CLOSE, account, conserved, engine, rules

NAMES = [
    *("deribit-portfolio", "derive-standard", "binance-usdm", "hyperliquid-cross", "reference"),
    *("bybit-unified", "okx-portfolio", "derive-portfolio", "mango-v4", "family-historical"),
]
AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
CHEAP = Costs({"BTC-PERP": Impact(0.05, 1.0, 100.0), "ETH-PERP": Impact(0.005, 0.1, 1000.0)})


@cache
def short_engines(name: str) -> tuple[tuple[Engine, Costs], ...]:
    """Accounts that are 5 % short under a shipped rulebook; costs are a twentieth of a per cent."""
    rulebook = load_rulebook(name)
    snapshot = make_snapshot(rulebook, CALM)
    books = {
        symbol: Impact(0.0005 * (listing.mark_price or 0.0), 0.02 * (listing.mark_price or 0.0), 1e6)
        for symbol, listing in snapshot.listings.items()
    }
    lots = dict.fromkeys(snapshot.listings, Fraction(1, 1000))
    held = [one for one in short_accounts(rulebook, snapshot) if sized(one)][:4]
    return tuple((Engine(one, lambda _elapsed: snapshot, rulebook, lots=lots), Costs(books)) for one in held)


def sized(held: Account) -> bool:
    """Whether an account is no giant, whose trades move a price by all of it, and holds no option worth nothing."""
    return all(abs(one.quantity) < 100_000 and "204000" not in one.instrument for one in held.positions)


def held_after(made: Plan, view: Engine) -> dict[str, tuple[Fraction, Fraction]]:
    """Contracts before and after, by instrument."""
    names = {position.instrument for position in view.account.positions}
    before = {position.instrument: Fraction(position.quantity) for position in view.account.positions}
    return {name: (before[name], made.holdings.get(view.account.id, HELD, name, name)) for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_confirms_what_a_plan_says(name: str) -> None:
    """Restored, or said not to be; by the engine on the book after it. Nothing comes from nothing."""
    for view, costs in short_engines(name):
        made = plan(view, costs)
        again = view(made.holdings, 0.0)
        aim = Aim(view.rulebook.procedure, begun(made.before), Desk())
        assert aim.reached(again) is made.restored
        assert made.restored or made.missing > 0 or aim.slack(again) == 0
        assert conserved(made.holdings)
        for before, after in held_after(made, view).values():
            assert abs(after) <= abs(before)
            assert before * after >= 0


def test_a_plan_of_what_was_assessed_already_is_the_plan() -> None:
    for view, costs in short_engines("deribit-portfolio"):
        made, again = plan(view, costs), plan(view, costs, view=view.view(view.opening()))
        assert again.trades == made.trades
        assert again.before.figures["equity"] == made.before.figures["equity"]
        assert again.after.figures["maintenance_headroom"] == made.after.figures["maintenance_headroom"]


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_costs_no_more_than_the_greedy_one(name: str) -> None:
    for view, costs in short_engines(name):
        made, greedy = (plan(view, costs, PlanOptions(method=how)) for how in ("program", "greedy"))
        if greedy.restored:
            assert made.restored
            assert made.cost <= greedy.cost * 1.002 + 1e-9, made.trades


def by_brute_force(view: Engine, costs: Costs) -> float:
    """The least cost of all whole lots that end the case, each assessed on its own."""
    opening = view.opening()
    start = view(opening, 0.0)
    aim = Aim(view.rulebook.procedure, begun(start), Desk())
    ways = ways_of(view, view.view(opening), {}, realise=True)
    surface = Surface(ways, view.rulebook, aim, aim.figures(start))
    counts = [range(int(way.most / way.least) + 1) for way in ways.listed]
    trades = np.asarray(list(product(*counts))) * ways.least
    cost = np.stack(
        [costs.totals(way.name, way.terms, way.side * trades[:, place]) for place, way in enumerate(ways.listed)],
        axis=1,
    )
    good = surface.slacks(trades, cost) >= 0
    return float((cost @ ways.rate)[good].min()) if good.any() else np.inf


@settings(deadline=None, max_examples=25)
@given(
    cash=st.integers(5, 80),
    btc=st.integers(-10, 10).filter(bool),
    eth=st.integers(-30, 30).filter(bool),
    spread=st.floats(0.0, 0.5),
    impact=st.floats(0.0, 3.0),
)
def test_a_plan_is_what_brute_force_finds(cash: int, btc: int, eth: int, spread: float, impact: float) -> None:
    """Two positions in whole contracts: every combination is tried."""
    view = engine(rules(CLOSE), account(str(cash), BTC=(str(btc), "100"), ETH=(str(eth), "10")), lot="1")
    costs = Costs({"BTC-PERP": Impact(spread, impact, 100.0), "ETH-PERP": Impact(spread / 10, impact / 10, 1000.0)})
    made, best = plan(view, costs), by_brute_force(view, costs)
    assert made.restored is bool(np.isfinite(best))
    if made.restored:
        assert made.cost <= best * 1.001 + 1e-9


@pytest.mark.parametrize("name", ["deribit-portfolio", "derive-standard", "reference", "binance-usdm", "mango-v4"])
def test_the_arrays_say_what_the_engine_says(name: str) -> None:
    """Trades on the engine's arrays, and the same trades posted on the book and assessed."""
    for view, costs in short_engines(name)[:2]:
        made = plan(view, costs)
        opening, aim = view.opening(), Aim(view.rulebook.procedure, begun(made.before), Desk())
        realise = view.rulebook.procedure.liquidation.realised == "wallet"
        ways = ways_of(view, view.view(opening), {}, realise=realise)
        surface = Surface(ways, view.rulebook, aim, aim.figures(made.before))
        by_name = {trade.instrument: abs(float(trade.contracts)) for trade in made.trades}
        trades = np.asarray([[by_name.get(way.name, 0.0) for way in ways.listed]])
        cost = np.stack([costs.totals(w.name, w.terms, w.side * trades[:, i]) for i, w in enumerate(ways.listed)], 1)
        there = aim.slack(made.after)
        scale = abs(aim.slack(made.before)) + abs(float(made.before.figures["maintenance"]))
        assert float(surface.slacks(trades, cost)[0]) == pytest.approx(there, abs=1e-9 * scale)
        assert float(surface.slacks(0 * trades, 0 * cost)[0]) == pytest.approx(aim.slack(made.before), abs=1e-9 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_what_an_assessment_keeps_for_the_next_changes_no_figure(name: str) -> None:
    """The account after its plan, alone and beside how it stood: with all legs, with fewer, with one that is new."""
    for view, costs in short_engines(name):
        opening = view.opening()
        before = view.view(opening)
        emptied = [without(opening, view.account.id, leg, abs(held_of(leg))) for leg in contracts_of(before.made)]
        for book in (opening, plan(view, costs).holdings, *emptied):
            alone, kept = view(book, 0.0), view.view(book, before=before).made
            assert list(alone.figures) == list(kept.figures)
            np.testing.assert_array_equal(list(alone.figures.values()), list(kept.figures.values()))
            assert [leg.name for leg in alone.legs] == [leg.name for leg in kept.legs]
        fewer = view.view(emptied[0])
        alone, kept = view(opening, 0.0), view.view(opening, before=fewer).made
        np.testing.assert_array_equal(list(alone.figures.values()), list(kept.figures.values()))


@pytest.mark.parametrize("quantity", ["0.7", "-0.7", "1.1", "-2.3"])
def test_what_was_entered_at_its_mark_pays_exactly_nothing(quantity: str) -> None:
    """A hair of rounding would stand on one side of an empty wallet, and slopes would be that side's."""
    rulebook = load_rulebook("okx-portfolio")
    snapshot, name = make_snapshot(rulebook, CALM), "BTC-USDC-PERPETUAL"
    held = Position(
        instrument=name, quantity=Decimal(quantity), entry_price=exact(snapshot.listings[name].mark_price or 0.0)
    )
    view = Engine(Account(id="a", balances={"ETH": Decimal(5)}, positions=(held,)), lambda _elapsed: snapshot, rulebook)
    ways = ways_of(view, view.view(view.opening()), {}, realise=True)
    assert ways.paid.tolist() == [0.0]


@pytest.mark.parametrize("realise", [True, False])
@pytest.mark.parametrize(("coin", "option"), [("USDC", "BTC-USDC-150D-42900-call"), ("BTC", "BTC-BTC-8D-60100-call")])
def test_a_contract_pays_what_the_ledger_posts_for_it(coin: str, option: str, *, realise: bool) -> None:
    """All of each way, posted, divided by its contracts: perpetuals and options of both forms, held and as hedges."""
    rulebook = load_rulebook("deribit-portfolio")
    snapshot, perpetual = make_snapshot(rulebook, CALM), f"BTC-{coin}-PERPETUAL"
    entry = exact(1.02 * (snapshot.listings[perpetual].mark_price or 0.0))
    held = (
        Position(instrument=perpetual, quantity=Decimal(-70), entry_price=entry),
        Position(instrument=option, quantity=Decimal("0.1")),
    )
    mine = Account(id="a", balances={coin: Decimal(10_000_000)}, positions=held)
    view = Engine(mine, lambda _elapsed: snapshot, rulebook)
    seen = view.view(view.opening())
    ways = ways_of(view, seen, {perpetual: Fraction(3)}, realise=realise)
    for place, way in enumerate(ways.listed):
        contracts = way.side * way.most
        money = way.terms.money(contracts, way.terms.mark)
        rows = traded(seen.holdings, seen.owner, way.name, way.terms, contracts, money, realise=realise)
        each = {row.entry.purse: float(row.amount / way.most) for row in rows}
        assert ways.paid[place] == pytest.approx(each.get(WALLET, 0.0), rel=1e-12, abs=1e-12)
        if way.opens or not realise:  # of what is realised the leg's own cost tells
            sign = 1 if way.terms.form == "inverse" else -1
            basis = ways.booked[place] * float(way.terms.multiplier) * sign
            assert basis == pytest.approx(each.get(BASIS, 0.0), rel=1e-12)
    assert [(way.name, way.opens) for way in ways.listed] == [(perpetual, False), (option, False), (perpetual, True)]


def contracts_of(pool: Pool) -> list[Leg]:
    """The legs that are no balances."""
    return [leg for leg in pool.legs if leg.terms.form != "asset"]


def held_of(leg: Leg) -> Fraction:
    """Contracts of a leg, signed."""
    return Fraction(str(leg.figures["contracts_held"]))


@pytest.mark.parametrize("quantity", ["20", "-20"])
def test_spot_is_paid_for_at_once(quantity: str) -> None:
    """What is sold brings its whole price, what is bought back takes it: the account loses what trading costs."""
    coin = Listing(
        symbol="BTC/USD", kind=InstrumentKind.SPOT, underlying="BTC", quote_asset="USD", settlement_asset="USD",
        mark_price=50_000.0, index_price=50_000.0,
    )  # fmt: skip
    assets = {"USD": AssetQuote(price=1.0), "BTC": AssetQuote(price=50_000.0)}
    market = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings={coin.symbol: coin})
    held = Position(instrument=coin.symbol, quantity=Decimal(quantity), entry_price=Decimal(50_000))
    cash = Decimal(50_000) * -held.quantity + 100_000
    owner = Account(id="a", balances={"USD": cash}, positions=(held,))
    view = Engine(owner, lambda _elapsed: market, load_rulebook("reference"), lots={coin.symbol: Fraction(1, 100)})
    made = plan(view, Costs({coin.symbol: Impact(10.0)}, 0.001))
    assert made.restored
    assert 0 < abs(made.trades[0].contracts) < 20
    lost = float(made.before.figures["equity"]) - float(made.after.figures["equity"])
    assert lost == pytest.approx(made.cost, rel=1e-9)
    assert made.cost == pytest.approx(float(abs(made.trades[0].contracts)) * 60, rel=1e-3)


@pytest.mark.parametrize("name", ["deribit-portfolio", "reference", "family-historical"])
def test_a_tangent_promises_at_least_what_there_is(name: str) -> None:
    """Where a requirement is convex the engine never finds more slack than a tangent promised."""
    rng = np.random.default_rng(4)
    for view, _ in short_engines(name)[:2]:
        opening = view.opening()
        start = view(opening, 0.0)
        aim = Aim(view.rulebook.procedure, begun(start), Desk())
        ways = ways_of(view, view.view(opening), {}, realise=True)
        surface = Surface(ways, view.rulebook, aim, aim.figures(start))
        trades = rng.random((8, len(ways))) * ways.most
        tangent = surface.tangent(np.zeros(len(ways)), np.zeros(len(ways)))
        room = 1e-6 * (abs(tangent.slack) + abs(float(start.figures["maintenance"])))
        assert np.all(tangent.at(trades, 0 * trades) >= surface.slacks(trades, 0 * trades) - room)


def test_a_healthy_account_is_left_alone() -> None:
    made = plan(engine(rules(CLOSE), account("1000", BTC=("10", "100"))), CHEAP)
    assert (made.restored, made.trades, made.cost, made.said) == (True, (), 0.0, "nothing has to be done")


def test_what_no_trade_restores_is_said() -> None:
    """Below zero equity nothing that is closed helps."""
    made = plan(engine(rules(CLOSE), account("10", BTC=("10", "102"))), CHEAP)
    assert not made.restored
    assert made.missing > 0
    assert made.said.startswith("cannot be restored by trading: ")


def test_an_account_without_positions_has_no_plan() -> None:
    made = plan(engine(rules(CLOSE), account("-5")), CHEAP)
    assert (made.restored, made.trades, made.method) == (False, (), "none")


def test_orders_are_cancelled_first() -> None:
    """A rulebook that reserves for orders may be met again by that alone; none here does, but they are gone."""
    held = account("40", BTC=("10", "100"))
    order = Order(instrument="BTC-PERP", quantity=1, limit_price=90)  # type: ignore[arg-type]
    view = engine(rules(CLOSE), held)
    view = replace(
        view, account=Account(id="trader", balances=held.balances, positions=held.positions, orders=(order,))
    )
    made = plan(view, CHEAP)
    assert made.cancels
    assert made.restored
    assert "trader" in made.holdings.cancelled


def test_first_comes_what_frees_most_per_unit_of_cost() -> None:
    made = plan(engine(rules(CLOSE), account("20", BTC=("10", "100"), ETH=("-60", "10"))), CHEAP)
    ratios = [trade.per_cost for trade in made.trades]
    assert len(ratios) > 1
    assert ratios == sorted(ratios, key=lambda ratio: -(ratio or 0.0))
    gained = sum(trade.relief for trade in made.trades)
    aim = Aim(rules(CLOSE).procedure, begun(made.before), Desk())
    assert aim.slack(made.after) - aim.slack(made.before) == pytest.approx(gained)


def test_a_hedge_is_opened_only_up_to_its_cap() -> None:
    for view, costs in short_engines("deribit-portfolio"):
        held = {position.instrument for position in view.account.positions}
        free = [one for one in view.market(0.0).listings.values() if one.kind == "perpetual" and one.symbol not in held]
        asset = view.market(0.0).listings[next(iter(held))].settlement_asset
        names = [one.symbol for one in free if one.settlement_asset == asset]
        most = Fraction(1, 100)
        made = plan(view, costs, PlanOptions(hedges=dict.fromkeys(names, most)))
        alone = plan(view, costs)
        opened = [trade for trade in made.trades if trade.opens]
        assert all(abs(trade.contracts) <= most for trade in opened)
        assert not alone.restored or (made.restored and made.cost <= alone.cost * 1.002 + 1e-9)


def test_time_that_is_up_leaves_the_greedy_plan() -> None:
    view, costs = short_engines("reference")[0]
    made = plan(view, costs, PlanOptions(time_limit=0.0))
    assert made.method in {"greedy", "program"}  # HiGHS may be done before it looks at its clock
    assert made.restored


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"costs": Costs({})}, FailureReason.MISSING_QUOTE),
        ({"options": PlanOptions(hedges={"SOL-PERP": Fraction(1)})}, FailureReason.UNKNOWN_INSTRUMENT),
    ],
)
def test_bad_input_is_refused(wanted: dict[str, Any], reason: FailureReason) -> None:
    with pytest.raises(InputError) as caught:
        plan(engine(rules(CLOSE), account("40", BTC=("10", "100"))), **{"costs": CHEAP, **wanted})
    assert caught.value.reason == reason


def test_without_highs_a_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def absent(name: str, *more: Any, **named: Any) -> Any:  # noqa: ANN401
        if name.startswith("highspy"):
            raise ImportError(name)
        return plain(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    view = engine(rules(CLOSE), account("40", BTC=("10", "100")))
    with pytest.raises(InputError, match=r"crossmargin\[plans\]"):
        plan(view, CHEAP)
    assert plan(view, CHEAP, PlanOptions(method="greedy")).restored


def test_the_venue_and_the_plan_stand_beside_each_other() -> None:
    view, costs = short_engines("deribit-portfolio")[0]
    listed = view.market(0.0).listings.values()
    perpetuals = {one.underlying: one.symbol for one in listed if one.kind == "perpetual"}
    found = beside(view, costs, hedges=hedge_legs(view, perpetuals))
    assert found.stage == "liquidating"
    assert found.plan.restored
    assert found.moves
    assert found.restored
    assert found.cost >= found.plan.cost * 0.999
    assert found.moves[-1].slack >= 0


def test_a_document_without_steps_is_not_run() -> None:
    view, costs = short_engines("binance-usdm")[0]
    found = beside(view, costs)
    assert found.moves == ()
    assert "no steps" in found.unable
    assert found.plan.restored
