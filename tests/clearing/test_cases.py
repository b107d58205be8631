"""Published cases that are procedures, run through the state machine: posed as a house, sent commands, read off it."""

from __future__ import annotations

import json
from datetime import timedelta
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from crossmargin import load_rulebook
from crossmargin.analysis.conformance import derive_auction, derive_pm1, mango, mango_procedure
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.linear_market import perpetual
from crossmargin.analysis.conformance.linear_market import snapshot_of as market_with
from crossmargin.analysis.conformance.quote_positions import amount, asset_name
from crossmargin.clearing import Outside
from crossmargin.clearing import commands as c
from crossmargin.clearing.bridge import snapshot_of
from crossmargin.clearing.events import Asked, Posted
from crossmargin.clearing.ledger import FUND, HELD, WALLET, Row
from crossmargin.clearing.procedure.remembered import recall
from crossmargin.clearing.procedure.view import Setting, view_of
from crossmargin.errors import Failure
from crossmargin.margin import with_values
from tests.clearing.posed import DIGITS, Posed, units

CASES = Path(__file__).parents[3] / "shared" / "cases"


def cases_of(file: str, kinds: set[str]) -> list[Any]:
    path = CASES / f"{file}.json"
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{path} is not at hand: no published case is run"))]
    document = json.loads(path.read_text())
    found = [(i, case) for i, case in enumerate(document["cases"]) if case.get("kind") in kinds]
    return [pytest.param((file, i), id=f"{file}-{case.get('name') or case.get('id') or i}") for i, case in found]


@cache
def document_of(file: str) -> Fields:
    return Fields(json.loads((CASES / f"{file}.json").read_text()), file)


# --- Mango: instructions of a liquidator, whose limits are inputs of the document


def mango_house(case: Fields) -> Posed:
    """The account of a case, and a liquidator without an end of money who takes what is offered."""
    rulebook, market = mango.market_of(case, load_rulebook, mango_procedure._more(case))
    lots = {f"perpetual {i}": _digits(amount(one, "base_lot_size", 1.0)) for i, one in enumerate(case.objects("perps"))}
    limits = mango_procedure._limits(case)
    posed = Posed(
        rulebook, market, Outside(taker="liquidator", inputs=limits), ("liqee", "liquidator"), quantity_digits=lots
    )
    posed.quote()
    rows: list[Row] = []
    for token in case.needed("tokens"):
        asset = asset_name(token)
        rows.append(("liqee", WALLET, asset, units(amount(case.needed("tokens").needed(token), "balance", 0.0))))
        rows.append(("liquidator", WALLET, asset, 10 ** (DIGITS + 9)))
    for number, stated in enumerate(case.objects("perps")):
        symbol, asset = f"perpetual {number}", asset_name(stated.text("settle_token"))
        base = Fraction(repr(amount(stated, "base_lots", 0.0))) * Fraction(repr(amount(stated, "base_lot_size", 1.0)))
        rows.append(("liqee", HELD, symbol, units(base, lots[symbol])))
        rows.append(("liqee", f"basis:{symbol}", asset, units(amount(stated, "quote", 0.0))))
    posed.open(rows, in_case="liqee")  # the instructions go on with what has begun
    return posed


def _digits(lot: float) -> int:
    digits = next((d for d in range(19) if abs(lot - 10.0**-d) < 1e-12), None)
    if digits is None:
        pytest.skip(f"a lot of {lot} is no power of ten: the ledger has none such")
    return digits


def instruction(posed: Posed) -> Any:  # noqa: ANN401 - a state
    """The state after one round, as one call of an instruction leaves it."""
    posed.quote()
    over = next((r.number for r in posed.records if isinstance(r.event, Asked) and r.event.what == "wait"), None)
    return posed.state if over is None else posed.until(over)


