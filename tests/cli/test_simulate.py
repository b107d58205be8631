"""`crossmargin simulate`: what a world came to, the same again from its seed, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossmargin.clearing.invariants import BrokenError, Watch
from crossmargin.cli.exit_codes import ExitCode
from tests.cli.test_commands import run

SMALL = ("simulate", "--rulebook", "hyperliquid-cross@2025-01-01", "--events", "150", "--seed", "3")


def test_a_run_is_counted_and_comes_out_the_same_again() -> None:
    one, other = (run(*SMALL, "-f", "json") for _ in range(2))
    assert one.exit_code == ExitCode.OK, one.output
    assert one.stdout == other.stdout
    (found,) = json.loads(one.stdout)["runs"]
    assert found["events"] >= 150
    assert found["counts"]["posted"] > 0
    assert found["seed"] == 3


def test_a_calm_world_says_that_nobody_was_called() -> None:
    done = run(*SMALL, "--stress", "0")
    assert done.exit_code == ExitCode.OK, done.output
    assert "every pool stayed healthy" in done.stdout
    assert "Stages" not in done.stdout


def test_recorded_prices_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    rows = [f"{60_000 * (1 - 0.01 * step)},{2_000 * (1 - 0.01 * step)}" for step in range(40)]
    path.write_text("\n".join(["BTC,ETH", *rows]), encoding="utf-8")
    done = run(*SMALL, "--events", "500", "--prices", str(path))
    assert done.exit_code == ExitCode.OK, done.output
    assert "liquidating" in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("BTC,ETH\n60000,abc\n", "line 2: expected a price in each of the columns BTC, ETH"),
        ("BTC\n60000\n", "line 2: expected a price in each of the columns BTC, ETH"),
        ("BTC,ETH\n60000,0\n", "line 2: a price is above 0"),
        ("BTC,ETH\n", "no prices"),
    ],
)
def test_prices_that_are_none_are_named_by_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text, encoding="utf-8")
    done = run(*SMALL, "--prices", str(path))
    assert done.exit_code == ExitCode.USAGE
    assert says in done.stderr


def test_a_broken_invariant_names_the_seed_and_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Watch.see

    def see(self: Watch, record: object, state: object) -> None:
        honest(self, record, state)  # type: ignore[arg-type]
        if self.number == 100:
            raise BrokenError("balances do not sum to 0")

    monkeypatch.setattr(Watch, "see", see)
    done = run(*SMALL)
    assert done.exit_code not in {ExitCode.OK, ExitCode.USAGE}
    assert "seed 3, rulebook hyperliquid-cross, step" in done.stderr
    assert "balances do not sum to 0" in done.stderr
