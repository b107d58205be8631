"""What nobody holds changes nobody's figures: whatever is wrong with it refuses who holds it, and nobody else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin import kernels
from crossmargin.account import Account, Book, Order, Position
from crossmargin.cluster import assess_shards
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import BookReport, CompactReport, LiveBook, Rulebook, assess_book, compact
from crossmargin.market import AssetQuote, Snapshot
from tests.margin.rules import made
from tests.strategies.books import SPECS, market, perpetual, position, rules, snapshot_of
from tests.strategies.events import Mirror, listed_for, tradable

if TYPE_CHECKING:
    from crossmargin.margin.pools import PoolColumns

FIGURES = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance")
NAMES = ("span", "span-arrays", "reference", "deribit-portfolio-cross", "okx-portfolio", "deribit-standard")
EACH = tuple(next(spec for spec in reversed(SPECS) if spec.startswith(f"{name}@")) for name in NAMES)
WINDOWS = tuple(spec for spec in SPECS if spec.startswith(("span2@", "family-historical@")))
SETTLED = EACH[NAMES.index("deribit-standard")]


def gross(report: BookReport) -> np.ndarray[Any, Any]:
    legs, measures = report.resolved.legs, report.evaluation.measures
    worth = np.abs(legs.quantity * measures["price"]) + np.abs(np.asarray(measures["notional"]))
    return report.account_sum(kernels.segment_sum(worth, legs.unit, len(report.resolved.units)))


def assert_as(found: PoolColumns, wanted: BookReport, what: object) -> None:
    reasons = [{n: failure.reason for n, failure in report.failures.items()} for report in (found, wanted)]
    assert reasons[0] == reasons[1], what  # of several contracts that refuse, each names the first it meets
    allowed = 1e-10 * gross(wanted) + 1e-9
    for name in FIGURES:
        mine, theirs = (report.account_sum(getattr(report, f"unit_{name}")) for report in (found, wanted))
        assert (np.isnan(theirs) | (np.abs(mine - theirs) <= allowed)).all(), (what, name, mine, theirs)


class Desk:
    """One book three ways: as it is, laid out, and alive."""

    def __init__(self, accounts: list[Account], snapshot: Snapshot, rulebook: Rulebook) -> None:
        self.accounts, self.snapshot, self.rulebook = accounts, snapshot, rulebook
        self.book = Book.from_accounts(accounts)
        self.held = compact(self.book, snapshot, rulebook)
        self.live = LiveBook(self.held, snapshot, rulebook)

    def at(self, snapshot: Snapshot, what: object) -> BookReport:
        """The book as it is, laid out before the change, and alive through it: one and the same."""
        wanted = assess_book(self.book, snapshot, self.rulebook)
        assert_as(assess_book(self.held, snapshot, self.rulebook), wanted, what)
        self.live.mark(snapshot)
        assert_as(self.live.view(), wanted, what)
        return wanted

    def laid_out_at(self, snapshot: Snapshot) -> CompactReport:
        return assess_book(compact(self.book, snapshot, self.rulebook), snapshot, self.rulebook)


def desk_of(spec: str, count: int = 12, seed: int = 7) -> Desk:
    mirror = Mirror.of(rules(spec), count, seed)
    return Desk(mirror.accounts, mirror.snapshot, mirror.rulebook)


def listed(snapshot: Snapshot, symbol: str, **changes: object) -> Snapshot:
    one = replace(snapshot.listings[symbol], **changes)
    return replace(snapshot, listings={**snapshot.listings, symbol: one})


def without(snapshot: Snapshot, name: str) -> Snapshot:
    listings = {symbol: one for symbol, one in snapshot.listings.items() if symbol != name}
    return replace(snapshot, listings=listings, assets={a: q for a, q in snapshot.assets.items() if a != name})


# --- what cannot be priced


@pytest.mark.parametrize("spec", EACH)
def test_each_listing_refused_in_turn(spec: str) -> None:
    desk = desk_of(spec)
    before, refused = desk.snapshot, set()
    ways = {"observed_at": before.as_of - timedelta(hours=9)}, {"mark_price": None}
    for n, symbol in enumerate(before.listings):
        for changes in ways if spec == EACH[0] else ways[n % 2 :][:1]:
            wanted = desk.at(listed(before, symbol, **changes), (symbol, changes))
            refused.add(len(wanted.failures))
    assert min(refused) == 0
    assert 0 < max(refused) < len(desk.book)


@pytest.mark.parametrize("spec", EACH)
def test_each_listing_gone_in_turn(spec: str) -> None:
    desk = desk_of(spec, seed=3)
    for symbol in list(desk.snapshot.listings)[::3]:
        desk.at(without(desk.snapshot, symbol), symbol)


@pytest.mark.parametrize("spec", EACH[:-1])  # the last reports in what it settles in: see below
def test_each_asset_without_a_price_in_turn(spec: str) -> None:
    desk = desk_of(spec)
    for name, quote in desk.snapshot.assets.items():
        unpriced = replace(desk.snapshot, assets={**desk.snapshot.assets, name: replace(quote, price=nan)})
        desk.at(unpriced, name)


@pytest.mark.parametrize("spec", EACH[:-1])
def test_each_asset_gone_in_turn(spec: str) -> None:
    """Without a wrapper its contracts are another bucket's, and stand elsewhere among the rows."""
    desk = desk_of(spec, count=25)
    for name in desk.snapshot.assets:
        gone = without(desk.snapshot, name)
        wanted = desk.at(gone, name)
        assert_as(LiveBook(desk.held, gone, desk.rulebook).view(), wanted, name)
        assert_as(assess_shards(desk.held, gone, desk.rulebook, processes=1), wanted, name)


