"""Commands to events to state: what is refused, what is repeated, what two engines would agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from crossmargin.clearing import Figures, House, MemoryJournal, Rules, State, decide, evolve, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Halts, RulebookTerms, Section, digest_of
from crossmargin.clearing.decide import RunawayError
from crossmargin.clearing.events import Event, Indexed, Posted, Priced, Refused, Stage, Staged
from crossmargin.clearing.house import StoppedError
from crossmargin.clearing.journal import answer_of
from crossmargin.clearing.ledger import DUE, FUNDING, HELD, INTEREST, WALLET, UnbalancedError, total
from crossmargin.clearing.records import records_of
from crossmargin.clearing.rules import Reports
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.state import Case
from crossmargin.errors import Failure
from crossmargin.errors import FailureReason as R
from tests.clearing import venue
from tests.clearing.venue import Desk, open_house

if TYPE_CHECKING:
    from crossmargin.clearing.ledger import Holdings


def thin(headroom: Mapping[str, float]) -> Rules:
    """Rules under which an owner's initial headroom is what his dollars exceed these by."""

    def assess(_: State, holdings: Mapping[str, Holdings], /) -> Reports:
        return {
            owner: (
                Figures(
                    pool=owner,
                    equity=0.0,
                    initial_headroom=held.get((WALLET, "USDC"), 0) - headroom.get(owner, 0),
                    maintenance_headroom=0.0,
                    coverage_ratio=0.0,
                    triggered=False,
                    adjusted_equity=0.0,
                    initial=0.0,
                    maintenance=0.0,
                ),
            )
            for owner, held in holdings.items()
        }

    return Rules(assess, "thin")


def wallet(desk: Desk, owner: str, asset: str = "USDC") -> int:
    return desk.house.state.balances.get(owner, {}).get((WALLET, asset), 0)


def held(desk: Desk, owner: str, symbol: str = "BTC-PERP") -> int:
    return desk.house.state.balances.get(owner, {}).get((HELD, symbol), 0)


def trade(desk: Desk, buyer: str = "alice", seller: str = "bob", **fields: Any) -> Any:  # noqa: ANN401
    given = {"instrument": "BTC-PERP", "quantity": 1_000, "price": 600_000, **fields}
    return desk.send(c.Trade, buyer=buyer, seller=seller, **given)


def test_money_comes_from_the_world_and_goes_back() -> None:
    desk = open_house()
    posted = desk.send(c.Deposit, owner="alice", asset="USDC", amount=5_000_000)
    assert posted == Posted(
        "deposit", None, (("world", WALLET, "USDC", -5_000_000), ("alice", WALLET, "USDC", 5_000_000))
    )
    desk.send(c.Withdraw, owner="alice", asset="USDC", amount=2_000_000)
    assert (wallet(desk, "alice"), wallet(desk, "world")) == (3_000_000, -3_000_000)


def test_pools_of_an_account_are_separate_and_money_moves_between_them() -> None:
    desk = open_house()
    desk.send(c.Deposit, owner="alice", asset="USDC", amount=5_000_000)
    desk.send(c.Transfer, owner="alice", target="alice/hedge", asset="USDC", amount=2_000_000)
    assert (wallet(desk, "alice"), wallet(desk, "alice/hedge")) == (3_000_000, 2_000_000)
    refused = desk.send(c.Transfer, owner="alice", target="bob", asset="USDC", amount=1)
    assert refused.reason == R.UNKNOWN_ACCOUNT


def test_fees_go_to_the_house_and_rebates_come_from_it() -> None:
    desk = open_house()
    trade(desk, buyer_fee=30, seller_fee=-10)
    assert (wallet(desk, "alice"), wallet(desk, "bob"), wallet(desk, "fees")) == (-30, 10, 20)


