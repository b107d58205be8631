"""Commands whose analysis is slow or rich: what they do with its results, on results made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crossmargin.cli import calls, main
from crossmargin.cli.calls import Loaded, Wanted
from crossmargin.cli.exit_codes import ExitCode
from crossmargin.errors import Failure, FailureReason
from tests.cli import fakes

DEMO = Path("src/crossmargin/cli/demo")


@pytest.fixture
def demo(root: Path) -> tuple[str, str]:
    return str(root / DEMO / "accounts.json"), str(root / DEMO / "snapshot.json")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the commands asked for, the analysis replaced by results made by hand."""
    asked: dict[str, Any] = {}

    def what_if(_account: object, _snapshot: object, _rules: object, wanted: Wanted, _age: float = 0.0) -> object:
        asked["wanted"] = wanted
        none = dict.fromkeys(calls.DIFFERENCES, 0.0)
        both = {"before": fakes.report(), "after": fakes.report()}
        return SimpleNamespace(**both, **none, lines={}, fees={}, marginal=())

    monkeypatch.setattr(calls, "explanation", lambda *_: fakes.explanation())
    monkeypatch.setattr(calls, "what_if", what_if)
    return asked


def run(*words: str) -> Result:
    done = CliRunner().invoke(main, list(words))
    assert "Traceback" not in done.output
    return done


@pytest.mark.usefixtures("seen")
def test_explain_in_every_form(demo: tuple[str, str]) -> None:
    words = ("explain", *demo, "-a", "desk")
    assert "Liquidation prices" in run(*words).stdout
    assert len(run(*words, "--all").stdout) >= len(run(*words).stdout)
    assert json.loads(run(*words, "-f", "json").stdout)["required_capital"] == fakes.explanation().required_capital
    assert run(*words, "-f", "html").stdout.startswith("<!doctype html>")
    assert run("assess", *demo, "-a", "desk", "-f", "html").stdout.startswith("<!doctype html>")


def test_what_if_hands_over_every_piece(demo: tuple[str, str], seen: dict[str, Any]) -> None:
    words = (
        "--add",
        "BTC-PERPETUAL:+10@70000",
        "--order",
        "BTCUSDT:-5@70000",
        "--deposit",
        "USDC:1",
        "--shock",
        "vol=5%",
    )
    done = run("what-if", *demo, "-a", "desk", *words, "--fee", "5bp")
    assert done.exit_code == ExitCode.OK, done.output
    wanted = seen["wanted"]
    assert (len(wanted.trades), len(wanted.orders), wanted.fee, wanted.moves.vol) == (1, 1, 0.0005, 0.05)
    found = json.loads(run("what-if", *demo, "-a", "desk", *words, "-f", "json").stdout)
    assert found["differences"]["equity"] == 0
    assert {"schema_version", "engine_version", "rulebook", "as_of", "before", "after"} <= set(found)


def test_compare_shows_refusals_by_reason(demo: tuple[str, str]) -> None:
    words = ("compare", *demo, "-a", "desk", "-r", "reference", "-r", "binance-usdm")
    done = run(*words)
    assert done.exit_code == ExitCode.OK
    assert "out_of_scope" in done.stdout
    rows = json.loads(run(*words, "-f", "json").stdout)["rows"]
    assert [row["failure"] is None for row in rows] == [True, False]


def test_reconcile_shows_the_residual(demo: tuple[str, str]) -> None:
    words = ("reconcile", *demo, "-a", "one-perp", "-r", "binance-usdm")
    assert "residual" in run(*words).stdout
    rows = {row["name"]: row for row in json.loads(run(*words, "-f", "json").stdout)["rows"]}
    assert abs(rows["equity"]["residual"]) < 0.01
    assert abs(rows["maintenance_margin"]["residual"]) < 0.01
    assert rows["initial_margin"]["reported"] is None


def test_reconcile_sets_positions_beside_ours(demo: tuple[str, str], tmp_path: Path) -> None:
    content = json.loads(Path(demo[0]).read_text(encoding="utf-8"))
    account = next(one for one in content["accounts"] if one["id"] == "one-perp")
    symbol = account["positions"][0]["instrument"]
    account["reported"] = {"positions": [{"instrument": symbol, "maintenance_margin": 1, "liquidation_price": 1}]}
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    words = ("reconcile", str(file), demo[1], "-a", "one-perp", "-r", "binance-usdm", "-f", "json")
    rows = [row for row in json.loads(run(*words).stdout)["rows"] if row["instrument"] == symbol]
    assert {row["name"] for row in rows} == {"maintenance_margin", "liquidation_price"}
    assert all(row["computed"] is not None for row in rows)


@pytest.mark.parametrize(("failures", "code"), [([], ExitCode.OK), ([{"case": "1"}], ExitCode.DIFFERENCES)])
def test_conformance_ends_with_what_it_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failures: list[Any], code: int
) -> None:
    family = {"family": "f", "kind": "k", "reproduced": 1, "total": 2, "worst_residual": 0.1, "failures": failures}
    monkeypatch.setattr(calls, "conformance", lambda _: {"families": [family]})
    assert run("conformance", str(tmp_path)).exit_code == code
    assert json.loads(run("conformance", str(tmp_path), "-f", "json").stdout)["families"] == [family]


@pytest.mark.usefixtures("seen")
def test_the_demo_runs_and_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "demo-report.html"
    done = run("demo", "--output", str(page))
    assert done.exit_code == ExitCode.OK, done.output
    assert str(page) in done.stdout
    assert "mission-put: together" in done.stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_id_that_stands_twice_is_refused() -> None:
    failure = Failure(FailureReason.MALFORMED_INPUT, "what", "a")
    market: Any = None
    with pytest.raises(Exception, match="more than once"):
        calls.choose_one(Loaded((failure, failure), market), None)
    with pytest.raises(Exception, match="what"):
        calls.choose_one(Loaded((failure,), market), "a")