def test_a_check_of_a_trade_beside_a_stale_listing() -> None:
    """The one that was found: the first of an expiry is stale, and its tier is that of the others."""
    positions = (
        Position(instrument="ETH-PERPETUAL", quantity=Decimal(-3000), entry_price=Decimal(2400)),
        Position(instrument="ETHUSDC", quantity=Decimal(600), entry_price=Decimal(2400)),
        Position(instrument="ETH-USDC-260626-3000-P", quantity=Decimal(20)),
    )
    account = Account(id="a", balances={"USD": Decimal(100_000)}, positions=positions)
    desk = Desk([account], market(), rules(EACH[0]))
    before, live, traded = desk.snapshot, desk.live, "ETH-USDC-260626-3000-P"
    paid = Decimal(repr(-5 * (before.listings[traded].mark_price or 0.0)))
    grown = (*positions[:2], replace(positions[2], quantity=Decimal(25)))
    after = replace(account, positions=grown, balances={**account.balances, "USDC": paid})
    stale = listed(before, "ETH-USDC-260626-1920-C", observed_at=before.as_of - timedelta(hours=9))
    for snapshot in (before, stale):
        wanted = assess_book(Book.from_accounts([after]), snapshot, desk.rulebook).rows()[0].initial_margin
        (now,) = desk.at(snapshot, traded).rows()
        assert live.row("a").initial_margin == pytest.approx(now.initial_margin, rel=1e-12)
        assert live.what_if("a", traded, 5.0).initial_margin == pytest.approx(wanted, rel=1e-12)
        assert live.what_ifs(["a"], [traded], [5.0]).initial_margin == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("priced", [True, False])
@pytest.mark.parametrize("refused", ["A", "B", "STETH", ""])
def test_the_index_of_a_bucket_is_no_refused_contracts(priced: bool, refused: str) -> None:
    """Where its asset has a price it is that; else that of the first leg held, so that rows cannot stand for it."""
    rulebook = made(
        '[charges.charge]\nlevel = "bucket"\nof = "perpetual"\nrate = 0.1\nis = "rate * abs(delta) * index"'
    )
    common = {"quote_asset": "USD", "settlement_asset": "USD"}
    listings = [perpetual("ETH", "USD", symbol=s, index_price=p, **common) for s, p in (("A", 2_390.0), ("B", 2_410.0))]
    snapshot = snapshot_of([*listings, perpetual("BTC", "USD", **common)])
    snapshot = snapshot if priced else without(without(snapshot, "STETH"), "ETH")
    accounts = [Account(id=one.symbol, positions=(position(one, 5.0),)) for one in listings]
    accounts.append(Account(id="both", positions=tuple(position(one, 5.0) for one in listings)))
    desk = Desk(accounts, snapshot, rulebook)
    if refused in snapshot.listings:
        snapshot = listed(snapshot, refused, observed_at=snapshot.as_of - timedelta(hours=9))
    elif refused in snapshot.assets:  # nobody holds it; it stands first in its bucket
        snapshot = replace(snapshot, assets={**snapshot.assets, refused: AssetQuote(price=nan, wraps="ETH")})
    alone = refused in snapshot.listings
    assert len(desk.at(snapshot, refused).failures) == (2 if alone else 0)
    assert desk.live.engine == (bool(kernels.operations()) and (priced or alone))


# --- what is new


def with_doge(snapshot: Snapshot, *, perpetuals: bool) -> Snapshot:
    new = replace(snapshot, assets={**snapshot.assets, "DOGE": AssetQuote(price=0.1)})
    one = replace(perpetual("BTC", "USDC"), symbol="DOGEUSDC", underlying="DOGE", mark_price=0.1, index_price=0.1)
    return replace(new, listings={**new.listings, one.symbol: one}) if perpetuals else new