def test_funding_is_settled_before_a_trade_changes_the_position() -> None:
    desk = open_house()
    trade(desk)
    moved = desk.send(c.Accrue, index="BTC-PERP", rate="0.0001", mark=600_000)
    assert moved == Indexed({"BTC-PERP": 6_000 * 10**12})  # 60,000 dollars a contract, 0.0001: 6,000 units of a lot
    trade(desk, "alice", "carol", quantity=500)
    assert wallet(desk, "alice") == -6_000_000  # one contract of 1,000 lots: 6 dollars
    assert desk.house.state.balances["alice"][DUE, "BTC-PERP"] == 1_500 * 6_000 * 10**12
    trade(desk, "bob", "alice", quantity=1_000)
    assert (wallet(desk, "bob"), wallet(desk, "carol"), wallet(desk, FUNDING)) == (6_000_000, 0, 0)


def test_interest_runs_on_debts_and_deposits_and_starts_anew_with_every_change() -> None:
    desk = open_house()
    desk.send(c.Deposit, owner="bob", asset="USDC", amount=1_000_000_001)
    desk.send(c.Withdraw, owner="alice", asset="USDC", amount=500_000_001)
    desk.send_all(
        [
            c.Accrue(**desk.named(), index=f"{side}:USDC", rate=rate)
            for side, rate in (("borrow", "0.001"), ("lend", "0.0004"))
        ]
    )
    desk.send(c.Deposit, owner="alice", asset="USDC", amount=500_000_001)
    assert wallet(desk, "alice") == -500_001  # 500,000.001 units, rounded up
    desk.send(c.Deposit, owner="bob", asset="USDC", amount=1)
    assert wallet(desk, "bob") == 1_000_000_002 + 400_000  # 400,000.0004, rounded down
    desk.send(c.Accrue, index="borrow:USDC", rate="0.001")
    desk.send(c.Deposit, owner="alice", asset="USDC", amount=1)
    assert wallet(desk, "alice") == -500_001 - 501 + 1
    house = desk.house.state.balances[INTEREST]
    assert house[WALLET, "USDC"] == 500_001 - 400_000 + 501
    assert not total(
        (owner, *key, amount) for owner, one in desk.house.state.balances.items() for key, amount in one.items()
    )


def test_an_order_stands_in_the_ledger_until_it_is_filled_or_cancelled() -> None:
    desk = open_house()
    desk.send(c.PlaceOrder, owner="alice", instrument="BTC-PERP", quantity=700, limit_price=590_000)
    trade(desk, quantity=300, price=590_000, buyer_limit=590_000)
    standing = desk.house.state.balances["alice"]["reserved", "BTC-PERP@590000"]
    assert standing == 400
    too_much = desk.send(c.Cancel, owner="alice", instrument="BTC-PERP", quantity=401, limit_price=590_000)
    assert too_much.reason == R.INVALID_QUANTITY
    desk.send(c.Cancel, owner="alice", instrument="BTC-PERP", quantity=400, limit_price=590_000)
    assert ("reserved", "BTC-PERP@590000") not in desk.house.state.balances["alice"]


@pytest.mark.parametrize("symbol", ["BTC-PERP", "BTC-USD"])
@pytest.mark.parametrize(("side", "signed", "better", "worse"), [("buyer", 5, 1, -1), ("seller", -5, -1, 1)])
def test_an_order_is_filled_at_its_limit_or_better(
    symbol: str, side: str, signed: int, better: int, worse: int
) -> None:
    """Of inverse contracts too, whose limit is a price as any other."""
    desk = open_house()
    desk.send(c.PlaceOrder, owner="alice", instrument=symbol, quantity=signed, limit_price=590_000)
    sides = {"buyer": "alice", "seller": "bob"} if side == "buyer" else {"buyer": "bob", "seller": "alice"}
    fill: dict[str, Any] = {**sides, "instrument": symbol, "quantity": 2, f"{side}_limit": 590_000}
    assert trade(desk, **fill, price=590_000 - worse).reason == R.INVALID_PRICE
    assert ("held", symbol) not in desk.house.state.balances["alice"]
    assert isinstance(trade(desk, **fill, price=590_000 - better), Posted)
    assert isinstance(trade(desk, **fill, price=590_000), Posted)


