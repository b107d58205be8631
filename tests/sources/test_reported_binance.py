"""What Binance answers, as the `reported` block: documented shapes, own numbers."""

from typing import Any

import pytest

from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.reported_binance import is_binance, reported_from_binance

USDT = {
    "asset": "USDT", "walletBalance": "900.0", "marginBalance": "1000.5", "initialMargin": "100.0",
    "maintMargin": "40.0", "availableBalance": "900.5", "unrealizedProfit": "100.5",
}  # fmt: skip
USDC = {**USDT, "asset": "USDC", "walletBalance": "50", "marginBalance": "50", "initialMargin": "0", "maintMargin": "0"}
EMPTY = {**USDT, "asset": "BNB", "walletBalance": "0.00000000", "marginBalance": "0.00000000"}
HELD = {
    "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "0.5", "initialMargin": "100", "maintMargin": "40",
    "unrealizedProfit": "100.5", "entryPrice": "60000",
}  # fmt: skip


def account(**more: object) -> dict[str, Any]:
    return {
        "feeTier": 0, "canTrade": True, "updateTime": 0, "multiAssetsMargin": False, "totalInitialMargin": "100.0",
        "totalMaintMargin": "40.0", "totalWalletBalance": "900.0", "totalMarginBalance": "1000.5",
        "availableBalance": "900.5", "assets": [USDT, EMPTY], "positions": [HELD, {**HELD, "positionAmt": "0.000"}],
        **more,
    }  # fmt: skip


def test_one_asset_as_margin_is_an_account_in_it() -> None:
    found = reported_from_binance(account(), "a.json")
    assert found["asset"] == "USDT"
    assert found["equity"] == found["adjusted_equity_initial"] == found["adjusted_equity_maintenance"] == 1000.5
    assert (found["initial_margin"], found["maintenance_margin"], found["available_margin"]) == (100.0, 40.0, 900.5)
    assert found["balances"] == {"USDT": 900.0}
    (row,) = found["positions"]
    assert row == {
        "instrument": "BTCUSDT", "unrealized_pnl": 100.5, "initial_margin": 100.0, "maintenance_margin": 40.0,
    }  # fmt: skip


def test_one_asset_as_margin_leaves_others_out_of_the_totals() -> None:
    found = reported_from_binance(account(assets=[USDT, USDC]), "a.json")
    assert "initial_margin" not in found
    assert found["pools"]["USDC"]["equity"] == 50.0
    assert found["pools"]["USDT"]["maintenance_margin"] == 40.0
    assert any("count USDT alone" in note for note in found["notes"])


@pytest.mark.parametrize("more", [{"multiAssetsMargin": True, "assets": [USDT]}, {"assets": [USDT, USDC]}])
def test_several_assets_as_margin_are_an_account_in_dollars(more: dict[str, Any]) -> None:
    document = account(**more)
    if not document["multiAssetsMargin"]:
        del document["multiAssetsMargin"]  # an older answer does not say
    found = reported_from_binance(document, "a.json")
    assert found["asset"] == "USD"
    assert "equity" not in found
    assert found["adjusted_equity_initial"] == 1000.5
    assert any("before or after collateral rates" in note for note in found["notes"])


def test_a_portfolio_margin_account() -> None:
    answer = {
        "uniMMR": "5167.9", "accountEquity": "122607.3", "actualEquity": "142607.3", "accountInitialMargin": "47.4",
        "accountMaintMargin": "23.7", "totalAvailableBalance": "122,559.90199491", "accountStatus": "NORMAL",
    }  # fmt: skip
    assert is_binance(answer)
    assert reported_from_binance(answer, "a.json") == {
        "source": "binance papi/account", "asset": "USD", "equity": 142607.3, "adjusted_equity_initial": 122607.3,
        "adjusted_equity_maintenance": 122607.3, "initial_margin": 47.4, "maintenance_margin": 23.7,
        "available_margin": 122559.90199491, "coverage_ratio": 5167.9,
    }  # fmt: skip


def test_position_risks() -> None:
    row = {
        "symbol": "ETHUSDT", "positionAmt": "-2", "markPrice": "2000.5", "unRealizedProfit": "-3", "leverage": "10",
        "liquidationPrice": "0", "isolatedMargin": "0.0",
    }  # fmt: skip
    rows = [row, {**row, "symbol": "BTCUSDT", "liquidationPrice": "70000"}, {**row, "positionAmt": "0"}]
    assert is_binance(rows)
    first, second = reported_from_binance(rows, "a.json")["positions"]
    assert first == {"instrument": "ETHUSDT", "mark_price": 2000.5, "unrealized_pnl": -3.0}  # 0 is no price
    assert second["liquidation_price"] == 70_000.0


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (account(totalMaintMargin=None, totalInitialMargin=[]), "$.totalInitialMargin"),
        (account(multiAssetsMargin="no"), "$.multiAssetsMargin"),
        (account(assets={}), "$.assets"),
        (account(assets=[{**USDT, "walletBalance": "1,5"}]), "$.assets[0].walletBalance"),
        (account(positions=[{**HELD, "symbol": 7}]), "$.positions[0].symbol"),
        ([{"symbol": "BTCUSDT", "positionAmt": {}}], "$[0].positionAmt"),
    ],
)
def test_wrong_types_are_refused_with_file_and_key(document: object, place: str) -> None:
    with pytest.raises(InputError) as caught:
        reported_from_binance(document, "answer.json")
    assert caught.value.reason is FailureReason.MALFORMED_INPUT
    assert caught.value.path == f"answer.json: {place}"
