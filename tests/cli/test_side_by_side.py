"""What stands side by side on a terminal: no figure rounded away, every refusal under its venue's label."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console, RenderableType

from crossmargin.analysis.compare import ComparisonRow
from crossmargin.analysis.drivers import Driver
from crossmargin.analysis.preview import LineChange, PreviewRow
from crossmargin.cli import main, numbers
from crossmargin.cli.exit_codes import ExitCode
from crossmargin.cli.tables.compare import comparison_tables
from crossmargin.cli.tables.preview import preview_tables
from crossmargin.margin.report import AccountState, RulebookId

DEMO = Path("src/crossmargin/cli/demo")


def run(*words: str) -> Result:
    done = CliRunner().invoke(main, list(words))
    assert "internal error" not in done.output, done.output
    return done


def written(into: Path, document: object) -> str:
    into.write_text(json.dumps(document), encoding="utf-8")
    return str(into)


def accounts(into: Path, *documents: dict[str, Any]) -> str:
    return written(into, {"accounts": list(documents)})


def drawn(sheets: Iterable[RenderableType]) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False, emoji=False)
    for sheet in sheets:
        console.print(sheet)
    file: Any = console.file
    text: str = file.getvalue()
    assert max(cell_len(line) for line in text.splitlines()) <= 100
    assert "…" not in text
    return text


@pytest.fixture
def snapshot(root: Path) -> str:
    return str(root / DEMO / "snapshot.json")


# --- amounts in coins


def in_coins(snapshot: str, into: Path, coin: str = "BTC") -> str:
    """The demo's market with every asset priced in a coin."""
    document = json.loads(Path(snapshot).read_text(encoding="utf-8"))
    price = document["assets"][coin]["price"]
    document["reporting_asset"] = coin
    document["assets"]["USD"] = {"price": 1.0}
    for quote in document["assets"].values():
        for field in {"price", "stable_price"} & set(quote):
            quote[field] /= price
    return written(into, document)


@pytest.mark.parametrize(
    ("value", "asset", "told", "signed"),
    [
        (1234.6, "USD", "1,235", "+1,235"),
        (-0.3, "USDC", "0", "0"),
        (0.3, "USD", "0", "0"),
        (0.3, "BTC", "0.30000000", "+0.30000000"),
        (-0.00012345, "ETH", "-0.00012345", "-0.00012345"),
        (float("inf"), "USD", "∞", "+∞"),
    ],
)
def test_money_is_rounded_to_whole_units_and_coins_are_not(value: float, asset: str, told: str, signed: str) -> None:
    assert numbers.rounded(value, asset) == told
    assert numbers.rounded(value, asset, sign=True) == signed
    assert numbers.rounded(None, asset) == "-"


def verdict(name: str, asset: str, tied: float) -> ComparisonRow:
    drivers = (
        Driver(name="BTC-PERP", initial_margin=tied, not_credited=0.0),
        Driver(name="ETH", initial_margin=1e-12, not_credited=0.0),
    )
    return ComparisonRow(
        rulebook=RulebookId(name=name, effective_from=date(2026, 1, 1), digest="0" * 64),
        reporting_asset=asset,
        state=AccountState.HEALTHY,
        required_capital=tied,
        initial_margin=tied,
        maintenance_margin=tied / 2,
        maintenance_headroom=-tied,
        coverage_ratio=2.0,
        drivers=drivers,
    )


def test_rulebooks_are_compared_in_the_digits_of_the_reporting_asset() -> None:
    text = drawn(comparison_tables("a", [verdict("one", "BTC", 0.11), verdict("two", "BTC", 0.14)]))
    assert "0.11000000" in text
    assert "BTC-PERP +0.03000000" in text
    assert "ETH" not in text  # nothing that shows as 0
    text = drawn(comparison_tables("a", [verdict("one", "USD", 1100.4), verdict("two", "USD", 1400.6)]))
    assert "1,100 " in text
    assert "BTC-PERP +300" in text
    assert "1,100.4" not in text


def test_a_change_of_rulebook_is_told_in_the_digits_of_the_reporting_asset() -> None:
    figures: dict[str, Any] = {"state_before": AccountState.HEALTHY, "state_after": AccountState.HEALTHY}
    row = PreviewRow(
        account="a",
        reporting_asset="BTC",
        initial_before=0.01,
        initial_after=0.0125,
        maintenance_before=0.005,
        maintenance_after=0.00625,
        available_before=1.0,
        available_after=0.9975,
        lines=(LineChange(line="scan", before=0.01, after=0.0125),),
        **figures,
    )
    text = drawn(preview_tables([row]))
    for wanted in ("the accounts, BTC", "0.01250000", "0.00250000", "0.00125000", "scan", "+0.00250000"):
        assert wanted in text


def test_commands_that_compare_show_coins(snapshot: str, tmp_path: Path) -> None:
    market = in_coins(snapshot, tmp_path / "in_btc.json")
    book = str(Path(snapshot).with_name("accounts.json"))
    words = ("compare", book, market, "-a", "one-perp", "-r", "reference", "-r", "derive-portfolio")
    rows = json.loads(run(*words, "-f", "json").stdout)["rows"]
    assert 0 < rows[0]["initial_margin"] < 0.5
    assert f"{rows[0]['initial_margin']:.8f}" in run(*words).stdout
    dates = ("derive-portfolio@2026-02-03", "derive-portfolio@2026-08-20")
    changed = run("rulebooks", "diff", *dates, "--on", book, market, "-f", "json")
    found = {row["account"]: row for row in json.loads(changed.stdout)["accounts"]}["one-perp"]
    assert found["reporting_asset"] == "BTC"
    assert f"{found['initial_after']:.8f}" in run("rulebooks", "diff", *dates, "--on", book, market).stdout


# --- accounts at several venues


def test_files_without_accounts_are_told(snapshot: str, tmp_path: Path) -> None:
    empty = accounts(tmp_path / "a.json")
    done = run("overview", snapshot, "--venue", "A", empty, "reference", "--venue", "B", empty, "reference")
    assert done.exit_code == ExitCode.OK
    assert done.stdout.strip() == "the files hold no accounts"


def test_an_account_that_cannot_be_read_stands_under_its_venue(snapshot: str, tmp_path: Path) -> None:
    good = accounts(tmp_path / "a.json", {"id": "fine", "balances": {"USD": "1"}})
    bad = accounts(tmp_path / "b.json", {"id": "odd", "balances": {"USD": "many"}})
    words = ("overview", snapshot, "--venue", "first", good, "reference", "--venue", "second", bad, "reference")
    done = run(*words)
    assert done.exit_code == ExitCode.SOME_REFUSED
    (line,) = [line for line in done.stdout.splitlines() if "odd" in line]
    assert line.startswith("second")
    (failure,) = json.loads(run(*words, "-f", "json").stdout)["failures"]
    assert (failure["venue"], failure["account"], failure["reason"]) == ("second", "odd", "malformed_input")


def test_what_one_venues_rulebook_lacks_names_the_venue(snapshot: str, tmp_path: Path) -> None:
    document = json.loads(Path(snapshot).read_text(encoding="utf-8"))
    del document["assets"]["USDC"]
    market = written(tmp_path / "market.json", document)
    book = accounts(tmp_path / "a.json", {"id": "a", "balances": {"USD": "1"}})
    venues = ("--venue", "ours", book, "reference", "--venue", "theirs", book, "derive-portfolio")
    done = run("overview", market, *venues)
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "venue theirs: asset USDC has no price" in done.stderr