@pytest.mark.parametrize("owner", ["book", "fund", "network", "treasury", "vault"])
def test_the_house_pays_out_no_more_than_it_has(owner: str) -> None:
    desk = open_house()
    payment = {"owner": owner, "asset": "USDC"}
    assert desk.send(c.Withdraw, **payment, amount=1).reason == R.INSUFFICIENT_MARGIN
    desk.send(c.Deposit, **payment, amount=7)
    assert desk.send(c.Withdraw, **payment, amount=8).reason == R.INSUFFICIENT_MARGIN
    assert desk.send(c.Transfer, **payment, target="alice", amount=1).reason == R.UNKNOWN_ACCOUNT
    assert isinstance(desk.send(c.Withdraw, **payment, amount=7), Posted)
    trade(desk, seller=owner)  # on credit, as the other side
    trade(desk, owner, "bob", price=600_001)
    assert wallet(desk, owner) < 0
    assert desk.send(c.Withdraw, **payment, amount=1).reason == R.INSUFFICIENT_MARGIN


def test_an_expired_contract_is_paid_out_and_trades_no_more() -> None:
    desk = open_house()
    trade(desk, instrument="BTC-MAR")
    desk.send(c.PlaceOrder, owner="bob", instrument="BTC-MAR", quantity=7, limit_price=1)
    early = desk.send(c.Expire, instrument="BTC-MAR", price=610_000)
    assert early.reason == R.AWAITING_SETTLEMENT
    desk.as_of = venue.EXPIRY
    assert trade(desk, instrument="BTC-MAR").reason == R.EXPIRED
    desk.send(c.Expire, instrument="BTC-MAR", price=610_000)
    assert wallet(desk, "alice") == 1_000_000_000
    assert {asset for held in desk.house.state.balances.values() for _, asset in held} == {"USDC"}


def test_settling_profit_moves_it_into_wallets() -> None:
    desk = open_house()
    trade(desk)
    desk.send(c.Settle, instrument="BTC-PERP", price=605_000)
    assert (wallet(desk, "alice"), wallet(desk, "bob")) == (500_000_000, -500_000_000)
    assert desk.send(c.Settle, instrument="BTC/USDC", price=605_000).reason == R.INVALID_INSTRUMENT


def test_prices_stand_when_the_guard_lets_them() -> None:
    desk = open_house()
    feeds = {name: {"BTC": c.Quote(price=price)} for name, price in (("a", 6_000_000), ("b", 1), ("z", 6_000_100))}
    assert desk.send(c.Prices, quotes=feeds) == Priced({"BTC": c.Quote(price=6_000_000)})
    desk.house.rules = Rules(venue.plenty, "rich", guard=lambda *_: Priced({}))
    assert desk.send(c.Prices, quotes=feeds) == Posted("prices", None, ())
    assert desk.house.state.marks["BTC"].price == 6_000_000


GOOD = {feed: {"BTC": c.Quote(price=price)} for feed, price in (("a", 6_000_000), ("b", 6_001_000))}
BAD_WORDS = [
    (c.Quote(price=0), "invalid price"),
    (c.Quote(price=6_000_500, interval=-1), "invalid price"),
    (c.Quote(price=6_000_500, figures={"twap": "nan"}), "invalid quantity"),
    (c.Quote(price=6_000_500, figures={"mark_iv": "1"}), "malformed input"),
    (c.Quote(price=6_000_500, observed_at=venue.START.replace(tzinfo=None)), "malformed input"),
    (c.Quote(price=6_000_500, quality="\ud800"), "malformed input"),
]


@pytest.mark.parametrize(("word", "why"), BAD_WORDS)
def test_a_word_that_means_nothing_does_not_count_and_the_others_do(word: c.Quote, why: str) -> None:
    desk = open_house()
    quotes = {**GOOD, "bad": {"BTC": word, "ETH": c.Quote(price=200_000)}}
    assert desk.send(c.Prices, quotes=quotes) == Priced(
        {"BTC": c.Quote(price=6_000_000, quality=f"as given; bad {why}"), "ETH": c.Quote(price=200_000)}
    )


