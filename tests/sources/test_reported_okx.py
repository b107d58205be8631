"""What OKX answers, as the `reported` block: documented shapes, own numbers."""

from typing import Any

import pytest

from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.reported_okx import is_okx, reported_from_okx


def unit(bucket: str = "BTC", **more: object) -> dict[str, Any]:
    """One risk unit as the position builder states it: texts, empty where nothing applies."""
    grid = {"0": "0", "-0.12": "-1200", "0.12": "1200"}
    return {
        "riskUnit": bucket, "mmr": "1220", "imr": "1586", "mmrBf": "", "imrBf": "", "delta": "10000", "gamma": "0",
        "mr1": "1200", "mr2": "0", "mr3": "0", "mr4": "20", "mr5": "0", "mr6": "1200", "mr7": "45", "mr8": "30",
        "mr9": "0", "mr1Scenarios": {"volSame": grid, "volShockUp": grid, "volShockDown": {}},
        "mr1FinalResult": {"pnl": "-1200", "spotShock": "-0.12", "volShock": "up"},
        "mr6FinalResult": {"pnl": "-2400", "spotShock": "-0.24"},
        "portfolios": [{"instId": f"{bucket}-USDT-SWAP", "instType": "SWAP", "markPx": "50000", "floatPnl": "12.5"},
                       {"instId": f"{bucket}-USDT", "instType": "SPOT", "amt": "1"}],
        **more,
    }  # fmt: skip


def builder(**more: object) -> dict[str, Any]:
    answer = {
        "eq": "9000", "totalMmr": "2470", "totalImr": "3322", "borrowMmr": "30", "derivMmr": "2440",
        "marginRatio": "3.5", "assets": [{"ccy": "USDT", "borrowImr": "150", "borrowMmr": ""}, {"ccy": "BTC"}],
        "riskUnitData": [unit(), unit("ETH")], "ts": "1736936801642", **more,
    }  # fmt: skip
    return {"code": "0", "msg": "", "data": [answer]}


BALANCE = {
    "code": "0",
    "data": [{
        "totalEq": "55837.4", "adjEq": "55415.6", "imr": "1000", "mmr": "600", "mgnRatio": "", "availEq": "54415.6",
        "details": [{"ccy": "USDT", "cashBal": "4850.4", "eq": "4992.8"}, {"ccy": "ETH", "cashBal": ""}],
    }],
}  # fmt: skip
POSITION = {
    "instId": "BTC-USDT-SWAP", "instType": "SWAP", "posSide": "net", "pos": "150", "imr": "", "mmr": "90.5",
    "liqPx": "", "markPx": "60100.5", "upl": "-7.5", "mgnMode": "cross",
}  # fmt: skip


def test_the_builders_account() -> None:
    found = reported_from_okx(builder(), "a.json")
    assert found["asset"] == "USD"
    assert found["adjusted_equity_initial"] == found["adjusted_equity_maintenance"] == 9000.0
    assert "equity" not in found
    assert (found["initial_margin"], found["maintenance_margin"], found["coverage_ratio"]) == (3322.0, 2470.0, 3.5)
    assert any("liquidation and trading fees" in note for note in found["notes"])


def test_the_builders_lines_by_unit() -> None:
    lines = reported_from_okx(builder(), "a.json")["lines"]
    btc = {line["name"]: line for line in lines if line.get("bucket") == "BTC"}
    assert {name: line["amount"] for name, line in btc.items()} == {
        "mr1": 1200.0, "mr2": 0.0, "mr3": 0.0, "mr4": 20.0, "mr5": 0.0, "mr6": 1200.0, "mr7": 45.0, "mr9": 0.0,
        "mmr": 1220.0, "imr": 1586.0,
    }  # fmt: skip
    assert btc["mr4"]["lines"] == ["mr4", "mr4_perpetual", "mr4_dated"]
    assert (btc["imr"]["lines"], btc["imr"]["requirement"], btc["imr"]["carried"]) == (["unit"], "initial", True)


