"""Answers of venues beside the rulebook, line by line: published figures and our own, and what explains a residual."""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book
from crossmargin.analysis.computed_lines import ComputedLines, Place
from crossmargin.analysis.conformance import deribit_simulate, okx_builder
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.reconcile import ReconciliationRow, reconcile
from crossmargin.margin import assess_book
from crossmargin.margin.model import Rulebook
from crossmargin.market import Snapshot
from crossmargin.sources.reported import read_reported
from tests.analysis.desk import account, rules, snapshot
from tests.conformance.made import LOADED, builder, simulate

Rows = dict[tuple[str, str | None, str | None], ReconciliationRow]
DOCUMENTS = {"builder": "venue_okx_position_builder.json", "simulate": "venue_deribit_pme_btc_doc.json"}


@cache
def published(directory: Path, name: str) -> dict[str, Any]:
    path = directory / "cases" / DOCUMENTS[name]
    if not path.is_file():
        pytest.skip(f"published case absent: no file {path}")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def built(document: dict[str, Any]) -> dict[str, Any]:
    """The document in the shape in which the position builder answers."""
    total, units = document["account"], []
    for unit in document["units"]:
        other = {move.removeprefix("-") if move[0] == "-" else f"-{move}": -pnl for move, pnl in unit["grid"].items()}
        grid = {move: repr(pnl) for move, pnl in (unit["grid"] | other | {"0": 0.0}).items()}
        names = ("mr1", "mr4", "mr6", "mr7", "mmr", "imr")
        units.append(
            {"riskUnit": unit["unit"], "mr2": "0", "mr8": repr(total["borrowMmr"]), "mr9": "0", "mmrBf": "",
             **{name: repr(unit[name]) for name in names},
             "mr1Scenarios": dict.fromkeys(("volShockDown", "volSame", "volShockUp"), grid),
             "mr6FinalResult": {"pnl": repr(unit["mr6_pnl"]), "spotShock": repr(unit["mr6_shock"])},
             "portfolios": []}
        )  # fmt: skip
    figures = {name: repr(total[name]) for name in ("eq", "borrowMmr", "derivMmr", "totalMmr", "totalImr")}
    assets = [{"ccy": "USDT", "borrowImr": repr(total["borrowImr"]), "borrowMmr": ""}]
    return {"code": "0", "data": [{**figures, "assets": assets, "riskUnitData": units}]}


def simulated(document: dict[str, Any]) -> dict[str, Any]:
    """The document in the shape in which a simulation answers."""
    given, expected = document["params"], document["expected"]
    inside = {name: expected[name] for name in ("worst_case", "roll_shock", "delta_shock")}
    details = {
        "risk_matrix_margin_details": inside, "risk_matrix_margin": expected["risk_matrix_margin"],
        "mmp_margin": document["mmp_margin"], "open_orders_margin": document["open_orders_margin"],
    }  # fmt: skip
    margins = {name: expected[name] for name in ("initial_margin", "maintenance_margin")}
    standard = [number for number in expected["aggregated"] for _ in range(3)]
    general = {"buckets_count": given["buckets_count"], "vol_scenarios_count": 3}
    pairs = {"btc_usd": {"price_range": given["price_range"]}}
    result = {
        "model_params": {"general": general, "currency_pair": pairs},
        "margins": {"btc": {**margins, "initial_margin_details": details}},
        "aggregated_risk_vectors": {"btc_btc": {"standard": standard}},
        "ticker": {name: {"mark_price": mark} for name, mark in document["mark"].items()},
    }
    return {"jsonrpc": "2.0", "result": result}


def rows_of(held: Account, market: Snapshot, rulebook: Rulebook, answer: object) -> Rows:
    book = assess_book(Book.from_accounts([held]), market, rulebook, max_quote_age_seconds=None)
    stated = replace(held, reported=read_reported(answer, "answer.json") if isinstance(answer, dict) else None)
    found = reconcile(stated, book.report(0), lines=ComputedLines(book), snapshot=market)
    return {(f"{row.name} {row.requirement or ''}".strip(), row.bucket or row.pool or row.instrument, row.scenario): row
            for row in found}  # fmt: skip


def of_builder(document: dict[str, Any], answer: object) -> Rows:
    case = okx_builder.pose(Fields(document, ""), 0, LOADED)
    return rows_of(case.account, case.snapshot, case.rulebook, answer)