def test_a_word_on_a_name_that_does_not_stand_is_told_with_one_that_does() -> None:
    desk = open_house()
    quotes = {**GOOD, "bad": {"DOGE": c.Quote(price=1), "ETH": c.Quote(price=0)}, "\ud800": {"BTC": c.Quote(price=1)}}
    why = "; bad on DOGE unknown instrument; bad on ETH invalid price; \\ud800 malformed input"
    priced = desk.send(c.Prices, quotes=quotes)
    assert priced == Priced({"BTC": c.Quote(price=6_000_000, quality=f"as given{why}")})
    many = {f"{number}": {"BTC": c.Quote(price=0)} for number in range(1_000)}
    assert len(desk.send(c.Prices, quotes={**GOOD, **many}).quotes["BTC"].quality) == 500


def test_where_no_word_means_anything_nothing_changes_and_the_first_reason_is_told() -> None:
    desk = open_house()
    refused = desk.send(c.Prices, quotes={"a": {"BTC": c.Quote(price=0)}, "b": {"DOGE": c.Quote(price=1)}})
    assert (refused.reason, refused.found) == (R.INVALID_PRICE, "0")
    assert desk.house.state.marks == {}


# --- refused

NAIVE = venue.START.replace(tzinfo=None)
DEPOSIT = {"owner": "alice", "asset": "USDC", "amount": 1}
TRADE = {"buyer": "alice", "seller": "bob", "instrument": "BTC-PERP", "quantity": 1, "price": 600_000}
ORDER = {"owner": "alice", "instrument": "BTC-PERP", "quantity": 1, "limit_price": 600_000}
REFUSED: list[tuple[type, dict[str, Any], R]] = [
    (c.Deposit, {**DEPOSIT, "owner": "nobody"}, R.UNKNOWN_ACCOUNT),
    (c.Deposit, {**DEPOSIT, "owner": "alice/other"}, R.UNKNOWN_ACCOUNT),
    (c.Deposit, {**DEPOSIT, "owner": "round"}, R.UNKNOWN_ACCOUNT),
    (c.Deposit, {**DEPOSIT, "owner": "world"}, R.UNKNOWN_ACCOUNT),
    (c.Deposit, {**DEPOSIT, "asset": "DOGE"}, R.UNKNOWN_ASSET),
    (c.Deposit, {**DEPOSIT, "amount": 0}, R.INVALID_QUANTITY),
    (c.Withdraw, {**DEPOSIT, "amount": -1}, R.INVALID_QUANTITY),
    (c.Transfer, {**DEPOSIT, "target": "alice"}, R.UNKNOWN_ACCOUNT),
    (c.Trade, {**TRADE, "instrument": "DOGE-PERP"}, R.UNKNOWN_INSTRUMENT),
    (c.Trade, {**TRADE, "seller": "alice"}, R.UNKNOWN_ACCOUNT),
    (c.Trade, {**TRADE, "seller": "fees"}, R.UNKNOWN_ACCOUNT),
    (c.Trade, {**TRADE, "quantity": -1}, R.INVALID_QUANTITY),
    (c.Trade, {**TRADE, "price": 0}, R.INVALID_PRICE),
    (c.Trade, {**TRADE, "case": "1"}, R.UNKNOWN_CASE),
    (c.Trade, {**TRADE, "buyer_limit": 600_000}, R.INVALID_QUANTITY),
    (c.Trade, {**TRADE, "buyer_limit": 10**5000}, R.INVALID_PRICE),
    (c.PlaceOrder, {**ORDER, "quantity": 0}, R.INVALID_QUANTITY),
    (c.PlaceOrder, {**ORDER, "limit_price": -1}, R.INVALID_PRICE),
    (c.Cancel, {**ORDER, "instrument": "DOGE"}, R.UNKNOWN_INSTRUMENT),
    (c.Prices, {"quotes": {"feed": {"DOGE": c.Quote(price=1)}}}, R.UNKNOWN_INSTRUMENT),
    (c.Prices, {"quotes": {"feed": {"BTC": c.Quote(price=0)}}}, R.INVALID_PRICE),
    (c.Prices, {"quotes": {"feed": {"BTC": c.Quote(price=1, figures={"mark_iv": "1"})}}}, R.MALFORMED_INPUT),
    (c.Prices, {"quotes": {"feed": {"BTC": c.Quote(price=1, figures={"twap": "x"})}}}, R.INVALID_QUANTITY),
    (c.Prices, {"quotes": {"feed": {"BTC": c.Quote(price=1, observed_at=NAIVE)}}}, R.MALFORMED_INPUT),
    (c.Prices, {"quotes": {"feed": {"BTC": c.Quote(price=10**5000)}}}, R.INVALID_PRICE),
    (c.Prices, {"quotes": {"\ud800": {"BTC": c.Quote(price=1)}}}, R.MALFORMED_INPUT),
    (c.Prices, {"quotes": {"f" * 101: {"BTC": c.Quote(price=1)}}}, R.MALFORMED_INPUT),
    (c.Deposit, {**DEPOSIT, "amount": 10**5000}, R.INVALID_QUANTITY),
    (c.Trade, {**TRADE, "buyer_fee": -(10**41)}, R.INVALID_QUANTITY),
    (c.Accrue, {"index": "BTC-MAR", "rate": "0.1", "mark": 1}, R.UNKNOWN_INSTRUMENT),
    (c.Accrue, {"index": "BTC-PERP", "rate": "much", "mark": 1}, R.INVALID_QUANTITY),
    (c.Accrue, {"index": "BTC-PERP", "rate": "1e99999", "mark": 1}, R.INVALID_QUANTITY),
    (c.Accrue, {"index": "BTC-PERP", "rate": "0.1"}, R.INVALID_PRICE),
    (c.Accrue, {"index": "borrow:BTC", "rate": "0.1"}, R.UNKNOWN_ASSET),
    (c.Accrue, {"index": "lend:USDC", "rate": "-0.1"}, R.INVALID_QUANTITY),
    (c.Expire, {"instrument": "BTC-PERP", "price": 1}, R.INVALID_INSTRUMENT),
    (c.Expire, {"instrument": "BTC-MAR", "price": 0}, R.INVALID_PRICE),
    (c.Bid, {"case": "7", "bidder": "bob", "share": "1", "limit": "0", "step": 0}, R.UNKNOWN_CASE),
    (c.Configure, {"section": "assets", "document": "{}", "digest": "0"}, R.CONFIGURATION_DIFFERS),
    (c.Configure, {"section": "pets", "document": "{}", "digest": digest_of("{}")}, R.MALFORMED_INPUT),
    (c.Configure, {"section": "assets", "document": "[", "digest": digest_of("[")}, R.MALFORMED_INPUT),
]