@pytest.mark.parametrize("spec", WINDOWS)
@pytest.mark.parametrize("perpetuals", [False, True])
@pytest.mark.parametrize("moves", [None, (), ("much",), (-1.0, 0.0, 0.0)])
def test_a_window_without_moves_refuses_who_holds_what_they_are_of(
    spec: str, perpetuals: bool, moves: tuple[object, ...] | None
) -> None:
    desk = desk_of(spec, count=5, seed=1)
    before, rulebook = with_doge(desk.snapshot, perpetuals=perpetuals), desk.rulebook
    if moves is not None:
        window = {**before.calibration["window"], "DOGE": moves}
        before = replace(before, calibration={**before.calibration, "window": window})
    assert not desk.at(before, spec).failures
    assert not desk.laid_out_at(before).failures
    if not perpetuals:
        return
    doge = Position(instrument="DOGEUSDC", quantity=Decimal(7), entry_price=Decimal("0.1"))
    first = replace(desk.accounts[0], positions=(*desk.accounts[0].positions, doge))
    risky = Desk([first, *desk.accounts[1:]], before, rulebook)
    wanted = risky.at(before, spec)
    assert [*wanted.failures] == [0]
    assert wanted.failures[0].reason == FailureReason.MISSING_CALIBRATION
    said = "has no moves of DOGE" if moves is None else "of DOGE is not a list of moves"
    assert said in wanted.failures[0].message
    with pytest.raises(InputError, match=said):
        desk.live.what_if(1, "DOGEUSDC", 7.0)
    desk.live.fill(0, "DOGEUSDC", 7.0, 0.1)
    assert desk.live.failures == wanted.failures
    desk.live.fill(0, "DOGEUSDC", -7.0, 0.1)
    assert not desk.live.failures


@pytest.mark.parametrize("row", [None, [1.0, 2.0], "much", [nan] * 16])
def test_a_contract_without_a_supplied_row_refuses_who_holds_it(row: object) -> None:
    desk = desk_of(EACH[1])
    before, seen = desk.snapshot, 0
    for symbol in list(before.listings)[::9]:
        arrays = {name: one for name, one in before.calibration["risk_arrays"].items() if name != symbol}
        arrays |= {} if row is None else {symbol: row}
        after = replace(before, calibration={**before.calibration, "risk_arrays": arrays})
        wanted = desk.at(after, symbol)
        assert all(one.reason == FailureReason.MISSING_CALIBRATION for one in wanted.failures.values())
        assert len(wanted.failures) < len(desk.book)
        seen += len(wanted.failures)
    assert seen


@pytest.mark.parametrize("spec", [SETTLED, EACH[0]])
@pytest.mark.parametrize("quote", [None, AssetQuote(price=nan), AssetQuote(price=1.0, wraps="DOGE")])
def test_a_listing_settled_in_what_has_no_price(spec: str, quote: AssetQuote | None) -> None:
    desk = desk_of(spec, count=8)
    one = replace(tradable(desk.snapshot)[0], symbol="NEW", settlement_asset="DOGE")
    after = replace(desk.snapshot, listings={**desk.snapshot.listings, "NEW": one})
    after = after if quote is None else replace(after, assets={**after.assets, "DOGE": quote})
    assert not desk.at(after, spec).failures
    assert not desk.laid_out_at(after).failures
    with pytest.raises(InputError, match="DOGE"):
        desk.live.what_if(0, "NEW", 1.0)


# --- reduce-only orders


@pytest.mark.parametrize("spec", [EACH[0], EACH[2], SETTLED, "drift-v2@2026-01-20"])
def test_a_reduce_only_order_asks_nothing_of_its_instrument(spec: str) -> None:
    rulebook = rules(spec)
    snapshot = listed_for(rulebook)
    first = tradable(snapshot)[0].symbol
    order = Order(instrument=first, quantity=Decimal(-1), limit_price=Decimal(1), reduce_only=True)
    unknown = replace(order, instrument="GONE")
    balances = {snapshot.listings[first].settlement_asset: Decimal(1_000)}
    bare = [Account(id=name, balances=balances) for name in ("a", "b", "c")]
    desk = Desk([replace(bare[0], orders=(order,)), replace(bare[1], orders=(unknown,))], snapshot, rulebook)
    for after in (
        snapshot,
        without(snapshot, first),
        listed(snapshot, first, observed_at=snapshot.as_of - timedelta(hours=9)),
        listed(snapshot, first, mark_price=None),
    ):
        assert not desk.at(after, spec).failures
        assert not desk.laid_out_at(after).failures
        assert_as(desk.live.view(), assess_book(Book.from_accounts(bare[:2]), after, rulebook), spec)
    desk.live.mark(snapshot)
    desk.live.add_account(replace(bare[2], orders=(unknown,)))
    assert desk.live.row("c").failure is None
    opens = Desk([replace(bare[0], orders=(replace(order, reduce_only=False),))], snapshot, rulebook)
    assert opens.at(without(snapshot, first), spec).failures[0].reason == FailureReason.UNKNOWN_INSTRUMENT
