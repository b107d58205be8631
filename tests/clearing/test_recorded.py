"""Recorded lives of real accounts through the clearing house: exact money, and what every liquidation shows.

They lie beside the checkout and are not part of the project; without them these tests are skipped, aloud.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import groupby, islice, pairwise
from statistics import median
from typing import TYPE_CHECKING

import pytest

from crossmargin import load_rulebook
from crossmargin.analysis.takeovers import (
    CENT,
    NEAR,
    Cause,
    Judged,
    cut,
    engine_of,
    judged,
)
from crossmargin.clearing import House, MemoryJournal, State, bridge, replay, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Posted, Refused
from crossmargin.clearing.invariants import sums
from crossmargin.clearing.ledger import HELD, HOUSE, VAULT, WALLET, total
from crossmargin.clearing.records import records_of
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.state import fold
from crossmargin.liquidation import Engine, Outcome, Venue, run
from crossmargin.margin import Rulebook
from crossmargin.sources.recorded import Entry, Liquidated, Paid, Traded, read_recorded
from crossmargin.sources.replayed import AS_RECORDED, MONEY, Scales, commands_of, replayed, scales_of
from scripts.recorded_accounts import PAGE, table
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crossmargin.clearing.events import Record

pytestmark = pytest.mark.shared
ONE_PER_CENT = Fraction(1, 100)
GOLDEN = "222"
LIQUIDATOR = "130"


@dataclass(frozen=True)
class Run:
    """Everything recorded, the house that it went through, and what each liquidation shows."""

    entries: tuple[Entry, ...]
    house: House
    rows: tuple[Judged, ...]

    @cached_property
    def cross(self) -> list[Judged]:
        return [row for row in self.rows if row.stood.takeover.cross]

    def records(self) -> Iterator[Record]:
        for batch in self.house.journal.batches():
            yield from records_of(batch, batch.previous, batch.first)


@pytest.fixture(scope="module")
def told(shared: Path) -> Run:
    entries = read_recorded(shared / "data")
    house = House(MemoryJournal(), AS_RECORDED)
    return Run(entries, house, tuple(judged(stood) for stood in replayed(entries, house)))


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(str(ROOT / "tests" / "clearing" / "hyperliquid_2023.toml"))


def test_everything_recorded_is_read(told: Run) -> None:
    counts = Counter(type(entry) for entry in told.entries)
    assert counts == {Traded: 35_691, Paid: 560, Liquidated: 62}
    assert all(before.as_of <= after.as_of for before, after in pairwise(told.entries))
    assert len({entry.account for entry in told.entries}) == 287


def test_six_digits_hold_every_number_and_every_trades_money(told: Run) -> None:
    """So nothing is rounded but average cost, inside one account: the house's rounding owners stay empty."""
    assert scales_of(told.entries).money == 6
    assert not {"round", "fees", "funding"} & told.house.state.balances.keys()


def test_nothing_comes_from_nothing_at_any_record(told: Run) -> None:
    """Every posting sums to 0 for each asset; the state does after each liquidation and in the end."""
    state, postings, looks = State(), 0, 0
    times = {row.stood.takeover.as_of for row in told.rows}
    for as_of, records in groupby(told.records(), key=lambda record: record.as_of):
        for record in records:
            fold(state, record)
            if isinstance(record.event, Posted):
                postings += 1
                assert total(record.event.rows) == {}
        if as_of in times:
            looks += 1
            assert sums(state.balances) == {}
    assert (postings, looks) == (36_251, len(times))
    assert sums(state.balances) == {}
    assert to_bytes(state) == to_bytes(told.house.state)


def test_a_replay_and_a_second_run_give_the_same_bytes(told: Run) -> None:
    assert to_bytes(replay(told.house.journal).state) == to_bytes(told.house.state)
    again, journal = House(MemoryJournal(), AS_RECORDED), told.house.journal
    for _, command in islice(commands_of(told.entries, scales_of(told.entries)), 5_000):
        assert command is None or again.handle(command).records
    heads = [batch.head for batch in again.journal.batches()]
    assert heads == [batch.head for batch in islice(journal.batches(), len(heads))]
    assert len(heads) > 4_900


