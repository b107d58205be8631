"""Derive's published auctions, run through the state machine: single bids, and whole auctions at each bid's feeds."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from crossmargin import Account, Position, load_rulebook
from crossmargin.account import Book
from crossmargin.analysis.conformance import derive_auction, derive_pm1
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.linear_market import perpetual
from crossmargin.analysis.conformance.linear_market import snapshot_of as market_with
from crossmargin.clearing import Outside
from crossmargin.clearing import commands as c
from crossmargin.clearing.bridge import snapshot_of
from crossmargin.clearing.events import Asked, Posted
from crossmargin.clearing.ledger import FUND, HELD, WALLET, Row
from crossmargin.clearing.procedure.remembered import recall
from crossmargin.clearing.procedure.view import Setting, View, view_of
from crossmargin.margin import Rulebook, assess_book, with_values
from tests.clearing.posed import DIGITS, Posed, units
from tests.clearing.published import case_at, cases_of, document_of

FILE = "derive_dutch_auction"
ETH = "ETH-USDC"
PRICE = 1_000.0


def scope_view(posed: Posed) -> View:
    state = posed.state
    return view_of(Setting(state, snapshot_of(state), posed.rulebook, posed.outside), "account", "")


# --- single bids: the case states net margin and mark value; a perpetual and cash make an account of just those


def market_at(price: float) -> Any:  # noqa: ANN401 - a snapshot
    return market_with([perpetual("ETH", price, "USDC")], "USD", {"USDC": 1.0, "ETH": price})


def needed_by_one(rulebook: Rulebook) -> Fraction:
    """Return the maintenance of one contract, as the engine says it; it is the same for each."""
    position = Position(instrument=ETH, quantity=Decimal(1), entry_price=Decimal(str(PRICE)))
    book = Book.from_accounts([Account(id="one", positions=(position,))])
    (needed,) = assess_book(book, market_at(PRICE), rulebook).unit_maintenance.tolist()
    return Fraction(needed)


class Single:
    """A house that auctions an account of a stated net margin and mark value."""

    def __init__(self, given: Fields) -> None:
        changes = derive_auction._own(given.needed("params"))
        rulebook = with_values(load_rulebook(derive_pm1.RULEBOOK), changes, source="a case")
        value, net = (Fraction(repr(given.number(key, other))) for key, other in (("mtm", 1000.0), ("mm", -100.0)))
        self.value, self.given = value, given
        contracts = (value - net) / needed_by_one(rulebook)
        self.posed = Posed(rulebook, market_at(PRICE), Outside(), ("account", "bidder"))
        self.posed.quote()
        self.posed.open(
            [
                ("account", WALLET, "USDC", units(value)),
                ("account", HELD, ETH, units(contracts)),
                ("account", f"basis:{ETH}", "USDC", -units(contracts * Fraction(PRICE))),
                ("bidder", WALLET, "USDC", 10 ** (DIGITS + 9)),
                (FUND, WALLET, "USDC", 10 ** (DIGITS + 6)),
            ]
        )
        declared = given.text("kind") == "insolvent" and value > 0
        self.posed.quote(market_at(PRICE * 0.9 if declared else PRICE))
        if declared:  # it was worth nothing as it began; feeds have moved since, in the same second
            self.posed.desk.as_of -= timedelta(seconds=1)
            self.posed.quote(market_at(PRICE))
        ((self.name, _),) = self.posed.state.cases.items()
        if given.number("reserved_cash", 0.0):
            self._reserve(given.number("reserved_cash"))

    def _reserve(self, cash: float) -> None:
        """Let an earlier bid have paid in cash, which is in the account: a record written into the journal by hand."""
        kept = self.posed.state.cases[self.name]
        number = sum(key.startswith("done ") for key in kept.memory)
        done = json.dumps([repr(0.0), "auction", "", "share", "0.1", str(Fraction(repr(cash)))])
        self.posed._write([Asked(self.name, kept.step, "auction", {}, {f"done {number}": done})], 3)

    def line(self, name: str) -> float:
        """Return a line of the document at the moment of the bid, with the case's own memory."""
        case = recall(self.posed.state.cases[self.name].memory, self.given.number("t")).case
        return float(scope_view(self.posed).scope(case).named(name))

    def bid(self, share: float) -> tuple[Asked, list[Row]]:
        """Bid so many seconds after the auction was opened, and return what was told and posted."""
        self.posed.desk.as_of += timedelta(seconds=self.given.number("t") - 1)
        step = self.posed.state.cases[self.name].step
        found = self.posed.send(c.Bid, case=self.name, bidder="bidder", share=repr(share), limit="1e12", step=step)
        told = next(event for event in found if isinstance(event, Asked) and "auction" in event.what)
        rows = [row for event in found if isinstance(event, Posted) for row in event.rows]
        return told, rows


