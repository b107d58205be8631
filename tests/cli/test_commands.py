from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crossmargin.cli import main
from crossmargin.cli.exit_codes import ExitCode

DEMO = Path("src/crossmargin/cli/demo")


@pytest.fixture
def demo(root: Path) -> tuple[str, str]:
    return str(root / DEMO / "accounts.json"), str(root / DEMO / "snapshot.json")


def run(*words: str) -> Result:
    done = CliRunner().invoke(main, list(words))
    assert "Traceback" not in done.output
    return done


def edited(path: str, into: Path, change: Any) -> str:  # noqa: ANN401  # a function of any document
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    change(document)
    into.write_text(json.dumps(document), encoding="utf-8")
    return str(into)


def test_a_book_is_rows_and_json_holds_every_report(demo: tuple[str, str]) -> None:
    done = run("assess", *demo, "--format", "json")
    assert done.exit_code == ExitCode.OK
    found = json.loads(done.stdout)
    assert {"schema_version", "engine_version", "rulebook", "as_of", "accounts", "failures"} == set(found)
    assert [account["account"] for account in found["accounts"]] == [
        "desk", "mission-call", "mission-put", "flat", "one-perp",
    ]  # fmt: skip
    assert found["rulebook"]["name"] == "reference"
    flat = found["accounts"][3]
    assert (flat["initial_margin"], flat["maintenance_margin"], flat["coverage_ratio"]) == (0, 0, "inf")
    table = run("assess", *demo)
    assert "mission-put" in table.stdout


def test_one_account_is_a_report_whose_keys_are_the_report_s(demo: tuple[str, str]) -> None:
    alone = json.loads(run("assess", *demo, "-a", "one-perp", "-f", "json").stdout)
    assert alone["account"] == "one-perp"
    assert alone["pools"]
    book = json.loads(run("assess", *demo, "-f", "json").stdout)
    assert alone["initial_margin"] == book["accounts"][4]["initial_margin"]
    assert "Lines of the rulebook" in run("assess", *demo, "-a", "one-perp").stdout


def test_refused_accounts_are_rows_and_the_code_says_so(demo: tuple[str, str]) -> None:
    done = run("assess", *demo, "-r", "binance-usdm", "-f", "json")
    assert done.exit_code == ExitCode.SOME_REFUSED
    found = json.loads(done.stdout)
    assert {failure["account"] for failure in found["failures"]} == {"desk", "mission-call", "mission-put"}
    assert {failure["reason"] for failure in found["failures"]} == {"out_of_scope"}
    assert (
        run("assess", *demo, "-r", "binance-usdm", "-a", "desk", "-a", "mission-put").exit_code
        == ExitCode.INPUT_REFUSED
    )


def test_a_refused_account_alone_is_an_error_with_its_place(demo: tuple[str, str]) -> None:
    done = run("assess", *demo, "-r", "binance-usdm", "-a", "desk")
    assert (done.exit_code, done.stdout) == (ExitCode.INPUT_REFUSED, "")
    assert "refused (out_of_scope)" in done.stderr
    assert "where  account desk, instrument BTC-27MAR26-76000-C" in done.stderr
    assert "  do " in done.stderr


def test_an_error_is_json_where_json_was_asked_for(demo: tuple[str, str]) -> None:
    done = run("assess", *demo, "-r", "binance-usdm", "-a", "desk", "--format", "json")
    error = json.loads(done.stdout)["error"]
    assert error["reason"] == "out_of_scope"
    assert error["account"] == "desk"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-a", "nobody"), ExitCode.INPUT_REFUSED, "no account 'nobody'"),
        (("-r", "nonsense"), ExitCode.RULEBOOK, "unknown_rulebook"),
        (("-r", "reference@1999-01-01"), ExitCode.RULEBOOK, "not_effective"),
        (("-r", "missing.toml"), ExitCode.RULEBOOK, "missing.toml"),
        (("--format", "parquet"), ExitCode.USAGE, "--output"),
        (("--format", "html"), ExitCode.INPUT_REFUSED, "--account"),
        (("--max-quote-age", "1", "-a", "desk"), ExitCode.INPUT_REFUSED, "stale_quote"),
        (("--nonsense",), ExitCode.USAGE, "No such option"),
    ],
)
def test_what_goes_wrong_is_told(demo: tuple[str, str], words: tuple[str, ...], code: int, said: str) -> None:
    done = run("assess", *demo, *words)
    assert done.exit_code == code
    assert said in done.stderr