@pytest.mark.parametrize(
    "at", cases_of("mango_v4_health_liquidation", {"liq_token_with_token", "liq_perp_base_or_positive_pnl"})
)
def test_mango(at: tuple[str, int]) -> None:
    document = document_of(at[0])
    case = document.objects("cases")[at[1]]
    expected, tolerance = case.needed("expected"), amount(case, "tolerance", 0.01)
    posed = mango_house(case)
    state = instruction(posed)
    liqee = state.balances.get("liqee", {})
    lots = posed.state.configuration.terms
    read = {
        "liqee_asset_after": lambda: liqee.get((WALLET, "A"), 0) / 10**DIGITS,
        "liqee_liab_after": lambda: liqee.get((WALLET, "L"), 0) / 10**DIGITS,
        "settle_token_after": lambda: liqee.get((WALLET, "S"), 0) / 10**DIGITS,
        "base_after": lambda: liqee.get((HELD, "perpetual 0"), 0) / 10 ** lots["perpetual 0"].contract.quantity_digits,
        "quote_after": lambda: liqee.get(("basis:perpetual 0", "S"), 0) / 10**DIGITS,
    }
    for key in expected:
        if key in read:
            assert read[key]() == pytest.approx(expected.number(key), abs=tolerance), key
        elif key == "success":
            told = [r.event for r in posed.records if r.number <= state.number]
            acted = any(isinstance(event, Asked) and event.what == "token" for event in told)
            assert acted == expected.flag(key)
        else:
            pytest.fail(f"nothing reads {key}")


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


@pytest.mark.parametrize("at", cases_of("derive_dutch_auction", {"liquidation_simulation"}))
def test_derive_auctions(at: tuple[str, int]) -> None:
    document = document_of(at[0])
    case = document.objects("cases")[at[1]]
    auction = Auction(document, case)
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
        for key in stated:
            if key in found:
                assert found[key] == pytest.approx(stated.number(key), rel=1e-9, abs=1e-9), key


# --- Vega: what the network disposes of, and whose gains pay


def vega_house(changes: dict[str, Any], mark: float, outside: Outside, owners: tuple[str, ...]) -> Posed:
    """A market of whole contracts and whole units of money."""
    rulebook = with_values(load_rulebook("vega"), changes, source="a case") if changes else load_rulebook("vega")
    market = market_with([perpetual("BTC", mark, "USDC")], "USDC", {"USDC": 1.0})
    posed = Posed(rulebook, market, outside, owners, quantity_digits={"BTC-USDC": 0}, digits=0)
    posed.quote()
    return posed


