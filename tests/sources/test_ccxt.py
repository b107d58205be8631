import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.account import MarginMode, PositionSide
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, Instrument, InstrumentKind, OptionType, check_terms
from crossmargin.market import Listing
from crossmargin.sources import (
    account_from_ccxt,
    balances_from_ccxt,
    instruments_from_ccxt,
    listings_from_ccxt,
    load_accounts,
    load_snapshot,
    position_from_ccxt,
)
from crossmargin.sources.ccxt_accounts import decode_ccxt_account
from crossmargin.sources.ccxt_markets import decode_ccxt_snapshot
from crossmargin.sources.ccxt_shapes import parse_symbol

CALL = "BTC/USD:BTC-260626-70000-C"
PERPETUAL = "BTC/USD:BTC"

# Shaped like what ccxt 4.5 made of Deribit's documented responses.
DERIBIT_PERPETUAL = {
    "info": {"instrument_name": "BTC-PERPETUAL", "direction": "sell", "size": -50000, "size_currency": -0.83},
    "symbol": PERPETUAL,
    "contracts": -50000.0,
    "contractSize": 10,
    "side": "short",
    "notional": 0.83,
    "entryPrice": 60100.5,
    "marginMode": None,
    "liquidationPrice": None,
    "maintenanceMargin": 0.009,
    "hedged": None,
}
DERIBIT_OPTION = {
    "info": {"instrument_name": "BTC-26JUN26-70000-C", "direction": "buy"},
    "symbol": CALL,
    "contracts": 2.5,
    "side": "long",
    "entryPrice": 0.051,
}
OKX_SWAP = {
    "info": {"instId": "BTC-USDT-SWAP", "posSide": "net"},
    "symbol": "BTC/USDT:USDT",
    "contracts": "150",
    "contractSize": "0.01",
    "side": "long",
    "entryPrice": "60000.1",
    "marginMode": "cross",
    "notional": "90000.15",
}
DERIBIT_MARKETS = [
    {
        "symbol": PERPETUAL,
        "type": "swap",
        "base": "BTC",
        "quote": "USD",
        "settle": "BTC",
        "inverse": True,
        "linear": False,
        "contractSize": 10.0,
    },
    {
        "symbol": CALL,
        "type": "option",
        "base": "BTC",
        "quote": "USD",
        "settle": "BTC",
        "inverse": True,
        "contractSize": 1.0,
        "expiry": 1782460800000,
        "strike": 70000.0,
        "optionType": "call",
    },
    {"symbol": "BTC-COMBO", "type": "option_combo", "base": "BTC", "quote": "USD"},
    {"symbol": "BTC/USDC", "type": "spot", "base": "BTC", "quote": "USDC", "contractSize": None},
]
CHAIN = {
    CALL: {
        "info": {
            "instrument_name": "BTC-26JUN26-70000-C",
            "mark_iv": 52.3,
            "underlying_price": 61500.0,
            "estimated_delivery_price": 60200.0,
            "mark_price": 0.0921,
        },
        "symbol": CALL,
        "timestamp": 1770278400000,
        "impliedVolatility": None,
        "openInterest": 120.5,
        "bidPrice": 0.09,
        "askPrice": None,
        "markPrice": 0.0921,
        "underlyingPrice": 61500.0,
    }
}


def test_deribit_contracts_are_dollars_and_signed() -> None:
    position = position_from_ccxt(DERIBIT_PERPETUAL)
    assert position.quantity == Decimal(-5000)  # of 10 dollars each
    spec = Instrument(
        symbol="BTC-PERPETUAL",
        kind=InstrumentKind.PERPETUAL,
        underlying="BTC",
        quote_asset="USD",
        settlement_asset="BTC",
        contract=ContractKind.INVERSE,
        multiplier=1.0,
    )
    native = position_from_ccxt(DERIBIT_PERPETUAL, instruments={spec.symbol: spec})
    assert (native.instrument, native.quantity) == ("BTC-PERPETUAL", Decimal(-50000))


def test_a_deribit_amount_without_contract_size_is_refused() -> None:
    bare = {key: value for key, value in DERIBIT_PERPETUAL.items() if key != "contractSize"}
    with pytest.raises(InputError, match="add `markets`"):
        position_from_ccxt(bare)
    assert position_from_ccxt(DERIBIT_OPTION).quantity == Decimal("2.5")