def of_simulation(document: dict[str, Any], answer: object, **inputs: int) -> Rows:
    case = deribit_simulate.pose(Fields(document, ""), 0, LOADED)
    held = replace(case.account, inputs={**case.account.inputs, **{name: Decimal(n) for name, n in inputs.items()}})
    return rows_of(held, case.snapshot, case.rulebook, answer)


def agrees(row: ReconciliationRow) -> bool:
    assert row.reported is not None
    assert row.computed is not None
    return abs(row.reported - row.computed) <= 1e-9 * max(abs(row.reported), 1.0)


def check_builder(document: dict[str, Any]) -> None:
    rows = of_builder(document, built(document))
    units = {unit["unit"] for unit in document["units"]}
    reported = {key: row for key, row in rows.items() if row.reported}
    for name in ("mr1", "mr4", "mr6", "mr7", "mmr maintenance", "imr initial"):
        assert {place for key, place, cell in reported if key == name and cell is None} == units, name
    grids = {key for key in rows if key[0] == "mr1" and key[2] is not None}
    assert len(grids) == 21 * len(units)
    assert {"initial_margin", "maintenance_margin", "mr8 initial", "mr8 maintenance", "derivMmr maintenance"} <= {
        name for name, place, _ in reported if place is None
    }
    assert [key for key, row in reported.items() if not agrees(row)] == []
    assert all(not row.by_line and not row.suggestions for row in reported.values())


def check_simulation(document: dict[str, Any]) -> None:
    rows = of_simulation(document, simulated(document))
    reported = {key: row for key, row in rows.items() if row.reported is not None}
    names = {name for name, place, cell in reported if place == "BTC" and cell is None}
    assert {"initial_margin", "maintenance_margin", "worst_case", "roll_shock", "delta_shock"} <= names
    assert {"risk_matrix_margin", "mmp_margin initial", "open_orders_margin initial"} <= names
    cells = [key for key in rows if key[0] == "matrix"]
    assert len(cells) == 3 * (2 * document["params"]["buckets_count"] + 1)
    assert [key for key, row in reported.items() if not agrees(row)] == []


CHECKS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any]], None]]] = {
    "builder": (builder, check_builder),
    "simulate": (simulate, check_simulation),
}


@pytest.mark.parametrize("name", CHECKS)
def test_our_own_answers_agree_line_by_line(name: str) -> None:
    document, check = CHECKS[name]
    check(document())


@pytest.mark.shared
@pytest.mark.parametrize("name", CHECKS)
def test_the_published_answers_agree_line_by_line(name: str, shared: Path) -> None:
    CHECKS[name][1](published(shared, name))


def plus(holder: dict[str, Any], **amounts: float) -> None:
    for key, amount in amounts.items():
        holder[key] = repr(float(holder[key]) + amount)


def test_a_line_that_differs_carries_the_totals() -> None:
    answer = built(builder())
    account_of, unit = answer["data"][0], answer["data"][0]["riskUnitData"][0]
    plus(unit, mr4=5, mmr=5, imr=6.5)
    plus(account_of, derivMmr=5, totalMmr=5, totalImr=6.5)
    rows = of_builder(builder(), answer)
    assert rows["mr4", "BTC", None].residual == pytest.approx(5)
    assert rows["mr4", "BTC", None].by_line == {}
    for name, place, carried in (
        ("mmr maintenance", "BTC", 5), ("imr initial", "BTC", 6.5), ("derivMmr maintenance", None, 5),
        ("maintenance_margin", None, 5), ("initial_margin", None, 6.5),
    ):  # fmt: skip
        row = rows[name, place, None]
        assert row.by_line == pytest.approx({"mr4 of BTC": carried}), name
        assert row.unexplained == pytest.approx(0.0, abs=1e-9)
        assert row.suggestions == ()
    assert rows["mmr maintenance", "LTC", None].by_line == {}


def test_a_line_that_does_not_decide_carries_nothing() -> None:
    answer = built(builder())
    plus(answer["data"][0]["riskUnitData"][0], mr7=1)
    rows = of_builder(builder(), answer)
    assert rows["mr7", "BTC", None].residual == pytest.approx(1)
    assert rows["mmr maintenance", "BTC", None].by_line == {}
    assert rows["maintenance_margin", None, None].residual == pytest.approx(0.0, abs=1e-9)