@pytest.mark.parametrize(("kind", "fields", "reason"), REFUSED, ids=lambda one: getattr(one, "__name__", None))
def test_a_refusal_is_recorded_with_its_reason_and_changes_nothing_else(
    kind: type, fields: dict[str, Any], reason: R
) -> None:
    desk = open_house()
    before = desk.house.state
    kept = (dict(before.balances), dict(before.marks), dict(before.indices), before.configuration)
    refused = desk.send(kind, **fields)
    assert isinstance(refused, Refused)
    assert refused.reason == reason
    assert refused.expected
    assert (before.balances, before.marks, before.indices, before.configuration) == kept
    assert before.sources["desk"] == desk.sequence


def configured_documents() -> list[tuple[Section, str]]:
    return [
        (Section.ASSETS, '{"USDC": {"digits": 8}}'),
        (Section.ASSETS, '{"XRP": {"digits": 99}}'),
        (Section.ASSETS, '{"BTC-PERP": {"digits": 8}}'),
        (Section.ACCOUNTS, '{"fund": {}}'),
        (Section.ACCOUNTS, '{"a/b": {}}'),
        (Section.ACCOUNTS, '{"": {}}'),
        (Section.ACCOUNTS, '{"alice": {"pools": []}}'),
    ]


@pytest.mark.parametrize(("section", "document"), configured_documents())
def test_a_document_that_contradicts_what_stands_is_refused(section: Section, document: str) -> None:
    desk = open_house()
    refused = desk.send(c.Configure, section=section, document=document, digest=digest_of(document))
    assert refused.reason == R.INCONSISTENT_ROW