def test_what_the_wallets_lack_the_world_brought(told: Run) -> None:
    paid = sum(Fraction(entry.amount) for entry in told.entries if isinstance(entry, Paid))
    world = told.house.state.balances["world"]
    assert world == {(WALLET, MONEY): -int(paid * 10**6)}


def test_the_record_is_not_whole(told: Run) -> None:
    """Of 131 withdrawals 31 leave a wallet below 0, and 29 of them an account that holds nothing to be backed by."""
    state = told.house.state
    replica, below = State(), list[bool]()
    for record in told.records():
        fold(replica, record)
        if isinstance(record.event, Posted) and record.event.cause == "withdraw":
            held = replica.balances[record.event.rows[0][0]]
            below += [any(purse == HELD for purse, _ in held)] if held.get((WALLET, MONEY), 0) < 0 else []
    assert (len(below), sum(below)) == (31, 2)
    users = {owner: held for owner, held in state.balances.items() if owner not in HOUSE}
    pairs = {(entry.account, entry.instrument) for entry in told.entries if isinstance(entry, Traded)}
    assert (sum(purse == HELD for held in users.values() for purse, _ in held), len(pairs)) == (90, 544)
    paid = {entry.account for entry in told.entries if isinstance(entry, Paid) and entry.amount > 0}
    assert len({account for account, _ in pairs} - paid) == 9
    flat = [owner for owner, held in users.items() if not any(purse == HELD for purse, _ in held)]
    assert sum(users[owner].get((WALLET, MONEY), 0) < 0 for owner in flat) == 19


# --- what a liquidation is ----------------------------------------------------------------------------------------


def test_each_liquidation_takes_whole_positions_and_a_cross_one_all_of_them(told: Run) -> None:
    takeovers = [row.stood.takeover for row in told.rows]
    assert all(one.legs and not {leg.instrument for leg in one.legs} & one.beside.keys() for one in takeovers)
    assert sum(row.stood.flat for row in told.rows) == 58
    assert [row.stood.flat for row in told.cross] == [True] * 54


def test_one_account_takes_them_all_over(told: Run) -> None:
    """The other side of each of the 69 trades is recorded too: the vault between them keeps nothing at all."""
    assert told.house.state.balances[VAULT] == {}
    liquidated = {(row.stood.takeover.account, row.stood.takeover.as_of) for row in told.rows}
    trades = [entry for entry in told.entries if isinstance(entry, Traded)]
    taken = {(e.as_of, e.instrument, -e.quantity, e.price) for e in trades if (e.account, e.as_of) in liquidated}
    takers = [e.account for e in trades if (e.as_of, e.instrument, e.quantity, e.price) in taken]
    assert takers == [LIQUIDATOR] * 69
    own = [entry for entry in trades if entry.account == LIQUIDATOR]
    waits = [
        next((after.as_of - e.as_of).total_seconds() for after in own if out_of(after, e))
        for e in own
        if (e.as_of, e.instrument, e.quantity, e.price) in taken
    ]
    assert median(waits) == 3


def out_of(after: Traded, taken: Traded) -> bool:
    return after.as_of >= taken.as_of and after.instrument == taken.instrument and after.quantity * taken.quantity < 0


def test_all_54_cross_accounts_are_below_one_per_cent(told: Run) -> None:
    assert len(told.cross) == 54
    assert all(row.ratio < ONE_PER_CENT for row in told.cross)
    assert float(max(row.ratio for row in told.cross)) == pytest.approx(0.0099983, abs=1e-7)


def test_59_of_61_one_sided_takeovers_take_all_that_the_account_has(told: Run) -> None:
    gaps = [row.gap for row in told.rows if row.gap is not None]
    assert len(gaps) == 61
    assert sum(gap < NEAR for gap in gaps) == 59
    assert all(not row.stood.takeover.cross for row in told.rows if row.gap is not None and row.gap >= NEAR)


def test_61_of_62_go_at_the_bankruptcy_price_to_the_last_figure(told: Run) -> None:
    """With marks that the record proves: their notional is the recorded one to its last digit."""
    assert [row.marks is not None for row in told.rows] == [row.at_bankruptcy for row in told.rows]
    missed = [row.stood.takeover for row in told.rows if not row.at_bankruptcy]
    assert [(one.account, len(one.legs), len(one.beside), one.cross) for one in missed] == [("14", 1, 2, False)]


