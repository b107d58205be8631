"""Names and books at the edge: what they hold is shown as it is, and nothing ends in an internal error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crossmargin.cli import main
from crossmargin.cli.exit_codes import ExitCode

DEMO = Path("src/crossmargin/cli/demo")
ODD = "[/x]<b>"


@pytest.fixture
def snapshot(root: Path) -> str:
    return str(root / DEMO / "snapshot.json")


def run(*words: str) -> Result:
    done = CliRunner().invoke(main, list(words))
    assert "internal error" not in done.output, done.output
    return done


def accounts(into: Path, *documents: dict[str, Any]) -> str:
    into.write_text(json.dumps({"accounts": list(documents)}), encoding="utf-8")
    return str(into)


def test_an_account_that_ties_nothing_up_is_a_page_too(tmp_path: Path, snapshot: str) -> None:
    book = accounts(tmp_path / "a.json", {"id": "cash", "balances": {"USD": "100"}})
    done = run("compare", book, snapshot, "-r", "reference", "-r", "bybit-portfolio", "-f", "html")
    assert done.exit_code == ExitCode.OK
    assert "cash under 2 rulebooks" in done.stdout


def test_brackets_in_names_are_text(tmp_path: Path, snapshot: str) -> None:
    book = accounts(tmp_path / "a.json", {"id": ODD, "balances": {"USD": "9"}}, {"id": "z", "balances": {"[/q]": "1"}})
    view = run("overview", snapshot, "--venue", "[/v]", book, "reference")
    assert view.exit_code == ExitCode.SOME_REFUSED
    assert all(name in view.stdout for name in ("[/v]", ODD, "asset [/q] has no price"))
    previewed = run("rulebooks", "diff", "deribit-portfolio@2024-04-01", "deribit-portfolio@2026-02-01",
                    "--on", book, snapshot)  # fmt: skip
    assert previewed.exit_code == ExitCode.DIFFERENCES
    assert "asset [/q] has no price" in previewed.stdout


def test_coins_are_written_with_their_digits(tmp_path: Path, root: Path) -> None:
    document = json.loads((root / DEMO / "snapshot.json").read_text(encoding="utf-8"))
    bitcoin = document["assets"]["BTC"]["price"]
    document["reporting_asset"] = "BTC"
    for quote in document["assets"].values():
        for field in {"price", "stable_price"} & set(quote):
            quote[field] /= bitcoin
    market = tmp_path / "in_btc.json"
    market.write_text(json.dumps(document), encoding="utf-8")
    book = accounts(tmp_path / "a.json", {"id": "cash", "balances": {"USD": "100"}})
    view = run("overview", str(market), "--venue", "A", book, "reference")
    assert f"{100 / bitcoin:.8f}" in view.stdout


@pytest.mark.parametrize("command", ["what-if", "basket"])
def test_a_position_that_is_no_number_is_refused_before_it_trades(tmp_path: Path, snapshot: str, command: str) -> None:
    for quantity in ("NaN", "1e999999"):
        position = {"instrument": "BTCUSDT", "quantity": quantity, "entry_price": quantity.replace("NaN", "1")}
        book = accounts(tmp_path / "a.json", {"id": "a", "balances": {"USDT": "1"}, "positions": [position]})
        done = run(command, book, snapshot, "--add" if command == "what-if" else "--leg", "BTCUSDT:+1")
        assert done.exit_code == ExitCode.INPUT_REFUSED