def test_withdrawals_and_trades_below_initial_headroom_are_refused_unless_they_raise_it() -> None:
    desk = open_house(thin({"alice": 1_000}))
    desk.send(c.Deposit, owner="alice", asset="USDC", amount=1_500)
    refused = desk.send(c.Withdraw, owner="alice", asset="USDC", amount=501)
    assert refused == Refused(R.INSUFFICIENT_MARGIN, "initial headroom of alice at or above 0", "-1")
    assert trade(desk, buyer_fee=501).reason == R.INSUFFICIENT_MARGIN
    assert isinstance(trade(desk, buyer_fee=500), Posted)
    desk.house.rules = Rules(thin({"alice": 2_000}).assess, "thin")
    assert trade(desk, buyer_fee=1).reason == R.INSUFFICIENT_MARGIN
    assert isinstance(trade(desk, buyer_fee=-1), Posted)  # still short, but by less


def test_who_cannot_be_assessed_cannot_trade() -> None:
    def blind(_: State, holdings: Mapping[str, Holdings], /) -> Reports:
        return {owner: Failure(R.MISSING_QUOTE, "no mark", owner) for owner in holdings}

    assert trade(open_house(Rules(blind, "blind"))).reason == R.MISSING_QUOTE


def test_an_index_that_comes_back_to_nothing_is_settled_too() -> None:
    desk = open_house()
    trade(desk)
    desk.send(c.Accrue, index="BTC-PERP", rate="0.0001", mark=600_000)
    trade(desk, quantity=1)
    paid = desk.house.state.balances["alice"][WALLET, "USDC"]
    desk.send(c.Accrue, index="BTC-PERP", rate="-0.0001", mark=600_000)
    assert desk.house.state.indices["BTC-PERP"] == 0
    trade(desk, "bob", "alice", quantity=1)
    after = desk.house.state.balances["alice"]
    assert (DUE, "BTC-PERP") not in after
    assert after[WALLET, "USDC"] > paid


def test_a_halt_stops_new_risk_only() -> None:
    desk = open_house()
    trade(desk)
    desk.configure(Section.HALTS, Halts(openings=("BTC",)))
    assert trade(desk).reason == R.HALTED
    assert isinstance(trade(desk, "bob", "alice", quantity=400), Posted)
    assert trade(desk, "bob", "alice", quantity=601).reason == R.HALTED  # past 0
    desk.configure(Section.HALTS, Halts())
    assert isinstance(trade(desk), Posted)


def staging(stage: Stage, case: str | None = None) -> Rules:
    """A procedure that moves alice to a stage as soon as her wallet is exactly 13."""

    def react(state: State, reports: Reports, /) -> Sequence[Event]:
        stood = state.pools.get("alice", {}).get("")
        if "alice" in reports and state.balances.get("alice", {}).get((WALLET, "USDC")) == 13 and stood is None:
            return [Staged("alice", Stage.HEALTHY, stage, {"wallet": "13"}, case)]
        return []

    return Rules(venue.plenty, "rich", react=react)


@pytest.mark.parametrize("stage", [Stage.WARNED, Stage.REDUCE_ONLY, Stage.LIQUIDATING])
def test_stages_close_doors(stage: Stage) -> None:
    desk = open_house(staging(stage, "case 1"))
    trade(desk)
    assert desk.send(c.Deposit, owner="alice", asset="USDC", amount=13).stage == stage
    assert desk.send(c.Withdraw, owner="alice", asset="USDC", amount=1).reason == R.NOT_HEALTHY
    more, less = trade(desk), trade(desk, "bob", "alice", quantity=1)
    assert getattr(more, "reason", None) == (None if stage == Stage.WARNED else R.LOCKED_OUT)
    assert getattr(less, "reason", None) == (R.LOCKED_OUT if stage == Stage.LIQUIDATING else None)
    assert isinstance(trade(desk, "bob", "alice", quantity=1, case="case 1"), Posted)
    bid = {"case": "case 1", "bidder": "bob", "share": "1", "limit": "0"}
    assert desk.send(c.Bid, **bid, step=3).reason == R.MOVED_ON
    assert desk.send(c.Bid, **bid, step=0).reason == R.UNKNOWN_CASE  # no procedure takes it


