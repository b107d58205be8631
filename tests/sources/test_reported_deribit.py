"""What Deribit answers, as the `reported` block: documented shapes, own numbers."""

from typing import Any

import pytest

from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.reported_deribit import is_deribit, reported_from_deribit

SUMMARY = {
    "currency": "BTC", "equity": 1.5, "balance": 1.4, "margin_balance": 1.45, "initial_margin": 0.3,
    "maintenance_margin": 0.2, "available_funds": 1.15, "portfolio_margining_enabled": True, "margin_model": None,
}  # fmt: skip
IN_USD = {
    "total_equity_usd": 100_000.5, "total_margin_balance_usd": 99_000, "total_initial_margin_usd": 20_000,
    "total_maintenance_margin_usd": 16_000,
}  # fmt: skip


def cross(currency: str, rate: float, **more: object) -> dict[str, Any]:
    """One currency of a cross portfolio of 99,000 USD: its own equity, and the whole in this currency."""
    return {
        "currency": currency, "equity": 0.5, "balance": 0.4, "margin_balance": 99_000 / rate,
        "initial_margin": 20_000 / rate, "maintenance_margin": 16_000 / rate, "available_funds": 79_000 / rate,
        "cross_collateral_enabled": True, "margin_model": "cross_pm", **more,
    }  # fmt: skip


def simulated(**more: object) -> dict[str, Any]:
    details = {
        "risk_matrix_margin": 0.06, "mmp_margin": 0.01, "open_orders_margin": 0, "spot_margin": 0,
        "risk_matrix_margin_details": {"worst_case": 0.05, "roll_shock": 0.01, "delta_shock": 0,
                                       "correlation_contingency": 0, "worst_case_bucket": {"side": "left"}},
    }  # fmt: skip
    margin = {"initial_margin": 0.07, "maintenance_margin": 0.048, "initial_margin_details": details}
    general = {"buckets_count": 1, "vol_scenarios_count": 3, "mm_factor": 0.8}
    result = {
        "margins": {"btc": margin},
        "model_params": {"general": general, "currency_pair": {"btc_usd": {"price_range": 0.16}}},
        "aggregated_risk_vectors": {
            "btc_btc": {"standard": [-5, -4, -3, -1, 0, 1, 4, 5, 3], "extended": [-8, -7, 1, 2, 3, 4, 5, 6]},
        },
        "ticker": {"BTC-PERPETUAL": {"mark_price": 65_910.57, "index_price": 65_666.19}},
        **more,
    }  # fmt: skip
    return {"jsonrpc": "2.0", "id": 2255, "result": result}


def test_a_segregated_currency_is_a_pool_in_coin() -> None:
    found = reported_from_deribit({"jsonrpc": "2.0", "result": SUMMARY}, "a.json")
    assert found["pools"] == {
        "BTC": {
            "asset": "BTC", "equity": 1.5, "adjusted_equity_initial": 1.45, "adjusted_equity_maintenance": 1.45,
            "initial_margin": 0.3, "maintenance_margin": 0.2, "available_margin": 1.15,
        }
    }  # fmt: skip
    assert found["balances"] == {"BTC": 1.4}
    assert "initial_margin" not in found


def test_under_cross_the_whole_portfolio_is_taken_once() -> None:
    rows = [cross("BTC", 50_000, **IN_USD), cross("ETH", 2_000, **IN_USD), {**SUMMARY, "currency": "BNB"},
            {**SUMMARY, "currency": "SOL", "equity": 0, "balance": 0, "initial_margin": 0}]  # fmt: skip
    found = reported_from_deribit({"result": {"summaries": rows, "id": 1}}, "a.json")
    assert found["asset"] == "USD"
    assert found["equity"] == 100_000.5
    assert (found["adjusted_equity_initial"], found["initial_margin"], found["maintenance_margin"]) == (
        99_000.0, 20_000.0, 16_000.0,
    )  # fmt: skip
    assert set(found["pools"]) == {"BNB"}
    assert found["balances"] == {"BTC": 0.4, "ETH": 0.4, "BNB": 1.4}
    assert any("do not sum" in note for note in found["notes"])


def test_a_cross_answer_without_dollars_stays_in_its_currency() -> None:
    found = reported_from_deribit(cross("ETH", 2_000), "a.json")
    assert (found["asset"], found["initial_margin"], found["available_margin"]) == ("ETH", 10.0, 39.5)
    assert "equity" not in found  # that is ETH's own
    assert "pools" not in found


def test_a_notification_is_read_like_an_answer() -> None:
    notice = {
        "method": "subscription",
        "params": {"channel": "user.portfolio.any", "data": cross("BTC", 5e4, **IN_USD)},
    }
    assert is_deribit(notice)
    assert reported_from_deribit(notice, "a.json")["maintenance_margin"] == 16_000.0


def test_the_parts_of_a_simulated_margin() -> None:
    found = reported_from_deribit(simulated(), "a.json")
    assert found["pools"] == {"BTC": {"asset": "BTC", "initial_margin": 0.07, "maintenance_margin": 0.048}}
    lines = {line["name"]: line for line in found["lines"]}
    assert lines["worst_case"] == {"name": "worst_case", "amount": 0.05, "lines": ["worst_case"], "pool": "BTC"}
    assert lines["roll_shock"]["lines"] == ["roll_perpetual", "roll_dated"]
    assert lines["risk_matrix_margin"]["lines"] == ["risk_matrix"]
    assert lines["mmp_margin"]["requirement"] == "initial"
    assert found["positions"] == [{"instrument": "BTC-PERPETUAL", "mark_price": 65_910.57}]