def test_okx_contracts_count_contracts() -> None:
    position = position_from_ccxt(OKX_SWAP)
    assert (position.quantity, position.entry_price) == (Decimal(150), Decimal("60000.1"))
    whole = Instrument(
        symbol="BTC/USDT:USDT",
        kind=InstrumentKind.PERPETUAL,
        underlying="BTC",
        quote_asset="USDT",
        settlement_asset="USDT",
    )
    assert position_from_ccxt(OKX_SWAP, instruments={whole.symbol: whole}).quantity == Decimal("1.5")


def test_unsigned_contracts_take_their_side() -> None:
    assert position_from_ccxt({**OKX_SWAP, "side": "short"}).quantity == Decimal(-150)
    assert position_from_ccxt({"symbol": "BTC/USDT:USDT", "contracts": 3}).quantity == Decimal(3)


def test_both_sides_of_one_contract_keep_their_side() -> None:
    account = account_from_ccxt("a", balance={}, positions=[OKX_SWAP, {**OKX_SWAP, "side": "short"}])
    assert [position.side for position in account.positions] == [PositionSide.LONG, PositionSide.SHORT]


def test_closed_positions_are_left_out_and_unknown_ones_refused() -> None:
    assert account_from_ccxt("a", balance={}, positions=[{**OKX_SWAP, "contracts": 0.0}]).positions == ()
    with pytest.raises(InputError) as caught:
        account_from_ccxt("a", balance={}, positions=[{**OKX_SWAP, "contracts": None}])
    assert caught.value.reason is FailureReason.INVALID_QUANTITY


def test_reported_figures_stay_apart() -> None:
    account = account_from_ccxt("a", balance={}, positions=[DERIBIT_PERPETUAL], exchange="deribit")
    assert account.reported == {
        "source": "ccxt",
        "exchange": "deribit",
        "positions": [
            {"instrument": PERPETUAL, "side": "short", "notional": 0.83, "maintenance_margin": 0.009},
        ],
    }


def test_reported_figures_name_the_instrument_as_the_position_does() -> None:
    native = {**DERIBIT_PERPETUAL, "info": {"instrument_name": "BTC-PERPETUAL", "direction": "sell"}}
    known = instruments_from_ccxt(DERIBIT_MARKETS)
    listings = {"BTC-PERPETUAL": msgspec.structs.replace(known[PERPETUAL], symbol="BTC-PERPETUAL")}
    account = account_from_ccxt("a", balance={}, positions=[native], exchange="deribit", instruments=listings)
    assert account.reported is not None
    assert account.reported["positions"][0]["instrument"] == account.positions[0].instrument == "BTC-PERPETUAL"


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        ({"BTC": {"free": 1, "used": 2, "total": 3.5}}, {"BTC": "3.5"}),
        ({"BTC": {"free": "1.1", "used": "2"}}, {"BTC": "3.1"}),
        ({"ETH": {"total": "1", "debt": "3"}}, {"ETH": "-2"}),
        ({"ETH": {"total": "-2", "debt": "2"}}, {"ETH": "-2"}),
        ({"ETH": {"total": 0}, "timestamp": None, "datetime": None}, {}),
        ({"total": {"SOL": 4}, "free": {"SOL": 1}}, {"SOL": "4"}),
        (
            {"BTC": {"total": 5}, "info": {"result": {"summaries": [{"currency": "BTC", "balance": 4, "equity": 5}]}}},
            {"BTC": "4"},
        ),
        (
            {"USDT": {"total": 9}, "info": {"data": [{"details": [{"ccy": "USDT", "cashBal": "8.5", "eq": "9"}]}]}},
            {"USDT": "8.5"},
        ),
        ({"USDT": {"total": 9}, "info": {"assets": [{"asset": "USDT", "walletBalance": "7"}]}}, {"USDT": "7"}),
        (
            {
                "USDT": {"total": 9},
                "info": [{"coin": "USDT", "walletBalance": 1}, {"coin": "USDT", "walletBalance": 2}],
            },
            {"USDT": "9"},
        ),
    ],
)
def test_balances_are_signed_wallets(balance: dict[str, Any], expected: dict[str, str]) -> None:
    assert balances_from_ccxt(balance) == {asset: Decimal(amount) for asset, amount in expected.items()}


