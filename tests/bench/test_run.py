import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from crossmargin import kernels
from crossmargin.bench import curves, machine, run, setting
from crossmargin.bench.peers import Blocks
from crossmargin.bench.result import DifferentResultError
from crossmargin.bench.works import WORKS
from crossmargin.cli import main
from crossmargin.cli.exit_codes import ExitCode
from crossmargin.cli.tables.bench import duration, figure
from crossmargin.kernels.engine import serving
from scripts import bench_pages

ROW = {"work", "threads", "seconds", "peer", "peer_seconds", "peer_ratio", "limit", "limit_seconds", "limit_fraction"}
COMPILED = {"tick", "formula", "tick_one_underlying", "what_if", "what_if_batch"}
native = pytest.mark.skipif(serving()[0] == "numpy", reason="the NumPy kernel serves")


def bench(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["bench", "--quick", "--accounts", "1000", *words])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """A whole run of a thousand accounts."""
    code, out, err = bench("--threads", "2", "--format", "json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_every_work_gives_rows_or_says_why_not(document: dict[str, Any]) -> None:
    done = {row["work"] for row in document["results"]}
    skipped = {row["work"] for row in document["skipped"]}
    assert done | skipped == set(WORKS)
    assert not done & skipped
    assert skipped <= (COMPILED if serving()[0] == "numpy" else set())


def test_rows_hold_the_promised_keys(document: dict[str, Any]) -> None:
    assert {"machine", "kernel", "limits", "results", "peers", "peers_absent"} <= set(document)
    for row in document["results"]:
        assert set(row) == ROW | {"detail", "aims"}
        assert row["seconds"] is None or row["seconds"] > 0


def test_kernels_are_timed_on_one_and_on_all_threads(document: dict[str, Any]) -> None:
    here = min(2, machine.processors())
    assert [row["threads"] for row in document["results"] if row["work"] == "worst_loss"] == [1, 2][:here]


def test_no_more_threads_are_timed_than_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "processors", lambda: 1)
    code, out, err = bench("--threads", "9", "--work", "worst_loss", "--format", "json")
    assert code == 0
    assert "on 1 threads: this process may use no more processors" in err
    assert {row["threads"] for row in json.loads(out)["results"]} == {1}
    assert [limits["cores"] for limits in json.loads(out)["limits"]] in ([1], [])


def test_what_was_compared_is_the_same(document: dict[str, Any]) -> None:
    differences = [row["detail"]["difference"] for row in document["results"] if "difference" in row["detail"]]
    assert len(differences) >= 4
    assert all(difference < 1e-9 for difference in differences)


def test_a_contender_that_gives_something_else_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blocks, "each", lambda *_: 1.0)
    with pytest.raises(DifferentResultError):
        run.run_bench(run.make_setting(quick=True, accounts=1_000, threads=1), ["worst_loss"], lambda _: None)


def test_the_kernel_is_the_same_afterwards() -> None:
    before = serving()
    code, _, _ = bench("--work", "revalue")
    assert code == 0
    assert serving() == before


def test_tables_are_drawn_and_what_is_left_out_is_told() -> None:
    code, out, err = bench("--work", "revalue", "--work", "memory")
    assert code == 0
    assert "of the arithmetic limit" in out or kernels.kernel_name().startswith("numpy")
    assert "bytes an account, laid out" in out
    assert err.splitlines() == ["timing revalue", "timing memory"]


@pytest.mark.parametrize(("words", "kind"), [((), "work"), (("--curves",), "curve")])
def test_unknown_names_are_refused_with_the_known_ones(words: tuple[str, ...], kind: str) -> None:
    code, _, err = bench("--work", "nothing", *words)
    assert code == ExitCode.USAGE
    assert f"there is no {kind} 'nothing'" in err


@native
def test_curves_grow_with_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "_ACCOUNTS", (1_000, 2_000))
    monkeypatch.setattr(curves, "_SCENARIOS", (16, 64))
    monkeypatch.setattr(curves, "_LEGS", (1, 20))
    monkeypatch.setattr(curves, "_MOST_AT_ONCE", 1_000)
    chosen = replace(run.make_setting(quick=True, accounts=1_000, threads=2), repetitions=1)
    found = run.run_curves(chosen, (), lambda _: None)
    by_name = {(one.curve, one.work, one.threads): one for one in found["curves"]}
    assert by_name["accounts", "tick", 1].at == (1_000, 2_000)
    assert by_name["scenarios", "worst_loss", 2].at == (16, 64)
    legs = by_name["legs", "engine", 1].at
    assert legs[0] < 5 < legs[1]
    assert by_name["threads", "tick", 0].at == (1, 2)
    assert all(seconds > 0 for one in found["curves"] for seconds in one.seconds)


def test_pages_are_made_of_kept_results(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    line = {"curve": "scenarios", "work": "worst_loss", "threads": 1, "at": [16, 64], "seconds": [1e-3, 4e-3], "per": 9}
    both = {**line, "curve": "threads", "threads": 0}
    of_curves = {**document, "curves": [line, {**line, "threads": 2}, both]}
    for picture in (bench_pages.ratios_picture(document), bench_pages.curves_picture(of_curves)):
        assert ET.fromstring(picture).tag.endswith("svg")  # noqa: S314  # our own
    monkeypatch.setattr(bench_pages, "newest", lambda _: document)
    table = bench_pages.bench_table()
    assert all(f"`{row['work']}`" in table for row in document["results"])


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.2e-6, "4.2 µs"), (1e-8, "10 ns")]
)
def test_times_are_told_in_a_unit_that_reads_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(0.6, "%", "60 %"), (2e6, "/s", "2 M/s"), (3e-6, "s", "3 µs"), (9.5, "x", "9.5 x")]
)
def test_figures_stand_in_their_unit(value: float, unit: str, text: str) -> None:
    assert figure(value, unit) == text


def test_stages_are_made_once() -> None:
    chosen = setting.Setting(1_000, 1, (1,), quick=True, limits={}, enough=0.0)
    assert chosen.stage() is chosen.stage()