def test_the_other_side_of_a_cases_trade_is_judged_and_strangers_do_not_pass() -> None:
    desk = open_house(staging(Stage.LIQUIDATING, "case 1"))
    trade(desk)
    desk.send(c.Deposit, owner="alice", asset="USDC", amount=13)
    poor = thin({"alice": 1_000, "bob": 0, "carol": 1_000}).assess
    desk.house.rules = Rules(poor, "rich", react=desk.house.rules.react)
    assert trade(desk, "carol", "alice", case="case 1", buyer_fee=1).reason == R.INSUFFICIENT_MARGIN
    assert trade(desk, "carol", "bob", case="case 1").reason == R.UNKNOWN_CASE
    assert isinstance(trade(desk, "bob", "alice", case="case 1", seller_fee=20), Posted)


def test_a_reaction_that_makes_money_is_a_mistake_of_the_procedure() -> None:
    desk = open_house()
    desk.house.rules = Rules(
        venue.plenty, "rich", react=lambda *_: [Posted("gift", None, (("bob", WALLET, "USDC", 1),))]
    )
    with pytest.raises(UnbalancedError):
        desk.send(c.Tick)
    with pytest.raises(StoppedError):
        desk.send(c.Tick)


@pytest.mark.parametrize("source", ["", "x" * 101, "a\nb", "\ud800"])
def test_a_source_has_a_name_that_can_be_written(source: str) -> None:
    answer = open_house().house.handle(c.Tick(source=source, sequence=1, as_of=venue.START))
    assert answer.not_taken is not None
    assert answer.not_taken.reason == R.MALFORMED_INPUT


def test_reactions_that_do_not_end_are_a_mistake_of_the_procedure() -> None:
    def react(_: State, __: Reports, /) -> Sequence[Event]:
        return [Posted("nothing", None, ())]

    desk = open_house()
    desk.house.rules = Rules(venue.plenty, "rich", react=react)
    with pytest.raises(RunawayError):
        desk.send(c.Tick)


# --- identity and order


def test_a_repeated_command_changes_no_byte_and_its_answer_is_found() -> None:
    desk = open_house()
    command = c.Deposit(**desk.named(), owner="alice", asset="USDC", amount=5)
    first = desk.house.handle(command)
    before, kept = to_bytes(desk.house.state), len(desk.house.journal.kept)  # type: ignore[attr-defined]
    again = desk.house.handle(command)
    assert (again.duplicate, again.records) == (True, ())
    assert to_bytes(desk.house.state) == before
    assert len(desk.house.journal.kept) == kept  # type: ignore[attr-defined]
    assert answer_of(desk.house.journal, "desk", command.sequence) == first.records
    assert answer_of(desk.house.journal, "desk", 999) == ()


def test_a_gap_is_not_taken_and_its_number_stays_open() -> None:
    desk = open_house()
    one, two = (c.Deposit(**desk.named(), owner="alice", asset="USDC", amount=5) for _ in range(2))
    answer = desk.house.handle(two)
    assert answer.not_taken is not None
    assert answer.not_taken.reason == R.OUT_OF_ORDER
    assert [bool(a.records) for a in desk.house.handle_all([one, two])] == [True, True]


@pytest.mark.parametrize("sequence", [0, -3, -(10**5000)], ids=["0", "-3", "huge"])
def test_a_number_below_the_first_is_not_taken(sequence: int) -> None:
    """Nothing was ever answered by it."""
    desk = open_house()
    for source in ("desk", "new"):
        answer = desk.house.handle(c.Tick(source=source, sequence=sequence, as_of=desk.as_of))
        assert not answer.duplicate
        assert answer.not_taken is not None
        assert answer.not_taken.reason == R.MALFORMED_INPUT