def test_an_account_value_loses_its_unrealised_part() -> None:
    position = {"symbol": "ETH/USDC:USDC", "contracts": 2, "side": "long", "unrealizedPnl": "-25"}
    balance = {"USDC": {"total": 100}, "info": {"marginSummary": {"accountValue": "100"}}}
    account = account_from_ccxt("a", balance=balance, positions=[position])
    assert account.balances == {"USDC": Decimal(125)}


def test_isolated_collateral_leaves_the_wallet() -> None:
    position = {**OKX_SWAP, "marginMode": "isolated", "collateral": "900", "unrealizedPnl": "-100"}
    account = account_from_ccxt("a", balance={"USDT": {"total": "5000"}}, positions=[position])
    assert account.positions[0].isolated_collateral == {"USDT": Decimal(1000)}
    assert account.positions[0].margin_mode is MarginMode.ISOLATED
    assert account.balances == {"USDT": Decimal(4000)}


def test_a_chain_without_vols_reads_them_from_the_raw_percents() -> None:
    (listing,) = listings_from_ccxt({"option_chain": CHAIN}).values()
    assert listing == Listing(
        symbol=CALL,
        kind=InstrumentKind.OPTION,
        underlying="BTC",
        quote_asset="USD",
        settlement_asset="BTC",
        contract=ContractKind.INVERSE,
        expiry=datetime(2026, 6, 26, 8, tzinfo=UTC),
        strike=70000.0,
        option_type=OptionType.CALL,
        mark_price=0.0921,
        index_price=60200.0,
        forward_price=61500.0,
        mark_iv=0.523,
        bid=0.09,
        open_interest=120.5,
        observed_at=datetime(2026, 2, 5, 8, tzinfo=UTC),
    )


def test_the_symbol_agrees_with_the_market() -> None:
    by_market = listings_from_ccxt({"markets": DERIBIT_MARKETS, "option_chain": CHAIN})
    assert by_market[CALL] == listings_from_ccxt({"option_chain": CHAIN})[CALL]
    assert set(by_market) == {PERPETUAL, CALL, "BTC/USDC"}
    assert by_market[PERPETUAL].multiplier == 10.0
    for listing in by_market.values():
        check_terms(listing)


def test_greeks_vols_are_percents_on_deribit_only() -> None:
    greeks = {"symbol": CALL, "markImpliedVolatility": 52.3, "info": {}}
    assert listings_from_ccxt({"greeks": greeks}, exchange="deribit")[CALL].mark_iv == pytest.approx(0.523)
    okx = {**greeks, "markImpliedVolatility": 0.523, "info": {"markVol": "0.523"}}
    parts = {"markets": DERIBIT_MARKETS, "greeks": [okx]}
    assert listings_from_ccxt(parts, exchange="okx")[CALL].mark_iv == pytest.approx(0.523)


def test_a_quote_whose_contract_size_nothing_states_is_refused() -> None:
    with pytest.raises(InputError, match="fetch_markets") as caught:
        listings_from_ccxt({"tickers": {"X": {"symbol": "BTC/USDT:USDT", "markPrice": 1}}})
    assert caught.value.instrument == "BTC/USDT:USDT"


@pytest.mark.parametrize(
    ("symbol", "kind", "contract"),
    [
        ("BTC/USDC", InstrumentKind.SPOT, ContractKind.LINEAR),
        ("BTC/USD:BTC", InstrumentKind.PERPETUAL, ContractKind.INVERSE),
        ("BTC/USD:USDC", InstrumentKind.PERPETUAL, ContractKind.LINEAR),
        ("ETH/USD:BTC-260327", InstrumentKind.FUTURE, ContractKind.QUANTO),
        ("ETH/USDT:USDT-260327-0.5-P", InstrumentKind.OPTION, ContractKind.LINEAR),
    ],
)
def test_symbols(symbol: str, kind: InstrumentKind, contract: ContractKind) -> None:
    terms = parse_symbol(symbol)
    assert (terms.kind, terms.contract) == (kind, contract)


