"""`reconcile` with what a venue answered: the table as it is printed, the document, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crossmargin.cli import main
from crossmargin.cli.commands import reconcile as command
from crossmargin.cli.exit_codes import ExitCode
from crossmargin.sources.reported import REPORTED_SOURCES
from scripts.docs_examples import blocks
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "how-to" / "reconcile.md"
WORDS = ("--rulebook", "okx-portfolio@2025-01-15", "--reported", "answer.json")


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the page on this command, in the working directory."""
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        if block.title is not None:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def run(*words: str) -> Result:
    done = CliRunner().invoke(main, ["reconcile", "desk-accounts.json", "desk-snapshot.json", *words])
    assert "Traceback" not in done.output
    return done


def edited(change: Any, name: str = "answer.json") -> None:  # noqa: ANN401 - a function of any document
    document = json.loads(Path(name).read_text(encoding="utf-8"))
    change(document)
    Path(name).write_text(json.dumps(document), encoding="utf-8")


def line_of(text: str, start: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return " ".join(found.split())


def test_the_table_names_what_carries_each_residual() -> None:
    text = run(*WORDS).stdout
    assert line_of(text, "maintenance margin") == "maintenance margin 1,413.00 1,408.00 5.00 from mr4 of BTC +5"
    assert line_of(text, "mr4 BTC" if "mr4 BTC" in text else "mr4  BTC").endswith("25.00 20.00 5.00")
    assert line_of(text, "mr1  LTC") == "mr1 LTC 180.00 180.00 0.00"
    assert "9 of 9 scenarios agree" in text
    assert "mr2" not in text  # 0 there, and no line of the rulebook
    assert "note coverage ratio" in text


def test_the_document_holds_every_row_and_the_notes() -> None:
    found = json.loads(run(*WORDS, "-f", "json").stdout)
    rows = {(row["name"], row["bucket"]): row for row in found["rows"] if row["scenario"] is None}
    assert rows["initial_margin", None]["by_line"] == pytest.approx({"mr4 of BTC": 6.5})
    assert rows["initial_margin", None]["unexplained"] == pytest.approx(0.0, abs=1e-9)
    assert rows["mr4", "BTC"]["lines"] == ["mr4_perpetual", "mr4_dated"]
    assert sum(row["scenario"] is not None for row in found["rows"]) == 10
    assert len(found["notes"]) == 1


def test_scenarios_that_differ_are_told_and_the_rest_counted() -> None:
    def change(document: Any) -> None:  # noqa: ANN401 - as above
        grid = document["data"][0]["riskUnitData"][0]["mr1Scenarios"]
        grid["volSame"] |= {"0.12": "-1190", "0.5": "3"}
        grid["volShockUp"] |= {"-0.12": "1201"}

    edited(change)
    text = run(*WORDS).stdout
    assert "7 of 10 scenarios agree, 1 not among the rulebook's" in " ".join(text.split())
    assert line_of(text, "mr1  BTC spot +0.12") == "mr1 BTC spot +0.12, vol same -1,190.00 -1,200.00 10.00"
    assert "spot -0.12, vol up" in text
    assert "more differ" not in text


def test_many_lines_and_many_scenarios_are_cut_aloud() -> None:
    def change(document: Any) -> None:  # noqa: ANN401 - as above
        answer = document["data"][0]
        answer["totalMmr"] = "1500"
        for unit in answer["riskUnitData"]:
            unit |= {"mr1": str(float(unit["mr1"]) + 10), "mr4": str(float(unit["mr4"]) + 3)}
        for grid in answer["riskUnitData"][0]["mr1Scenarios"].values():
            grid |= {move: str(float(pnl) + 1) for move, pnl in grid.items()}

    edited(change)
    text = run(*WORDS).stdout
    row = " ".join(text[text.index("maintenance margin") : text.index("available margin")].split())
    assert "from mr1 of" in row
    assert " more +" in row or " more -" in row
    assert "not explained" in row
    assert "0 of 9 scenarios agree" in text
    assert "5 more differ, by less" in text


def test_figures_by_pool_stand_alone_and_in_their_asset() -> None:
    answer = {"currency": "BTC", "equity": 1, "margin_balance": 1, "initial_margin": 0.2, "maintenance_margin": 0.1}
    Path("other.json").write_text(json.dumps({"result": answer}), encoding="utf-8")
    text = run("-r", "okx-portfolio@2025-01-15", "--reported", "other.json").stdout
    assert line_of(text, "initial margin").startswith("initial margin BTC 0.20000000 - - the rulebook makes")
    assert "makes other pools: cross" in " ".join(text.split())


def test_without_answers_the_accounts_own_block_is_read() -> None:
    edited(lambda document: document["accounts"][0].update(reported={"maintenance_margin": 1408}), "desk-accounts.json")
    text = run("-r", "okx-portfolio@2025-01-15").stdout
    assert line_of(text, "maintenance margin") == "maintenance margin 1,408.00 1,408.00 0.00"


def test_nothing_reported_is_said() -> None:
    assert "holds no reported figures" in run("-r", "okx-portfolio@2025-01-15").stdout


def test_a_wrong_value_is_refused_with_its_file_and_key() -> None:
    edited(lambda document: document["data"][0].update(totalImr=[1]))
    done = run(*WORDS)
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "answer.json: $.data[0].totalImr" in done.stderr
    done = run(*WORDS, "--reported-from", "binance")
    assert "no answer of binance" in done.stderr


def test_the_command_offers_every_reader() -> None:
    assert set(command._SOURCES) == set(REPORTED_SOURCES)