def test_an_isolated_account_bears_its_losses_together(told: Run) -> None:
    """The record's notional is that of both positions: what the one that was taken lacks is the other's, at a price."""
    (row,) = (row for row in told.rows if row.marks is not None and row.gap is not None and row.gap > NEAR)
    takeover = row.stood.takeover
    ((coin, contracts),) = takeover.beside.items()
    assert row.marks == (Fraction("19.3"),)
    rest = takeover.notional - takeover.legs[0].contracts * row.marks[0]
    assert (coin, rest / contracts) == ("LTC", Fraction("95.38"))


# --- through the engine and a document ----------------------------------------------------------------------------


def taken_over(row: Judged, rulebook: Rulebook) -> tuple[Engine, Outcome]:
    assert row.marks is not None
    engine = engine_of(row.stood.takeover, row.marks, rulebook)
    venue = Venue(row.stood.takeover.account, MONEY)
    return engine, run(rulebook.procedure, engine.opening(), engine, venue, rounds=1)


def test_the_engine_triggers_on_all_54_and_the_document_takes_them_at_the_recorded_prices(
    told: Run, rulebook: Rulebook
) -> None:
    for row in told.cross:
        takeover = row.stood.takeover
        engine, out = taken_over(row, rulebook)
        assert out.taken[0].before.figures["maintenance_headroom"] < 0
        moves = [taken.move for taken in out.taken if taken.move.step.name == "backstop"]
        assert [(move.about, cut(move.price or Fraction(0))) for move in moves] == [
            (leg.instrument, leg.price) for leg in takeover.legs
        ]
        assert abs(out.holdings.get(takeover.account, WALLET, MONEY)) < Fraction(1, 10**6)
        assert float(engine(out.holdings, 0.0).figures["equity"]) == pytest.approx(0.0, abs=1e-6)


def test_two_thirds_of_maintenance_decided_nothing(told: Run) -> None:
    """Under the documents of 2025 the first step would have been tried for 47 of 54: the book, not the backstop."""
    assert sum(row.ratio > Fraction(2, 3) * ONE_PER_CENT for row in told.cross) == 47


# --- what the ledger says -----------------------------------------------------------------------------------------


def test_the_ledger_comes_to_nothing_at_30_of_54(told: Run) -> None:
    """Of 54 within a cent and 1e-4 an hour of what was held; 23 within 3e-5. Funding is not recorded."""
    assert sum(row.cause is Cause.FUNDING for row in told.cross) == 30
    tighter = Fraction(3, 10**5)
    assert sum(abs(row.stood.left) <= CENT + tighter * row.stood.hours for row in told.cross) == 23
    within = sorted(row.an_hour for row in told.cross if row.cause is Cause.FUNDING)
    assert float((within[14] + within[15]) / 2) == pytest.approx(1.276e-5, rel=1e-3)  # the base rate is 1.25e-5


def test_the_remainder_has_the_sign_and_the_rate_of_funding(told: Run) -> None:
    """What longs left and shorts lack, for each hour of longs less shorts: 12 of 54 at the base rate of 1.25e-5.

    With the other sign there is one, so that it is no matter of how wide the band is.
    """
    rates = [row.net_an_hour for row in told.cross if row.net_an_hour is not None]
    low, high = Fraction(1, 10**5), Fraction(15, 10**6)
    assert sum(low <= rate <= high for rate in rates) == 12
    assert sum(low <= -rate <= high for rate in rates) == 1
    tight = [row for row in told.cross if abs(row.stood.left) <= CENT + Fraction(3, 10**5) * row.stood.hours]
    assert sum((row.net_an_hour or 0) > 0 for row in tight) == 17


def test_what_may_lie_behind_the_rest(told: Run) -> None:
    causes = Counter(row.cause for row in told.cross)
    assert causes == {
        Cause.FUNDING: 30,
        Cause.UNKNOWN: 7,
        Cause.FEES: 6,
        Cause.TRANSFERS: 6,
        Cause.KEPT: 4,
        Cause.EARLIER: 1,
    }
    assert {row.cause for row in told.rows if not row.stood.takeover.cross} == {None}


