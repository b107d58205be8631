"""`crossmargin liquidate`: tables, JSON, the page, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crossmargin.cli.exit_codes import ExitCode
from tests.cli.test_commands import DEMO, edited, run

BOOK = {"bids": [[69_900.0, 0.2], [69_000.0, 5.0]], "asks": [[70_100.0, 5.0]]}


@pytest.fixture
def short(root: Path, tmp_path: Path) -> tuple[str, str]:
    """The demo's accounts, one of which has less money left than a perpetual needs."""

    def poorer(document: dict[str, Any]) -> None:
        for account in document["accounts"]:
            if account["id"] == "one-perp":
                account["balances"] = {"USDT": "1800"}
        document["accounts"] = [one for one in document["accounts"] if one["id"] in {"one-perp", "flat"}]

    folder = root / DEMO
    return edited(str(folder / "accounts.json"), tmp_path / "accounts.json", poorer), str(folder / "snapshot.json")


def depth_file(tmp_path: Path, books: object) -> str:
    path = tmp_path / "depth.json"
    path.write_text(json.dumps({"books": books}), encoding="utf-8")
    return str(path)


def test_pools_that_trigger_are_closed_by_the_venue_and_by_the_plan(short: tuple[str, str]) -> None:
    done = run("liquidate", *short, "-f", "json", "--lot", "BTCUSDT:0.001")
    assert done.exit_code == ExitCode.OK, done.output
    found = json.loads(done.stdout)
    (pool,) = found["pools"]
    assert (pool["account"], pool["stage"], found["pools_looked_at"]) == ("one-perp", "liquidating", 2)
    assert pool["plan"]["restored"]
    (trade,) = pool["plan"]["trades"]
    assert trade["instrument"] == "BTCUSDT"
    assert -0.5 < trade["contracts"] < 0
    assert trade["cost"] == pytest.approx(pool["plan"]["cost"])
    assert pool["venue"]["restored"]
    assert pool["venue"]["moves"][0]["do"] == "cancel"
    assert pool["venue"]["cost"] > 0
    table = run("liquidate", *short)
    assert table.exit_code == ExitCode.OK
    assert "the plan: restored" in table.stdout
    assert "stated model" in table.stdout


def test_a_recorded_book_is_what_closing_costs(short: tuple[str, str], tmp_path: Path) -> None:
    words = ("liquidate", *short, "-f", "json", "--fee", "0", "--lot", "BTCUSDT:0.001")
    found = json.loads(run(*words, "--depth", depth_file(tmp_path, {"BTCUSDT": BOOK})).stdout)
    assert found["recorded_books"] == ["BTCUSDT"]
    (trade,) = found["pools"][0]["plan"]["trades"]
    sold = -trade["contracts"]
    assert trade["price"] == pytest.approx((0.2 * 69_900 + (sold - 0.2) * 69_000) / sold if sold > 0.2 else 69_900)


def test_an_account_that_is_asked_for_is_shown_though_it_is_healthy(short: tuple[str, str]) -> None:
    found = json.loads(run("liquidate", *short, "-a", "flat", "-f", "json").stdout)
    assert found["pools"][0]["plan"]["said"] == "nothing has to be done"
    assert run("liquidate", *short, "-a", "flat").exit_code == ExitCode.OK
    table = run("liquidate", *short, "-a", "flat").stdout
    assert table.count("no need") == 3
    assert "makes no move" in table


def test_nothing_to_close_is_said(short: tuple[str, str]) -> None:
    done = run("liquidate", *short, "-r", "deribit-portfolio", "-a", "flat", "-f", "table")
    assert done.exit_code == ExitCode.OK


def test_the_page_holds_both_paths(short: tuple[str, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run("liquidate", *short, "-f", "html", "-o", str(page), "-p", "hyperliquid-cross", "-r", "reference")
    assert done.exit_code == ExitCode.OK, done.output
    text = page.read_text(encoding="utf-8")
    assert "curve plan" in text
    assert "curve venue" in text
    assert "procedure of hyperliquid-cross" in text
    assert "<script" not in text


def test_a_venue_without_a_procedure_is_told(short: tuple[str, str], tmp_path: Path) -> None:
    poorer = edited(
        short[0], tmp_path / "poor.json", lambda d: d["accounts"].pop(0) if d["accounts"][0]["id"] == "flat" else None
    )
    done = run("liquidate", poorer, short[1], "-r", "binance-usdm", "-a", "one-perp")
    assert done.exit_code == ExitCode.OK, done.output
    assert "the document has no steps" in done.stdout


@pytest.mark.parametrize(
    ("books", "said"),
    [
        ({"NONE-PERP": BOOK}, "does not list"),
        ({"BTCUSDT": {"bids": [[1.0, 1.0], [2.0, 1.0]]}}, "must fall"),
        ({"BTCUSDT": {"asks": [[2.0, 1.0], [1.0, 1.0]]}}, "must rise"),
        ({"BTCUSDT": {"bids": [[2.0, 1.0]], "asks": [[1.0, 1.0]]}}, "not below the best ask"),
        ({"BTCUSDT": {"bids": [[-1.0, 1.0]]}}, "above 0"),
        ({"BTCUSDT": {"bids": [[1.0]]}}, "depth document"),
        ({"BTCUSDT": {"bid": []}}, "depth document"),
        ({"BTCUSDT": {}}, "no levels"),
        ({"BTCUSDT": {"bids": [], "asks": []}}, "no levels"),
        ([], "depth document"),
    ],
)
def test_a_bad_book_is_refused(short: tuple[str, str], tmp_path: Path, books: object, said: str) -> None:
    done = run("liquidate", *short, "--depth", depth_file(tmp_path, books))
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert said in " ".join(done.output.split())


def test_a_depth_file_that_is_absent_or_no_json_is_refused(short: tuple[str, str], tmp_path: Path) -> None:
    assert run("liquidate", *short, "--depth", str(tmp_path / "none.json")).exit_code == ExitCode.INPUT_REFUSED
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    assert run("liquidate", *short, "--depth", str(tmp_path / "bad.json")).exit_code == ExitCode.INPUT_REFUSED


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--hedge", "NONE:1"), ExitCode.INPUT_REFUSED),
        (("--hedge", "BTCUSDT"), ExitCode.USAGE),
        (("--hedge", "BTCUSDT:-1"), ExitCode.USAGE),
        (("--lot", "NONE:1"), ExitCode.INPUT_REFUSED),
        (("--lot", "BTCUSDT:0"), ExitCode.USAGE),
        (("--lot", "BTCUSDT:0.1@3"), ExitCode.USAGE),
        (("--state", "gas"), ExitCode.USAGE),
        (("--state", "nobody=5"), ExitCode.USAGE),
        (("--spread", "x"), ExitCode.USAGE),
        (("--volume", "0"), ExitCode.INPUT_REFUSED),
        (("-a", "nobody"), ExitCode.INPUT_REFUSED),
        (("-r", "nothing-like-it"), ExitCode.RULEBOOK),
        (("-p", "nothing-like-it"), ExitCode.RULEBOOK),
    ],
)
def test_bad_words_are_refused(short: tuple[str, str], words: tuple[str, ...], code: ExitCode) -> None:
    assert run("liquidate", *short, *words).exit_code == code