def test_two_lines_and_what_is_left() -> None:
    answer = built(builder())
    account_of = answer["data"][0]
    plus(account_of["riskUnitData"][0], mr4=5, mmr=5, imr=6.5)
    plus(account_of, borrowMmr=2, derivMmr=5, totalMmr=5 + 2 + 100, totalImr=6.5)
    row = of_builder(builder(), answer)["maintenance_margin", None, None]
    assert row.by_line == pytest.approx({"mr4 of BTC": 5, "mr8": 2})
    assert row.unexplained == pytest.approx(100)


def test_a_line_that_the_rulebook_lacks_is_named_where_its_amount_is_missing() -> None:
    answer = built(builder())
    unit = answer["data"][0]["riskUnitData"][0]
    plus(unit, mr2=7, mmr=7, imr=9.1)
    plus(answer["data"][0], derivMmr=7, totalMmr=7, totalImr=9.1)
    rows = of_builder(builder(), answer)
    lacking = rows["mr2", "BTC", None]
    assert (lacking.reported, lacking.computed, lacking.residual) == (7.0, None, None)
    assert lacking.suggestions == ("the rulebook has no line for it",)
    for name, words in (("mmr maintenance", "lacks (7)"), ("imr initial", "lacks, x 1.3 (9.1)")):
        (text,) = rows[name, "BTC", None].suggestions
        assert text.startswith("may be mr2 of BTC, which the rulebook lacks")
        assert words in text
        assert text.endswith("counted by the venue")
    assert rows["maintenance_margin", None, None].by_line == pytest.approx({"mmr of BTC": 7})


def test_an_input_that_the_account_does_not_state_is_named() -> None:
    document = simulate()
    rows = of_simulation(document, simulated(document), mmp_margin=0)
    row = rows["mmp_margin initial", "BTC", None]
    assert (row.reported, row.computed) == (0.5, 0.0)
    assert "under `inputs`" in row.suggestions[0]
    assert any("mmp_margin of BTC" in text for text in rows["initial_margin", "BTC", None].suggestions)
    assert rows["maintenance_margin", "BTC", None].residual == pytest.approx(0.0, abs=1e-9)


def test_a_part_of_a_margin_in_coin_carries_both_requirements() -> None:
    document = simulate()
    answer = simulated(document)
    margin = answer["result"]["margins"]["btc"]
    details = margin["initial_margin_details"]
    details["risk_matrix_margin_details"]["roll_shock"] += 0.5
    details["risk_matrix_margin"] += 0.5
    margin["initial_margin"] += 0.5
    margin["maintenance_margin"] += 0.75 * 0.5
    rows = of_simulation(document, answer)
    for name, carried in (("risk_matrix_margin", 0.5), ("initial_margin", 0.5), ("maintenance_margin", 0.375)):
        row = rows[name, "BTC", None]
        assert row.by_line == pytest.approx({"roll_shock of BTC": carried})
        assert row.unexplained == pytest.approx(0.0, abs=1e-9)


def test_a_scenario_that_differs_and_one_that_is_not_ours() -> None:
    answer = built(builder())
    grid = answer["data"][0]["riskUnitData"][0]["mr1Scenarios"]["volSame"]
    grid["0.03"] = repr(float(grid["0.03"]) + 2)
    grid["0.5"] = "-1"
    rows = of_builder(builder(), answer)
    assert rows["mr1", "BTC", "spot +0.03, vol same"].residual == pytest.approx(2)
    assert rows["mr1", "BTC", "spot +0.5, vol same"].computed is None
    assert rows["mr1", "BTC", "spot +0.06, vol same"].residual == pytest.approx(0, abs=1e-9)


def test_a_unit_that_the_account_does_not_hold() -> None:
    answer = built(builder())
    answer["data"][0]["riskUnitData"].append({"riskUnit": "SOL", "mr1": "12"})
    row = of_builder(builder(), answer)["mr1", "SOL", None]
    assert (row.reported, row.computed) == (12.0, None)
    assert "no such row" in row.suggestions[0]


# --- figures in other assets, balances and marks, on a desk by hand