@pytest.mark.parametrize("at", cases_of("vega_margin_settlement", {"network_position_disposal"}))
def test_vega_disposal(at: tuple[str, int]) -> None:
    case = document_of(at[0]).objects("cases")[at[1]]
    stated, expected = case.needed("input"), case.needed("expected")
    keys = {
        "fraction": "disposal_fraction",
        "full_quantity": "full_disposal_size",
        "most_consumed": "max_fraction_consumed",
    }
    changes = {f"liquidation.parameters.{ours}": stated.number(key) for ours, key in keys.items()}
    depth = {"BTC-USDC": Fraction(int(stated.number("available_volume_each_step")))}
    posed = vega_house(changes, stated.number("fill_price"), Outside(taker="book", depth=depth), ())
    held = int(stated.number("network_position"))
    entry = int(stated.number("entry_price"))
    posed.open([("network", HELD, "BTC-USDC", held), ("network", "basis:BTC-USDC", "USDC", -held * entry)])
    posed.quote()
    for _ in range(len(expected.numbers("sizes")) + 2):
        posed.desk.as_of += timedelta(seconds=9)
        posed.send(c.Tick)
    closed = [r for r in posed.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: dispose"]
    postings = [r.event for r in closed if isinstance(r.event, Posted)]
    sizes = [-row[3] for event in postings for row in event.rows if row[:2] == ("network", HELD)]
    assert sizes == expected.numbers("sizes")
    wallets = [posed.until(r.number).balances["network"][WALLET, "USDC"] for r in closed]
    assert wallets[: len(expected.numbers("realised_pnl"))] == expected.numbers("realised_pnl")
    times = [r.as_of for r in closed]
    assert all((after - before).total_seconds() == 10 for before, after in pairwise(times))


@pytest.mark.parametrize("at", cases_of("vega_margin_settlement", {"loss_socialisation"}))
def test_vega_losses(at: tuple[str, int]) -> None:
    case = document_of(at[0]).objects("cases")[at[1]]
    stated, expected = case.needed("input"), case.needed("expected")
    parties = stated.items("parties")
    old = int(stated.number("old_mark"))
    posed = vega_house({}, old, Outside(taker="book"), tuple(name for name, _, _ in parties))
    rows: list[Row] = [(FUND, WALLET, "USDC", int(stated.number("insurance_pool")))]
    for name, contracts, balance in parties:
        rows.append((name, WALLET, "USDC", 10**9 if balance is None else int(balance)))
        rows += [(name, HELD, "BTC-USDC", contracts), (name, "basis:BTC-USDC", "USDC", -contracts * old)]
    posed.open(rows)
    posed.quote(market_with([perpetual("BTC", stated.number("new_mark"), "USDC")], "USDC", {"USDC": 1.0}))
    for _ in range(40):
        posed.desk.as_of += timedelta(seconds=9)
        posed.send(c.Tick)
    assert not posed.state.cases
    cuts = expected.needed("haircut")
    lost = {
        row[0]: -row[3]
        for r in posed.records
        if isinstance(r.event, Posted) and r.event.cause == "waterfall: gains"
        for row in r.event.rows
        if row[3] < 0
    }
    assert {party: lost.get(party, 0) for party in cuts} == {party: cuts.number(party) for party in cuts}
    assert posed.state.balances.get(FUND, {}).get((WALLET, "USDC"), 0) == expected.number("insurance_pool_after", 0.0)


# --- Aave: a repayment brings the health factor to the target


@pytest.mark.parametrize("at", cases_of("aave_health_liquidation", {"v4_close_property"}))
def test_aave_close(at: tuple[str, int]) -> None:
    case = document_of(at[0]).objects("cases")[at[1]]
    stated, expected = case.needed("input"), case.needed("expected")
    held, debts = (list(stated.objects(key)) for key in ("collaterals", "debts"))
    seized = held[int(stated.number("seize_index"))]
    changes: dict[str, Any] = {
        "charges.haircuts.collateral_factor": {
            "by": "asset",
            "default": 0,
            **{one.text("asset"): float(one.text("collateral_factor")) for one in held},
        },
        "liquidation.parameters.target": float(stated.text("target_hf")),
        "liquidation.parameters.most_bonus": {"by": "asset", "default": float(seized.text("bonus"))},
        "liquidation.parameters.bonus_factor": 1.0,
        "liquidation.parameters.liquidation_fee": 0.0,
        "liquidation.parameters.dust": 0.0,
    }
    rulebook = with_values(load_rulebook("aave-v4"), changes, source="a case")
    prices = {one.text("asset"): float(one.text("price")) for one in held + debts}
    posed = Posed(rulebook, market_with([], "USD", prices), Outside(taker="liquidator"), ("user", "liquidator"))
    posed.quote()
    held.sort(key=lambda one: one is not seized)  # the document seizes in listed order
    listed = [(one, 1) for one in held] + [(one, -1) for one in debts]
    rows: list[Row] = [
        ("user", WALLET, one.text("asset"), sign * units(float(one.text("amount")))) for one, sign in listed
    ]
    rows += [("liquidator", WALLET, one.text("asset"), 10 ** (DIGITS + 9)) for one in debts]
    posed.open(rows)
    posed.quote()
    report = posed.rules.assess(posed.state, {"user": posed.state.balances["user"]})["user"]
    assert not isinstance(report, Failure)
    (figures,) = report
    tolerance = case.number("tolerance", 0.0)
    assert figures.coverage_ratio == pytest.approx(expected.number("hf_after"), abs=max(tolerance, 1e-9))
    repaid = [r.event for r in posed.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: repay"]
    assert len(repaid) >= 1