def test_vectors_are_read_step_by_step() -> None:
    cells = reported_from_deribit(simulated(), "a.json")["scenarios"]
    assert all((cell["pool"], cell["bucket"]) == ("BTC", "BTC") for cell in cells)
    standard = [(cell["spot"], cell.get("pick"), cell["pnl"]) for cell in cells if cell["line"] == "matrix"]
    assert standard == [
        (-0.16, None, -4.0), (-0.16, "least", -5.0), (-0.16, "most", -3.0),
        (0.0, None, 0.0), (0.0, "least", -1.0), (0.0, "most", 1.0),
        (0.16, None, 5.0), (0.16, "least", 3.0), (0.16, "most", 4.0),
    ]  # fmt: skip
    extended = {cell["spot"]: cell["pnl"] for cell in cells if cell["line"] == "extended"}
    assert extended == {-0.66: -8, -0.33: -7, 0.5: 1, 1.0: 2, 2.0: 3, 3.0: 4, 4.0: 5, 5.0: 6}


@pytest.mark.parametrize("key", ["btc_usdc", "usdc_btc"])
def test_a_vector_of_another_currency_names_its_pool_and_bucket(key: str) -> None:
    result = simulated()["result"]
    result |= {"margins": {"usdc": result["margins"]["btc"]}}
    result |= {"aggregated_risk_vectors": {key: result["aggregated_risk_vectors"]["btc_btc"]}}
    cells = reported_from_deribit({"result": result}, "a.json")["scenarios"]
    assert {(cell["pool"], cell["bucket"]) for cell in cells} == {("USDC", "BTC")}
    assert {cell["line"] for cell in cells} == {"matrix", "extended"}


def test_a_vector_of_another_length_is_passed_over_aloud() -> None:
    found = reported_from_deribit(simulated(aggregated_risk_vectors={"btc_btc": {"standard": [1, 2]}}), "a.json")
    assert "scenarios" not in found
    assert found["notes"] == ["the risk vectors of btc_btc are passed over: 2 numbers do not fit 1 price steps"]


def test_a_cross_simulation_is_the_whole_account() -> None:
    result = simulated()["result"]
    found = reported_from_deribit({"result": {**result, "margins": {"cross": result["margins"]["btc"]}}}, "a.json")
    assert (found["initial_margin"], found["maintenance_margin"]) == (0.07, 0.048)
    assert "pools" not in found
    assert all("pool" not in line for line in found["lines"])
    assert all("pool" not in cell for cell in found["scenarios"])


def test_positions() -> None:
    row = {
        "instrument_name": "ETH-PERPETUAL", "size": -1, "kind": "future", "initial_margin": 0.2,
        "maintenance_margin": 0.1, "mark_price": 1963.31, "total_profit_loss": -0.01,
        "estimated_liquidation_price": None,
    }  # fmt: skip
    call = {**row, "instrument_name": "ETH-26JUN26-2000-C", "kind": "option", "estimated_liquidation_price": 9000}
    flat = {**row, "instrument_name": "ETH-26JUN26", "size": 0}
    found = reported_from_deribit({"result": [row, call, flat]}, "a.json")["positions"]
    assert found[0] == {
        "instrument": "ETH-PERPETUAL", "mark_price": 1963.31, "unrealized_pnl": -0.01, "initial_margin": 0.2,
        "maintenance_margin": 0.1,
    }  # fmt: skip
    assert "unrealized_pnl" not in found[1]  # an option's premium was paid: its value counts, not its profit
    assert found[1]["liquidation_price"] == 9000.0
    assert len(found) == 2


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"result": {**SUMMARY, "equity": "a lot"}}, "$.result.equity"),
        ({"result": {**SUMMARY, "margin_model": 3}}, "$.result.margin_model"),
        ({"result": {**SUMMARY, "margin_model": None, "cross_collateral_enabled": "yes"}}, "cross_collateral_enabled"),
        ({"result": {"summaries": {}}}, "$.result.summaries"),
        ({"result": {"summaries": [{**SUMMARY, "currency": None}]}}, "$.result.summaries[0]"),
        (simulated(margins={"btc": 1}), "$.result.margins.btc"),
        (simulated(ticker={"BTC-PERPETUAL": {"mark_price": []}}), '$.result.ticker["BTC-PERPETUAL"].mark_price'),
        (simulated(aggregated_risk_vectors={"btc_btc": {"standard": 3}}), "btc_btc.standard"),
        (simulated(aggregated_risk_vectors={"btc_btc": {"standard": ["x"]}}), "btc_btc.standard[0]"),
    ],
)
def test_wrong_types_are_refused_with_file_and_key(document: object, place: str) -> None:
    with pytest.raises(InputError) as caught:
        reported_from_deribit(document, "answer.json")
    assert caught.value.reason is FailureReason.MALFORMED_INPUT
    assert (caught.value.path or "").startswith("answer.json: ")
    assert place in (caught.value.path or "")