def test_a_bad_account_does_not_disturb_the_others(demo: tuple[str, str], tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["accounts"][0]["positions"][0]["quantity"] = "0"

    spoilt = edited(demo[0], tmp_path / "accounts.json", spoil)
    done = run("assess", spoilt, demo[1], "-f", "json")
    assert done.exit_code == ExitCode.SOME_REFUSED
    good, bad = (json.loads(run("assess", a, demo[1], "-f", "json").stdout) for a in (demo[0], spoilt))
    assert bad["accounts"] == good["accounts"][1:]
    assert [failure["reason"] for failure in bad["failures"]] == ["invalid_quantity"]


def test_a_rulebook_of_one_s_own_that_does_not_parse_names_its_line(demo: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("rulebook = {\n", encoding="utf-8")
    done = run("assess", *demo, "-r", str(path))
    assert done.exit_code == ExitCode.RULEBOOK
    assert "mine.toml" in done.stderr


def test_output_goes_to_a_file(demo: tuple[str, str], tmp_path: Path) -> None:
    for form in ("json", "table", "parquet"):
        path = tmp_path / f"out.{form}"
        done = run("assess", *demo, "-f", form, "-o", str(path))
        assert (done.exit_code, done.stdout) == (ExitCode.OK, "")
        assert path.stat().st_size > 100


def test_a_directory_that_is_not_there_is_told(demo: tuple[str, str], tmp_path: Path) -> None:
    done = run("assess", *demo, "-f", "json", "-o", str(tmp_path / "none" / "out.json"))
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "out.json" in done.stderr


def test_rulebooks_are_listed_and_shown_with_sources() -> None:
    listed = json.loads(run("rulebooks", "list", "-f", "json").stdout)["rulebooks"]
    assert all(entry["loads"] for entry in listed)
    assert "reference" in run("rulebooks", "list").stdout
    shown = json.loads(run("rulebooks", "show", "binance-usdm", "-f", "json").stdout)
    assert shown["numbers"]
    moved = json.loads(run("rulebooks", "show", "reference", "-f", "json").stdout)["numbers"]
    assert any(row["number"].startswith("scenarios.") for row in moved)  # those of scenarios too
    assert all(row["source"] for row in shown["numbers"])
    assert "Sources" in run("rulebooks", "show", "binance-usdm").stdout


def test_two_dates_are_compared() -> None:
    dates = ("deribit-portfolio@2024-04-01", "deribit-portfolio@2026-02-01")
    done = run("rulebooks", "diff", *dates, "-f", "json")
    assert done.exit_code == ExitCode.DIFFERENCES
    assert json.loads(done.stdout)["differences"]
    assert run("rulebooks", "diff", dates[0], dates[0]).exit_code == ExitCode.OK


def test_a_change_of_rulebook_is_previewed_on_a_book(demo: tuple[str, str]) -> None:
    dates = ("derive-portfolio@2026-02-03", "derive-portfolio@2026-08-20")
    done = run("rulebooks", "diff", *dates, "--on", *demo, "-f", "json")
    assert done.exit_code == ExitCode.DIFFERENCES
    found = {row["account"]: row for row in json.loads(done.stdout)["accounts"]}
    perpetual = found["one-perp"]
    assert perpetual["initial_after"] < perpetual["initial_before"]
    assert {line["line"] for line in perpetual["lines"]} >= {"scan", "risk"}
    assert found["desk"]["failure_after"]["reason"] == "out_of_scope"
    table = run("rulebooks", "diff", *dates, "--on", *demo).stdout
    assert "of 2 accounts 2 move: 0 require more initial margin, 1 less" in table
    assert "Refused: 3" in table
    same = run("rulebooks", "diff", dates[0], dates[0], "--on", *demo)
    assert same.exit_code == ExitCode.OK
    assert "of 2 accounts 0 move" in same.stdout


def test_shipped_rulebooks_pass_lint() -> None:
    for entry in json.loads(run("rulebooks", "list", "-f", "json").stdout)["rulebooks"]:
        done = run("rulebooks", "lint", f"{entry['name']}@{entry['effective_from']}")
        assert done.exit_code == ExitCode.OK, done.output


@pytest.mark.parametrize("name", ["accounts", "snapshot", "report", "book"])
def test_schemas_are_json(name: str) -> None:
    assert json.loads(run("schema", name).stdout)["title"] == name


def test_nothing_to_change_is_a_question(demo: tuple[str, str]) -> None:
    done = run("what-if", *demo, "-a", "desk")
    assert done.exit_code == ExitCode.USAGE
    assert "--shock" in done.stderr


def test_a_what_if_on_the_real_engine(demo: tuple[str, str]) -> None:
    words = ("what-if", *demo, "-a", "one-perp", "--add", "BTCUSDT:+0.5", "--shock", "BTC=-5%")
    found = json.loads(run(*words, "-f", "json").stdout)
    assert found["differences"]["equity"] < 0 < found["differences"]["initial_margin"]
    assert "Lines that changed" in run(*words).stdout


def test_a_shock_of_an_unknown_name_is_refused(demo: tuple[str, str]) -> None:
    done = run("what-if", *demo, "-a", "one-perp", "--shock", "BTCC=-5%")
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "BTCC" in done.stderr


def test_exact_figures_have_every_digit(demo: tuple[str, str]) -> None:
    words = ("assess", *demo, "-a", "one-perp", "-r", "dydx-v4", "--exact")
    found = json.loads(run(*words, "-f", "json").stdout)
    assert (found["account"], found["rulebook"].split("@")[0]) == ("one-perp", "dydx-v4")
    (pool,) = found["pools"]
    assert set(pool["requirements"]) == {"maintenance", "initial"}
    assert all("." in text and len(text.split(".")[1]) <= 6 for text in pool["requirements"].values())
    assert "/" in pool["equity"]  # USDC has a price, and nothing ends that is divided by it
    report = json.loads(run("assess", *demo, "-a", "one-perp", "-r", "dydx-v4", "-f", "json").stdout)
    assert float(pool["requirements"]["initial"]) == pytest.approx(report["initial_margin"], rel=1e-12)
    assert pool["lines"]["positions"]["initial"] == pool["requirements"]["initial"]
    table = run(*words).stdout
    assert pool["requirements"]["initial"] in table
    assert pool["equity"] in table


def test_what_is_not_exact_is_refused_with_its_line(demo: tuple[str, str]) -> None:
    done = run("assess", *demo, "-a", "one-perp", "--exact")
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "line joint: a line of kind scan has no exact result" in " ".join(done.stderr.split())
    assert run("assess", *demo, "--exact").exit_code == ExitCode.INPUT_REFUSED  # several accounts
    assert "--exact prints a table or JSON" in run("assess", *demo, "-a", "flat", "--exact", "-f", "html").stderr