@pytest.mark.parametrize("at", cases_of(FILE, {"solvent", "insolvent"}))
def test_bids(at: tuple[str, int]) -> None:
    """How much a bid takes, at which price, and what the bidder pays or is paid."""
    case = case_at(at)
    given, expected = case.needed("input"), case.needed("expected")
    single = Single(given)
    told, rows = single.bid(given.number("bid_fraction", 1.0))
    assert told.what == ("auction" if given.text("kind") == "solvent" else "insolvent auction")
    share, price = Fraction(told.limits["amount"]), Fraction(told.limits["price"])
    cash = float(share * price)
    read = {
        "bid_price": float(price),
        "max_proportion_trunc3": int(share * 10**3) / 10**3,
        "max_proportion_trunc4": int(share * 10**4) / 10**4,
        "final_fraction": float(share),
        "cash_from_bidder": cash,
        "cash_from_bidder_trunc": int(cash),
        "cash_to_bidder": -cash,
    }
    for key in expected:
        assert read[key] == pytest.approx(expected.number(key), rel=1e-12, abs=1e-12), key
    moved = {owner: sum(row[3] for row in rows if row[:3] == (owner, WALLET, "USDC")) for owner in ("bidder", FUND)}
    kept = Fraction(repr(given.number("reserved_cash", 0.0)))  # of earlier bidders: no later one buys it
    bought = float(share * (single.value - kept))
    assert moved["bidder"] / 10**DIGITS == pytest.approx(bought - cash, rel=1e-9, abs=1e-9)
    assert moved[FUND] / 10**DIGITS == pytest.approx(min(cash, 0.0), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("at", cases_of(FILE, {"curve"}))
def test_curve(at: tuple[str, int]) -> None:
    """What a bid pays falls with the time; when the discount has come to nothing the auction is declared insolvent."""
    case = case_at(at)
    given = case.needed("input")
    single, expected = Single(given), case.needed("expected").number("discount")
    assert single.line("discount") == pytest.approx(expected, rel=1e-12, abs=1e-12)
    told, _ = single.bid(0.01)
    assert told.what == ("auction" if expected else "insolvent auction")
    if expected:
        assert float(Fraction(told.limits["price"]) / single.value) == pytest.approx(expected, rel=1e-12)


def test_an_insolvent_auction_stays_so() -> None:
    """Once the discount has come to nothing the auction is another, whose own time begins, and it stays that."""
    at = next(one.values[0] for one in cases_of(FILE, {"curve"}))
    if at is None:
        pytest.skip("no published case is at hand")
    single = Single(case_at(at).needed("input"))
    lengths = case_at(at).needed("input").needed("params")
    single.posed.desk.as_of += timedelta(seconds=lengths.number("fast_len") + lengths.number("slow_len"))
    offered = []
    for _ in range(5):
        events = single.posed.send(c.Tick)
        offered += [event.limits["step"] for event in events if isinstance(event, Asked) and event.what == "auction"]
    assert offered == ["insolvent auction"]


# --- Derive: whole auctions, each bid at the feeds of its moment


class Auction:
    """A house that auctions the account of a case; the bidder has no end of money."""

    def __init__(self, document: Fields, case: Fields) -> None:
        changes = {
            **derive_pm1.changes_of(document.needed("pmrm1_parameters")),
            **derive_auction._own(case.needed("auction_params")),
        }
        rulebook = with_values(load_rulebook(derive_pm1.RULEBOOK), changes, source=case.at("auction_params"))
        self.case, self.auction = case, derive_auction._Auction(case, rulebook)
        portfolio = case.needed("initial_portfolio")
        self.amounts = tuple(option.number("amount") for option in portfolio.objects("options"))
        self.cash, self.start = portfolio.number("cash"), case.number("start_time")
        market = self.market(self.start, case.needed("initial_feeds"))
        self.symbols = list(market.listings)
        self.posed = Posed(rulebook, market, Outside(), ("account", "bidder"))
        self.posed.quote()
        rows: list[Row] = [
            ("account", WALLET, "USDC", units(self.cash)),
            ("bidder", WALLET, "USDC", 10 ** (DIGITS + 12)),
        ]
        for symbol, amount_ in zip(self.symbols, self.amounts, strict=True):
            rows.append(("account", HELD, symbol, units(amount_)))
        self.posed.open(rows)

    def market(self, time: float, feeds: Fields) -> Any:  # noqa: ANN401 - a snapshot
        held = derive_auction._Held(self.cash, self.amounts)
        return self.auction.engine(held, time, feeds).market(0.0)

    def quote(self, time: float, feeds: Fields) -> list[Any]:
        """Send the feeds of a moment, under the names that the contracts have."""
        market = self.market(time, feeds)
        renamed = dict(zip(self.symbols, market.listings.values(), strict=True))
        self.posed.desk.as_of = AS_OF + timedelta(seconds=time - self.start) - timedelta(seconds=1)
        return self.posed.quote(
            type(market)(
                **{**_fields(market), "listings": renamed},
            )
        )

    def stands(self, prefix: str) -> dict[str, float]:
        """The account's figures now, as the document calls them."""
        state = self.posed.state
        view = view_of(Setting(state, snapshot_of(state), self.posed.rulebook, self.posed.outside), "account", "")
        (kept,) = state.cases.values() or [None]
        assert state.as_of is not None
        case = None if kept is None else recall(kept.memory, (state.as_of - kept.started).total_seconds()).case
        lines = derive_auction._STANDS.items()
        return {f"{prefix}_{key}": float(view.scope(case).named(line)) for key, line in lines}


def _fields(struct: Any) -> dict[str, Any]:  # noqa: ANN401 - a msgspec struct
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize("at", cases_of(FILE, {"liquidation_simulation"}))
def test_auctions(at: tuple[str, int]) -> None:
    case = case_at(at)
    auction = Auction(document_of(at[0]), case)
    auction.quote(auction.start, case.needed("initial_feeds"))
    fee = auction.posed.state.balances["fund"][WALLET, "USDC"] / 10**DIGITS
    assert fee == pytest.approx(case.number("expected_liquidation_fee"), rel=1e-9)
    for action in case.objects("actions"):
        auction.quote(action.number("time"), action.needed("feeds"))
        found = auction.stands("pre")
        ((name, kept),) = auction.posed.state.cases.items()
        share = repr(action.number("bid_fraction_wanted"))
        auction.posed.desk.as_of -= timedelta(seconds=1)
        events = auction.posed.send(c.Bid, case=name, bidder="bidder", share=share, limit="1e12", step=kept.step)
        told = next(event for event in events if isinstance(event, Asked) and event.what == "auction")
        found["final_fraction_of_current"] = float(Fraction(told.limits["amount"]))
        found["bid_cash"] = float(Fraction(told.limits["amount"]) * Fraction(told.limits["price"]))
        if auction.posed.state.cases:
            found |= auction.stands("post")
        stated = action.needed("expected")
        unread = set(stated) - found.keys()
        assert unread <= (set() if auction.posed.state.cases else {key for key in stated if key.startswith("post_")})
        for key in set(stated) - unread:
            assert found[key] == pytest.approx(stated.number(key), rel=1e-9, abs=1e-9), key