def test_numbers_beyond_all_reason_stop_nothing() -> None:
    desk = open_house()
    answer = desk.house.handle(c.Tick(source="desk", sequence=10**5000, as_of=desk.as_of))
    assert answer.not_taken is not None
    assert answer.not_taken.reason == R.OUT_OF_ORDER
    desk.house.state.cases["case 1"] = Case("alice", 0, venue.START, {})
    bid = desk.send(c.Bid, case="case 1", bidder="bob", share="1", limit="0", step=10**5000)
    assert bid.reason == R.MOVED_ON


def test_a_zone_of_whole_minutes_is_what_a_record_can_hold() -> None:
    desk = open_house()
    fine = timezone(timedelta(hours=1, seconds=20))
    answer = desk.house.handle(c.Tick(**{**desk.named(), "as_of": desk.as_of.astimezone(fine)}))
    assert answer.not_taken is not None
    assert answer.not_taken.reason == R.MALFORMED_INPUT


def test_time_does_not_run_backwards() -> None:
    desk = open_house()
    late = desk.as_of
    desk.as_of -= timedelta(hours=1)
    assert desk.send(c.Tick).reason == R.TIME_BACKWARDS
    assert desk.house.state.as_of == late
    desk.as_of = late
    naive = c.Tick(source="desk", sequence=desk.sequence + 1, as_of=late.replace(tzinfo=None))
    answer = desk.house.handle(naive)
    assert answer.not_taken is not None
    assert answer.not_taken.reason == R.MALFORMED_INPUT


def test_an_index_moves_once_at_a_time() -> None:
    desk = open_house()
    one = c.Accrue(**desk.named(), index="BTC-PERP", rate="0.0001", mark=600_000)
    two = msgspec.structs.replace(one, sequence=one.sequence + 1)
    assert desk.send_all([one, two])[1].reason == R.ALREADY_ACCRUED


def test_another_rulebook_than_the_configured_one_decides_nothing() -> None:
    desk = open_house()
    desk.house.rules = Rules(venue.plenty, "poor")
    assert trade(desk).reason == R.CONFIGURATION_DIFFERS
    assert desk.configure(Section.RULEBOOK, RulebookTerms(name="test", digest="rich")).reason == R.CONFIGURATION_DIFFERS
    desk.configure(Section.RULEBOOK, RulebookTerms(name="test", digest="poor"))
    assert isinstance(trade(desk), Posted)


def test_evolve_leaves_its_state_as_it_was_and_agrees_with_the_fold() -> None:
    desk = open_house(staging(Stage.WARNED, "case 1"))
    trade(desk)
    desk.send(c.Deposit, owner="alice", asset="USDC", amount=13)
    desk.send(c.Accrue, index="BTC-PERP", rate="0.0001", mark=600_000)
    desk.send(c.Prices, quotes={"a": {"BTC": c.Quote(price=5)}})
    state = State()
    for batch in desk.house.journal.batches():
        for record in records_of(batch, batch.previous, batch.first):
            before = to_bytes(state)
            after = evolve(state, record)
            assert to_bytes(state) == before
            state = after
    assert to_bytes(state) == to_bytes(desk.house.state) == to_bytes(replay(desk.house.journal).state)


def test_decide_changes_nothing() -> None:
    desk = open_house(staging(Stage.LIQUIDATING, "case 1"))
    before = to_bytes(desk.house.state)
    command = c.Deposit(**desk.named(), owner="alice", asset="USDC", amount=13)
    assert decide(desk.house.state, command, desk.house.rules) == decide(desk.house.state, command, desk.house.rules)
    assert to_bytes(desk.house.state) == before


def test_a_house_whose_journal_fails_stops() -> None:
    class Full(MemoryJournal):
        def append(self, _: object, /) -> None:
            raise OSError("no space left on device")

    house = House(Full(), venue.RICH)
    with pytest.raises(OSError, match="no space"):
        house.handle(c.Tick(source="a", sequence=1, as_of=venue.START))
    with pytest.raises(StoppedError):
        house.handle(c.Tick(source="a", sequence=1, as_of=venue.START))