# --- one account, opened and taken over within an hour -------------------------------------------------------------


def golden(told: Run) -> tuple[list[Entry], Judged]:
    row = next(row for row in told.rows if row.stood.takeover.account == GOLDEN)
    until = row.stood.takeover.as_of
    return [entry for entry in told.entries if entry.account == GOLDEN and entry.as_of <= until], row


def test_the_golden_account_reconciles_to_half_a_cent(told: Run) -> None:
    entries, row = golden(told)
    paid = sum(entry.amount for entry in entries if isinstance(entry, Paid))
    taken = sum(abs(leg.contracts) * leg.price for leg in row.stood.takeover.legs)
    assert paid == 300
    assert round(row.stood.traded - taken) == 15_397
    assert abs(row.stood.left) < Fraction(5, 1000)
    traded = [entry.as_of for entry in entries if isinstance(entry, Traded)]
    assert (traded[-1] - traded[0]).total_seconds() < 3600


def marked(entry: Traded, mark: Fraction, scales: Scales, number: int) -> c.Prices:
    """The mark that stands from here on, as a command of its own source."""
    units = mark * 10 ** scales.price[entry.instrument]
    assert units.denominator == 1
    quotes = {entry.instrument: c.Quote(price=int(units)), MONEY: c.Quote(price=10**8)}
    return c.Prices(source="marks", sequence=number, as_of=entry.as_of, quotes={"feed": quotes})


def accepted(house: House, command: c.Command) -> None:
    (answer,) = house.handle_all([command])
    assert answer.not_taken is None
    assert not isinstance(answer.records[0].event, Refused), answer.records[0].event


def triggered(house: House) -> bool:
    report = house.rules.assess(house.state, {GOLDEN: house.state.balances[GOLDEN]})[GOLDEN]
    assert isinstance(report, tuple), report
    return report[0].triggered


def test_the_golden_account_lives_and_ends_under_the_engine(told: Run, rulebook: Rulebook) -> None:
    """Each of its trades passes the engine at marks of its own prices; the recorded mark, and no other, triggers."""
    entries, row = golden(told)
    assert row.marks is not None
    takeover, scales = row.stood.takeover, scales_of(entries)
    house, looks = House(MemoryJournal(), rules_of(rulebook)), list[bool]()
    for number, (entry, command) in enumerate(commands_of(entries, scales), start=1):
        taken = isinstance(entry, Traded) and entry.as_of == takeover.as_of
        if isinstance(entry, Traded):
            mark = row.marks[0] if taken else Fraction(entry.price)
            accepted(house, marked(entry, mark, scales, number - 4))  # three sections and a payment come before
            looks.append(triggered(house))
        if taken:
            assert procedure_of(house, rulebook) == {leg.instrument: leg.price for leg in takeover.legs}
        if command is not None:
            accepted(house, command)
    assert looks == [False] * (len(looks) - 1) + [True]
    assert house.state.balances[GOLDEN] == {(WALLET, MONEY): int(row.stood.left * 10**scales.money)}
    assert sums(house.state.balances) == {}


def procedure_of(house: House, rulebook: Rulebook) -> dict[str, Fraction]:
    """Where the document takes the golden account's positions over, as the house's ledger has them now."""
    state = house.state
    account, market = bridge.account_with(state, GOLDEN, state.balances[GOLDEN]), bridge.snapshot_of(state)
    engine = Engine(account, lambda _elapsed: market, rulebook)
    out = run(rulebook.procedure, engine.opening(), engine, Venue(GOLDEN, MONEY), rounds=1)
    assert abs(out.holdings.get(GOLDEN, WALLET, MONEY)) < Fraction(1, 10**6)
    return {taken.move.about: cut(taken.move.price or Fraction(0)) for taken in out.taken[1:]}


def test_the_page_shows_what_the_run_gives(told: Run) -> None:
    page = PAGE.read_text("utf-8")
    assert table(told.rows) in page, "run: python -m scripts.recorded_accounts --write"