def held_rows(reported: dict[str, Any], held: Account | None = None) -> dict[tuple[str, str | None], ReconciliationRow]:
    held = held or account({"BTC-PERP": "1"}, usd="100000")
    book = assess_book(Book.from_accounts([held]), snapshot(), rules("scan"))
    assert not book.failures
    found = reconcile(replace(held, reported=reported), book.report(0), lines=ComputedLines(book), snapshot=snapshot())
    return {(row.name, row.asset if row.name == "balance" else row.instrument): row for row in found}


def test_figures_in_another_asset_are_set_beside_ours_in_it() -> None:
    row = held_rows({"asset": "BTC", "initial_margin": 0.1})["initial_margin", None]
    assert row.asset == "BTC"
    assert row.computed == pytest.approx(0.1)
    assert row.residual == pytest.approx(0.0, abs=1e-12)
    (row,) = [r for k, r in held_rows({"asset": "GOLD", "initial_margin": 3}).items() if k == ("initial_margin", None)]
    assert (row.computed, row.residual) == (None, None)
    assert row.suggestions == ("the snapshot has no price of GOLD",)


def test_a_balance_that_differs_carries_equity() -> None:
    rows = held_rows({"balances": {"USD": 99_000, "ETH": "2"}, "equity": 103_000, "available_margin": 98_000})
    assert rows["balance", "USD"].residual == -1_000
    assert (rows["balance", "ETH"].reported, rows["balance", "ETH"].computed) == (2.0, 0.0)
    for name in ("equity", "available_margin"):
        assert rows[name, None].by_line == pytest.approx({"balance of ETH": 4_000, "balance of USD": -1_000})
        assert rows[name, None].unexplained == pytest.approx(0.0, abs=1e-9)


def test_what_neither_side_holds_is_not_told() -> None:
    assert ("balance", "ETH") not in held_rows({"balances": {"ETH": 0}})


def test_a_mark_and_the_profit_at_it() -> None:
    rows = held_rows({"positions": {"BTC-PERP": {"mark_price": 50_100, "unrealized_pnl": 100}}, "equity": 100_100})
    assert rows["mark_price", "BTC-PERP"].residual == 100
    assert (rows["unrealized_pnl", "BTC-PERP"].computed, rows["unrealized_pnl", "BTC-PERP"].asset) == (0.0, "USD")
    assert rows["equity", None].by_line == {"unrealized pnl of BTC-PERP": 100.0}


def test_a_position_of_another_name_is_not_compared() -> None:
    assert [
        key for key in held_rows({"positions": {"X": {"mark_price": 1, "unrealized_pnl": 1}}}) if key[1] == "X"
    ] == []


def test_lines_by_name_and_what_is_no_line() -> None:
    rows = held_rows({"lines": {"scan": 5_000, "extra": 1, "tiered": None}})
    assert rows["scan", None].residual == pytest.approx(0)
    assert rows["extra", None].computed is None
    assert ("tiered", None) not in rows
    assert [key for key in held_rows({"lines": [{"amount": 1}, 3], "scenarios": [{}, 3], "equity": 1})
            if key[0] in {"amount", "3"}] == []  # fmt: skip


def test_places() -> None:
    book = assess_book(Book.from_accounts([account({"BTC-PERP": "1", "ETH-PERP": "5"})]), snapshot(), rules("scan"))
    lines = ComputedLines(book)
    pool = book.resolved.units.label[0]
    assert lines.amount(["scan"], "initial", Place()) == pytest.approx(6_000)
    assert lines.amount(["scan"], "initial", Place(bucket="ETH")) == pytest.approx(1_000)
    assert lines.amount(["scan", "tiered"], "initial", Place(pool=pool, bucket="BTC")) == pytest.approx(5_500)
    assert lines.amount(["scan"], "maintenance", Place(), carried=True) == pytest.approx(3_000)
    assert lines.amount(["scan"], "initial", Place(pool="elsewhere")) is None
    assert lines.amount(["folded"], "initial", Place(bucket="BTC")) is None  # one row of both
    assert lines.pnl("scan", Place(bucket="ETH"), -0.1, ("same",), weighted=True) == pytest.approx([-1_000])
    assert lines.pnl("scan", Place(), -0.1, ("same",), weighted=True) == []
    assert lines.pnl("tiered", Place(), -0.1, ("same",), weighted=True) == []