@pytest.mark.parametrize("symbol", ["", "BTC", "BTC-PERPETUAL", "BTC/USD:BTC-269999-1-C", "BTC/USD:BTC-260626-70000-X"])
def test_what_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(InputError):
        parse_symbol(symbol)


def test_files_of_ccxt_are_recognised(tmp_path: Path) -> None:
    account = tmp_path / "desk.json"
    account.write_text(
        json.dumps({"exchange": "deribit", "balance": {"BTC": {"total": 2}}, "positions": [DERIBIT_OPTION]})
    )
    (read,) = load_accounts(account).require()
    assert (read.id, read.balances) == ("desk", {"BTC": Decimal(2)})
    assert read.positions[0].instrument == CALL

    market = tmp_path / "market.json"
    market.write_text(json.dumps({"markets": DERIBIT_MARKETS, "option_chain": CHAIN, "assets": {"USDC": "0.999"}}))
    snapshot = load_snapshot(market)
    assert snapshot.as_of == datetime(2026, 2, 5, 8, tzinfo=UTC)
    assert {asset: quote.price for asset, quote in snapshot.assets.items()} == {
        "USD": 1.0,
        "BTC": 60200.0,
        "USDC": 0.999,
    }


def test_a_bad_ccxt_account_is_a_failure(tmp_path: Path) -> None:
    place = tmp_path / "desk.json"
    place.write_text(json.dumps({"id": "a", "balance": {}, "positions": [{**OKX_SWAP, "contracts": "abc"}]}))
    (failure,) = load_accounts(place).failures
    assert (failure.account, failure.reason) == ("a", FailureReason.MALFORMED_INPUT)
    assert "found 'abc'" in failure.message


numbers = st.one_of(st.none(), st.text(max_size=3), st.floats(), st.integers(), st.lists(st.none(), max_size=1))
shape_keys = st.sampled_from(
    ["symbol", "contracts", "contractSize", "side", "info", "total", "marginMode", "collateral", "timestamp", "type"]
)
shapes = st.dictionaries(shape_keys, st.one_of(numbers, st.just(CALL), st.just("isolated")), max_size=6)


@given(
    shapes, shapes, st.dictionaries(st.sampled_from(["BTC", "info", "total"]), st.one_of(shapes, numbers), max_size=3)
)
def test_any_shape_reads_or_is_refused(position: object, market: object, balance: object) -> None:
    for content, decode in (
        ({"balance": balance, "positions": [position]}, decode_ccxt_account),
        ({"markets": [market], "tickers": [position]}, decode_ccxt_snapshot),
    ):
        try:
            decode(json.dumps(content).encode(), "any.json")
        except InputError as refusal:
            told = str(refusal)
        else:
            continue
        assert told.startswith("any.json")


@pytest.mark.parametrize(
    "change",
    [
        {"positions": "none"},
        {"positions": ["BTC/USDT:USDT"]},
        {"balance": [{"USDT": {"total": 10}}]},
        {"balance": {"USDT": "10"}},
        {"balance": {"USDT": {"total": "NaN"}}},
        {"balance": {"USDT": {"total": "sNaN"}}},
        {"positions": [{"symbol": "BTC/USDT:USDT", "contracts": 1, "side": "sell"}]},
    ],
)
def test_what_would_be_left_out_or_turned_around_is_refused(change: dict[str, object]) -> None:
    document = {"id": "a", "balance": {"USDT": {"total": 10}}, "positions": [], **change}
    (failure,) = decode_ccxt_account(json.dumps(document).encode(), "a.json").failures
    assert failure.reason in {FailureReason.MALFORMED_INPUT, FailureReason.INVALID_QUANTITY}


def test_a_side_may_be_written_large() -> None:
    position = {"symbol": "BTC/USDT:USDT", "contracts": 2, "side": "SHORT", "entryPrice": 70_000}
    document = {"id": "a", "balance": {}, "positions": [position]}
    (account,) = decode_ccxt_account(json.dumps(document).encode(), "a.json").accounts
    assert account.positions[0].quantity == -2