def test_what_is_borrowed_is_the_accounts_and_is_taken_once() -> None:
    found = reported_from_okx(builder(), "a.json")
    borrowed = [line for line in found["lines"] if line["name"] == "mr8"]
    assert [(line["amount"], line["requirement"]) for line in borrowed] == [(30.0, "maintenance"), (150.0, "initial")]
    assert all("bucket" not in line for line in borrowed)
    assert any("do not sum" in note for note in found["notes"])
    alone = reported_from_okx(builder(riskUnitData=[unit()]), "a.json")
    assert not any("do not sum" in note for note in alone["notes"])


def test_the_builders_grid_and_positions() -> None:
    found = reported_from_okx(builder(riskUnitData=[unit()]), "a.json")
    cells = {(cell["line"], cell["spot"], cell["vol"]): cell["pnl"] for cell in found["scenarios"]}
    assert cells == {
        ("mr1", 0.0, "same"): 0.0, ("mr1", -0.12, "same"): -1200.0, ("mr1", 0.12, "same"): 1200.0,
        ("mr1", 0.0, "up"): 0.0, ("mr1", -0.12, "up"): -1200.0, ("mr1", 0.12, "up"): 1200.0,
        ("mr6", -0.24, "same"): -2400.0,
    }  # fmt: skip
    assert found["positions"] == [{"instrument": "BTC-USDT-SWAP", "mark_price": 50_000.0, "unrealized_pnl": 12.5}]


def test_a_balance() -> None:
    found = reported_from_okx(BALANCE, "a.json")
    assert (found["equity"], found["adjusted_equity_initial"], found["available_margin"]) == (55837.4, 55415.6, 54415.6)
    assert found["balances"] == {"USDT": 4850.4}
    assert "coverage_ratio" not in found


def test_positions_with_and_without_their_envelope() -> None:
    flat = {**POSITION, "instId": "ETH-USDT-SWAP", "pos": "0"}
    for document in ({"code": "0", "data": [POSITION, flat]}, [POSITION, flat]):
        assert is_okx(document)
        (row,) = reported_from_okx(document, "a.json")["positions"]
        assert row == {
            "instrument": "BTC-USDT-SWAP", "mark_price": 60100.5, "unrealized_pnl": -7.5, "maintenance_margin": 90.5,
        }  # fmt: skip


def test_nothing_held_is_nothing_reported() -> None:
    assert reported_from_okx({"code": "0", "data": []}, "a.json") == {"source": "okx"}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"totalMmr": "many"}, "$.data[0].totalMmr"),
        ({"totalMmr": True}, "$.data[0].totalMmr"),
        ({"totalMmr": "NaN"}, "$.data[0].totalMmr"),
        ({"riskUnitData": {}}, "$.data[0].riskUnitData"),
        ({"riskUnitData": [3]}, "$.data[0].riskUnitData[0]"),
        ({"riskUnitData": [unit(mr1=[])]}, "$.data[0].riskUnitData[0].mr1"),
        ({"riskUnitData": [unit("")]}, "$.data[0].riskUnitData[0]"),
        ({"riskUnitData": [unit(mr1Scenarios={"volSame": {"0.1": {}}})]}, 'mr1Scenarios.volSame["0.1"]'),
        ({"riskUnitData": [unit(mr1Scenarios={"volSame": {"far": "1"}})]}, "mr1Scenarios.volSame.far"),
        ({"assets": [{"borrowImr": {}}]}, "$.data[0].assets[0].borrowImr"),
    ],
)
def test_wrong_types_are_refused_with_file_and_key(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as caught:
        reported_from_okx(builder(**change), "answer.json")
    assert caught.value.reason is FailureReason.MALFORMED_INPUT
    assert (caught.value.path or "").startswith("answer.json: ")
    assert place in (caught.value.path or "")
