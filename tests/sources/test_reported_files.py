"""Whose answer a file is, ccxt's wrapping of answers, and several answers as one."""

import json
from pathlib import Path
from typing import Any

import pytest

from crossmargin.errors import FailureReason, InputError
from crossmargin.sources import account_from_ccxt
from crossmargin.sources.reported import REPORTED_SOURCES, decode_reported, joined, load_reported
from tests.sources.test_reported_binance import account as binance_account
from tests.sources.test_reported_deribit import SUMMARY, simulated
from tests.sources.test_reported_okx import BALANCE, POSITION, builder

SWAP = {
    "symbol": "BTC/USDT:USDT", "contracts": "150", "contractSize": "0.01", "side": "long", "entryPrice": "60000.1",
    "marginMode": "cross", "maintenanceMargin": None, "initialMargin": "", "liquidationPrice": 0, "info": POSITION,
}  # fmt: skip


def decoded(document: object, source: str = "auto", instruments: tuple[str, ...] = ()) -> dict[str, Any]:
    return decode_reported(json.dumps(document).encode(), "answer.json", source, instruments=instruments)


@pytest.mark.parametrize(
    ("document", "source"),
    [
        (builder(), "okx position builder"),
        (BALANCE, "okx account/balance"),
        ([POSITION], "okx account/positions"),
        (binance_account(), "binance fapi/account"),
        ([{"symbol": "BTCUSDT", "positionAmt": "1"}], "binance positionRisk"),
        ({"result": SUMMARY}, "deribit account summary"),
        (simulated(), "deribit pme/simulate"),
        ({"balance": {}, "positions": []}, "ccxt"),
    ],
)
def test_an_answer_is_recognised_by_what_it_holds(document: object, source: str) -> None:
    assert decoded(document)["source"] == source
    assert decoded(document, source.split(maxsplit=1)[0])["source"] == source


@pytest.mark.parametrize("document", [{}, [], 3, None, {"data": [1]}, {"positions": [], "accounts": []}])
def test_what_is_not_known_is_refused(document: object) -> None:
    with pytest.raises(InputError) as caught:
        decoded(document)
    assert caught.value.reason is FailureReason.MALFORMED_INPUT
    assert "answer.json" in str(caught.value)


def test_an_answer_of_another_venue_is_refused() -> None:
    for source in set(REPORTED_SOURCES) - {"auto", "okx", "ccxt"}:
        with pytest.raises(InputError, match=f"no answer of {source}"):
            decoded(builder(), source)
    with pytest.raises(InputError, match="no reader 'elsewhere'"):
        decoded(builder(), "elsewhere")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        decode_reported(content, "answer.json")
    assert caught.value.reason is FailureReason.MALFORMED_INPUT


@pytest.mark.parametrize(
    ("info", "wanted"),
    [
        (BALANCE, {"initial_margin": 1000.0, "maintenance_margin": 600.0, "equity": 55837.4}),
        (binance_account(), {"initial_margin": 100.0, "asset": "USDT"}),
        ({"jsonrpc": "2.0", "result": SUMMARY}, {"balances": {"BTC": 1.4}}),
        ({"something": "else"}, {}),
    ],
)
def test_ccxt_keeps_the_venues_answer_under_info(info: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = decoded({"exchange": "one", "balance": {"info": info, "USDT": {"total": 5}}, "positions": [SWAP]})
    assert {key: found.get(key) for key in wanted} == wanted
    assert (found["source"], found["exchange"]) == ("ccxt", "one")
    (row,) = found["positions"]  # not those in the balance's answer
    assert row == {
        "instrument": "BTC/USDT:USDT", "side": "long", "mark_price": 60100.5, "maintenance_margin": 90.5,
    }  # fmt: skip


def test_unified_margins_come_before_raw_ones() -> None:
    (row,) = decoded({"positions": [{**SWAP, "maintenanceMargin": 91, "liquidationPrice": 40_000.5}]})["positions"]
    assert (row["maintenance_margin"], row["liquidation_price"]) == (91.0, 40_000.5)


def test_a_position_bears_the_name_that_the_account_uses() -> None:
    (row,) = decoded({"positions": [SWAP]}, instruments=("BTC-USDT-SWAP",))["positions"]
    assert row["instrument"] == "BTC-USDT-SWAP"


def test_an_account_from_ccxt_keeps_what_was_reported() -> None:
    held = account_from_ccxt("a", balance={"info": BALANCE, "USDT": {"total": 5}}, positions=[SWAP])
    assert held.reported is not None
    assert held.reported["maintenance_margin"] == 600.0
    assert held.reported["positions"][0]["maintenance_margin"] == 90.5


def test_a_wrong_raw_answer_is_refused_with_its_place() -> None:
    with pytest.raises(InputError) as caught:
        decoded({"balance": {"info": {"totalEq": [], "adjEq": "1"}}})
    assert caught.value.path == "answer.json: balance.info: $.totalEq"


def test_of_several_answers_the_first_is_right() -> None:
    whole = joined(
        [
            {"source": "a", "equity": 1.0, "balances": {"X": 1.0}, "notes": ["n"], "lines": [{"name": "l"}],
             "positions": [{"instrument": "P", "mark_price": 2.0}]},
            {"source": "b", "equity": 9.0, "initial_margin": 3.0, "balances": {"X": 9.0, "Y": 2.0}, "notes": ["n", "m"],
             "positions": [{"instrument": "P", "mark_price": 9.0, "liquidation_price": 4.0}, {"instrument": "Q"}]},
        ]
    )  # fmt: skip
    assert whole == {
        "source": "a, b", "equity": 1.0, "initial_margin": 3.0, "balances": {"X": 1.0, "Y": 2.0}, "notes": ["n", "m"],
        "lines": [{"name": "l"}],
        "positions": [{"instrument": "P", "mark_price": 2.0, "liquidation_price": 4.0}, {"instrument": "Q"}],
    }  # fmt: skip


def test_files_are_read_and_put_together(tmp_path: Path) -> None:
    first, second = tmp_path / "balance.json", tmp_path / "positions.json"
    first.write_text(json.dumps(BALANCE))
    second.write_text(json.dumps({"code": "0", "data": [POSITION]}))
    found = load_reported([first, second])
    assert found["source"] == "okx account/balance, okx account/positions"
    assert found["positions"][0]["instrument"] == "BTC-USDT-SWAP"
    with pytest.raises(InputError, match="cannot be read"):
        load_reported([tmp_path / "missing.json"])
