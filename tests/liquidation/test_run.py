"""Procedures run on accounts that the engine assesses: what moves, in which order; nothing comes from nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.account import Order
from crossmargin.analysis.lint.by_procedure import short_accounts
from crossmargin.analysis.lint.market import CALM, make_snapshot
from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.case import Case, Done
from crossmargin.liquidation.compare import Compared, compared
from crossmargin.liquidation.holdings import BASIS, HELD, WALLET, Entry, Holdings, Row
from crossmargin.liquidation.moves import Desk, Move
from crossmargin.liquidation.pools import Leg, Pool
from crossmargin.liquidation.postings import Venue, applied
from crossmargin.liquidation.run import Assess, Outcome, run
from crossmargin.sources import list_rulebooks, load_rulebook
from tests.liquidation.procedures import CLOSE, account, conserved, engine, rules

NAMES = sorted({one.name for one in list_rulebooks()})
WITH_STEPS = [name for name in NAMES if load_rulebook(name).procedure.liquidation.steps]
# what a liquidator, a bidder or the venue would state
STATED = {"wanted": 1.0, "gas": 0.0}


def played(procedure: str, held: tuple[str, dict[str, tuple[str, str]]], **more: object) -> Outcome:
    rulebook = rules(procedure)
    view = engine(rulebook, account(held[0], **held[1]), **more)  # type: ignore[arg-type]
    return run(rulebook.procedure, view.opening(), view, Venue("trader"))


def test_closing_stops_as_soon_as_it_may() -> None:
    """10 BTC at 100: equity 40 < 50. Closing all of the better leg restores, the other stays."""
    out = played(CLOSE, ("40", {"BTC": ("10", "100"), "ETH": ("-1", "10")}))
    assert out.ending == "ended"
    assert [taken.move.about for taken in out.taken] == ["", "BTC-PERP"]
    assert out.holdings.get("trader", HELD, "ETH-PERP", "ETH-PERP") == -1
    assert conserved(out.holdings)


@pytest.mark.parametrize(("entry", "left"), [("100", 40), ("104", 0), ("90", 140), ("110", -60)])
def test_what_is_closed_pays_its_profit_into_the_wallet(entry: str, left: int) -> None:
    out = played(CLOSE, ("40", {"BTC": ("10", entry)}))
    if left == 140:  # not short at all
        assert out.taken == ()
        return
    assert out.holdings.get("trader", WALLET, "USD") == left
    assert out.holdings.get("trader", BASIS, "USD", "BTC-PERP") == 0


def test_restore_closes_the_least_that_restores_in_whole_lots() -> None:
    """Each BTC closed frees 5; 10 are missing, so 2 are closed; fees of 1 a contract make it 2.5."""
    least = CLOSE + 'amount = "restore * contracts_held"\n'
    out = played(least, ("40", {"BTC": ("10", "100")}))
    assert out.taken[-1].move.amount == Fraction(2)
    with_fee = least + 'fees = { keeper = "moved" }\n'
    out = played(with_fee, ("40", {"BTC": ("10", "100")}))
    assert out.taken[-1].move.amount == Fraction(5, 2)
    assert out.holdings.get("keeper", WALLET, "USD") == Fraction(5, 2)
    assert out.pool.figures["maintenance_headroom"] == pytest.approx(0.0, abs=1e-9)


def test_rounds_are_a_cadence_apart_and_read_what_was_when_the_case_began() -> None:
    steps = CLOSE + 'amount = "0.1 * contracts_held_start"\n'
    out = played(steps, ("40", {"BTC": ("10", "100")}))
    assert [(taken.time, taken.move.amount) for taken in out.taken[1:]] == [(0.0, Fraction(1)), (5.0, Fraction(1))]


def test_amounts_are_rounded_up_to_lots_and_never_past_nothing() -> None:
    steps = CLOSE + 'amount = "2.01"\n'
    assert played(steps, ("40", {"BTC": ("10", "100")})).taken[-1].move.amount == Fraction(21, 10)
    assert played(CLOSE + 'amount = "1000"\n', ("4", {"BTC": ("1", "100")})).taken[-1].move.amount == 1


def test_steps_run_in_listed_order_and_legs_by_rank() -> None:
    steps = CLOSE.replace('rank = "relief"', 'rank = "-notional"')
    out = played(steps, ("1", {"BTC": ("10", "100"), "ETH": ("-20", "10")}))
    assert [taken.move.about for taken in out.taken] == ["", "ETH-PERP", "BTC-PERP"]


def test_a_round_without_a_move_ends_the_case() -> None:
    steps = CLOSE + 'when = "equity > 1000"\n'
    out = played(steps, ("40", {"BTC": ("10", "100")}))
    assert out.ending == "stuck"


def test_orders_are_cancelled_once() -> None:
    rulebook = rules()
    order = Order(instrument="BTC-PERP", quantity=1, limit_price=90)  # type: ignore[arg-type]
    held = account("1", BTC=("10", "100"))
    view = replace(engine(rulebook, held), account=type(held)(id="trader", balances=held.balances, orders=(order,)))
    out = run(rulebook.procedure, engine(rulebook, held).opening(), view, Venue("trader"))
    assert [taken.move.step.name for taken in out.taken].count("cancel") == 1
    assert "trader" in out.holdings.cancelled


ASSUME = """
[liquidation]
source = "S1"
[[liquidation.steps]]
name = "take"
do = "assume"
price = "bankruptcy_price"
to = "vault"
"""


@pytest.mark.parametrize("quantity", ["10", "-10"])
def test_a_takeover_at_the_bankruptcy_price_leaves_nothing(quantity: str) -> None:
    out = played(ASSUME, ("40", {"BTC": (quantity, "100")}))
    assert float(out.holdings.get("trader", WALLET, "USD")) == pytest.approx(0.0, abs=1e-9)
    assert out.holdings.get("vault", HELD, "BTC-PERP", "BTC-PERP") == Fraction(quantity)
    assert conserved(out.holdings)


def test_a_takeover_without_a_price_hands_the_basis_over() -> None:
    out = played(
        ASSUME.replace('price = "bankruptcy_price"\n', ""), ("1", {"BTC": ("10", "104")}), prices={"BTC": 105.0}
    )
    assert out.holdings.get("vault", BASIS, "USD", "BTC-PERP") == -1040
    assert out.holdings.get("trader", WALLET, "USD") == 1


HEDGE = """
[liquidation]
source = "S1"
cadence = 1
[[liquidation.steps]]
name = "hedge"
do = "hedge"
amount = "0.5 * abs(bucket_delta)"
"""


def test_a_hedge_opens_the_named_instrument_against_the_delta() -> None:
    rulebook = rules(HEDGE)
    view = engine(rulebook, account("40", BTC=("10", "100")))
    leg = view(view.opening(), 0.0).leg("BTC-PERP")
    assert leg is not None
    hedge = replace(leg, figures={**dict(leg.figures), "delta": 1.0, "lot": Fraction(1)})
    venue = Venue("trader", hedges={"BTC": hedge})
    out = run(rulebook.procedure, view.opening(), view, venue, rounds=1)
    assert out.holdings.get("trader", HELD, "BTC-PERP", "BTC-PERP") == 5
    with pytest.raises(InputError) as told:
        run(rulebook.procedure, view.opening(), view, Venue("trader"), rounds=1)
    assert told.value.reason is FailureReason.UNKNOWN_INSTRUMENT


def test_pairs_are_closed_on_both_sides() -> None:
    pairs = CLOSE.replace('rank = "relief"', 'pairs = true\nof = "long"\nwhen = "pair > 0"\namount = "pair"')
    rulebook = rules(pairs)
    held = account("1", BTC=("10", "100"))
    view = engine(rulebook, held)
    long, short = (view(view.opening(), 0.0).leg("BTC-PERP") for _ in range(2))
    assert long is not None
    assert short is not None
    other = replace(
        short,
        name="BTC-2",
        figures={**dict(short.figures), "quantity": -4.0, "contracts_held": 4.0},
        words=frozenset({"perpetual", "short"}),
        keys={**short.keys, "instrument": "BTC-2"},
    )
    long = replace(long, figures={**dict(long.figures), "pair": 4.0})
    step = rulebook.procedure.liquidation.steps[1]
    move = Move(step, long, Fraction(4), None, {})
    after = applied(view.opening(), move, Pool({}, (long, other)), Venue("trader"))
    assert after.get("trader", HELD, "BTC-PERP", "BTC-PERP") == 6
    assert after.get("trader", HELD, "BTC-2", "BTC-2") == 4
    assert conserved(after)


SHARE = """
[liquidation]
source = "S1"
[liquidation.inputs]
wanted = 1
[[liquidation.steps]]
name = "auction"
do = "share"
amount = "min(wanted, restore)"
price = "0.5 * equity"
to = "bidder"
"""


def test_a_share_sells_the_same_part_of_everything() -> None:
    rulebook = rules(SHARE)
    view = engine(rulebook, account("40", BTC=("10", "100")))
    desk = Desk(stated={"wanted": 0.25})
    out = run(rulebook.procedure, view.opening(), view, Venue("trader"), desk, rounds=1)
    assert out.taken[0].move.amount == Fraction(1, 4)
    assert out.holdings.get("bidder", HELD, "BTC-PERP", "BTC-PERP") == Fraction(5, 2)
    # a quarter of 40 goes, a quarter of half of the equity comes
    assert out.holdings.get("trader", WALLET, "USD") == 30 + 5
    assert conserved(out.holdings)


def test_below_zero_the_fund_pays_the_bidder() -> None:
    rulebook = rules(SHARE.replace('"0.5 * equity"', '"-8"'))
    view = engine(rulebook, account("40", BTC=("10", "100")))
    out = run(rulebook.procedure, view.opening(), view, Venue("trader"), Desk(stated={"wanted": 1.0}), rounds=1)
    assert out.holdings.get("fund", WALLET, "USD") == -8
    assert out.holdings.get("trader", WALLET, "USD") == 0


@pytest.mark.parametrize(
    ("step", "asset"),
    [
        ('do = "cancel"', "USD"),
        ('do = "close"', "USD"),
        ('do = "close"\nover = "account"\namount = "0.5"', "USD"),
        ('do = "hedge"\namount = "1"', "USD"),
        ('do = "assume"\nto = "vault"', "USD"),
        ('do = "share"\nto = "bidder"\nprice = "1"', "USD"),
        ('do = "settle"\nof = "perpetual"', "USD"),
    ],
)
def test_every_kind_of_step_pays_its_fees(step: str, asset: str) -> None:
    rulebook = rules(
        f'[liquidation]\nsource = "S1"\n[[liquidation.steps]]\nname = "x"\n{step}\nfees = {{ keeper = "3" }}\n'
    )
    view = engine(rulebook, account("40", BTC=("10", "99")))
    leg = view(view.opening(), 0.0).leg("BTC-PERP")
    assert leg is not None
    venue = Venue("trader", hedges={"BTC": per_unit(leg)})
    out = run(rulebook.procedure, view.opening(), below(view), venue, rounds=1)
    assert out.holdings.get("keeper", WALLET, asset) == 3
    assert conserved(out.holdings)


def below(view: Engine) -> Assess:
    """The same account, told to be short whatever it does."""

    def assess(holdings: Holdings, elapsed: float) -> Pool:
        pool = view(holdings, elapsed)
        return Pool({**dict(pool.figures), "maintenance_headroom": -1.0}, pool.legs)

    return assess


def test_a_posting_that_makes_something_from_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="sum to 0"):
        Holdings().posted([Row(Entry("a", WALLET, "USD"), Fraction(1))])


def test_what_goes_on_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("crossmargin.liquidation.run"), "_MOST_MOVES", 20)
    endless = CLOSE.replace('until = "maintenance_headroom >= 0"', 'until = "equity > 1e9"')
    rulebook = rules(endless + 'amount = "0.001"\n')
    view = engine(rulebook, account("40", BTC=("1000000", "100")), lot="0.001")
    with pytest.raises(InputError) as told:
        run(rulebook.procedure, view.opening(), lambda _holdings, _time: pool_of(), Venue("trader"), rounds=10**6)
    assert told.value.reason is FailureReason.NOT_CONVERGED


def pool_of() -> Pool:
    """A pool whose one leg never shrinks."""
    leg = Leg("BTC-PERP", {"contracts_held": 1e9, "quantity": 1e9, "price": 1.0, "relief": 1.0})
    return Pool({"equity": 1.0, "maintenance_headroom": -1.0}, (leg,))


@settings(max_examples=25, deadline=None)
@given(
    btc=st.decimals("-50", "50", places=1).filter(bool),
    eth=st.decimals("-500", "500", places=1).filter(bool),
    price=st.floats(60, 140),
    share=st.floats(0.01, 1.0),
)
def test_every_close_conserves_and_raises_headroom(btc: object, eth: object, price: float, share: float) -> None:
    rulebook = rules(CLOSE + f'amount = "{share!r} * contracts_held_start"\n')
    view = engine(rulebook, account("30", BTC=(str(btc), "100"), ETH=(str(eth), "10")), prices={"BTC": price})
    out = run(rulebook.procedure, view.opening(), view, Venue("trader"))
    assert conserved(out.holdings)
    closes = [taken for taken in out.taken if taken.move.step.do == "close"]
    rooms = [float(taken.before.figures["maintenance_headroom"]) for taken in closes]
    rooms.append(float(out.pool.figures["maintenance_headroom"]))
    assert all(after > before for before, after in pairwise(rooms))


@pytest.mark.parametrize("spec", WITH_STEPS)
def test_every_shipped_procedure_runs_on_accounts_that_fall_short(spec: str) -> None:
    """To its end or until it can do no more; whatever it does, nothing comes from nothing."""
    rulebook = load_rulebook(spec)
    snapshot = make_snapshot(rulebook, CALM)
    ran = 0
    for held in list(short_accounts(rulebook, snapshot))[:2]:
        view = Engine(held, lambda _elapsed: snapshot, rulebook)
        listed = [leg for leg in view(view.opening(), 0.0).legs if leg.terms.form != "asset"]
        listed.sort(key=lambda leg: "perpetual" in leg.words)  # the last of an underlying stands
        legs = {leg.keys["bucket"]: leg for leg in listed}
        reporting = snapshot.reporting_asset if rulebook.reporting == "settlement" else rulebook.reporting
        venue = Venue(held.id, reporting, hedges={name: per_unit(leg) for name, leg in legs.items()})
        out = run(rulebook.procedure, view.opening(), view, venue, Desk(stated=STATED), rounds=2)
        assert conserved(out.holdings)
        assert out.ending in {"ended", "stuck", "limit"}
        ran += bool(out.taken)
    assert ran or spec.startswith("aave")  # what lends only has no positions that fall short


def per_unit(leg: Leg) -> Leg:
    """The leg as something to hedge with: its delta for one contract."""
    each = float(leg.figures["delta"]) / float(leg.figures["contracts_held"])
    return replace(leg, figures={"delta": abs(each), "price": leg.figures["price"], "quantity": 1.0})


def test_mangos_own_formula_is_what_restores() -> None:
    """Its perpetual amount and the built-in one agree wherever closing restores at all."""
    rulebook = load_rulebook("mango-v4")
    snapshot = make_snapshot(rulebook, CALM)
    found: list[Compared] = []
    for held in short_accounts(rulebook, snapshot):
        view = Engine(held, lambda _elapsed: snapshot, rulebook)
        found += compared(rulebook.procedure, view.opening(), view, Venue(held.id))
    exact = [row for row in found if row.step == "reduce to worthless" and row.restore is not None]
    assert exact
    assert all(float(row.amount / row.restore) == pytest.approx(1.0, rel=1e-6) for row in exact if row.restore)


def test_memory_counts_what_other_cases_moved_of_a_shared_window() -> None:
    """What is just one window old counts no more; a step knows whether it has been offered."""
    mine = Done(11.0, "close", "BTC", "close", Fraction(1))
    others = (Done(-5.0, "close", "BTC", "close", Fraction(2)), Done(2.0, "close", "BTC", "close", Fraction(4)))
    case = Case(start=Pool({}), time=12.0, done=(mine,), beside=others, offered=frozenset({"auction"}))
    assert case.memory("used_in_window", "close", "BTC", 10.5) == 5
    assert case.memory("used_in_window", "close", "BTC", 10.0) == 1
    assert case.memory("last", "close", "BTC", 10.0) == 1.0
    assert case.memory("used_in_window", "close", "ETH", 10.0) == 0
    told = [case.memory("was_offered", step, "", 1.0) for step in ("auction", "close", "other")]
    assert told == [1.0, 1.0, 0.0]
