import subprocess
import sys

import numpy as np
import pytest

from crossmargin import kernels
from crossmargin.bench import machine, peers, timing
from crossmargin.bench.aims import MILLION, with_aims
from crossmargin.bench.peers import PEERS, Blocks, absent, versions
from crossmargin.bench.result import DifferentResultError, check_same, result
from crossmargin.kernels.engine import serving


def test_contenders_take_turns_and_the_first_turn_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(timing, "timed", lambda call: (float(len(calls)), call()))
    contenders = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    taken = timing.take_turns(contenders, 3, 1e9)
    assert calls == ["a", "b"] * 4
    assert taken == {"a": 4.0, "b": 5.0}  # of 2, 4, 6 and of 3, 5, 7


def test_what_is_slow_gets_one_turn_that_counts() -> None:
    calls: list[int] = []
    timing.take_turns({"a": lambda: calls.append(1)}, 100, enough=0.0)
    assert len(calls) == 2


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 0.0), (0.5, 50.0), (0.999, 99.0), (1.0, 99.0)])
def test_percentiles_are_values(share: float, wanted: float) -> None:
    assert timing.percentile([float(n) for n in range(100)], share) == wanted


def test_each_call_is_timed_and_sorted() -> None:
    given: list[int] = []
    taken = timing.each_call(given.append, [(n,) for n in range(20)])
    assert given == list(range(20))
    assert taken == sorted(taken)
    assert all(seconds > 0 for seconds in taken)


@pytest.mark.usefixtures("kernel_kept")
def test_a_call_runs_on_so_many_threads() -> None:
    assert timing.on_threads(1, kernels.threads_in_use)() == 1
    assert serving()[1] == 1


def test_different_results_end_the_run() -> None:
    ones = np.ones(3)
    assert check_same("w", ones, ones * (1 + 1e-14), 1.0) == pytest.approx(1e-14, rel=0.2)
    for other in (ones * 1.1, ones * np.nan):
        with pytest.raises(DifferentResultError, match="w: results differ"):
            check_same("w", ones, other, 1.0)


def test_the_quickest_peer_is_the_peer_and_all_are_told() -> None:
    row = result("w", 1, 2.0, peers={"slow": 9.0, "quick": 4.0}, limit=("L2 reads", 1.0), accounts=5)
    assert (row.peer, row.peer_seconds, row.peer_ratio) == ("quick", 4.0, 2.0)
    assert (row.limit, row.limit_fraction) == ("L2 reads", 0.5)
    assert row.detail == {"peers": {"slow": 9.0, "quick": 4.0}, "accounts": 5}
    assert result("w", 1, None).peer_ratio is None


def test_aims_are_judged_with_scaling_over_threads() -> None:
    rows = [result("tick", n, s, peers={"bare": 0.05}, accounts=MILLION, rulebook="x") for n, s in ((1, 0.2), (4, 0.1))]
    one, four = with_aims(rows)
    assert {aim.what: aim.reached for aim in one.aims} == {"the bare kernel's time": False, "one thread": True}
    assert four.detail["scaling"] == pytest.approx(2.0)
    assert {aim.what: aim.reached for aim in four.aims} == {
        "the bare kernel's time": True,
        "all threads": False,
        "scaling over threads": False,
    }


def test_seconds_are_not_judged_with_fewer_accounts_and_fewer_cores_are_told() -> None:
    rows = [result("formula", n, 0.3, accounts=1_000, rulebook="x") for n in (1, 2)]
    _, two = with_aims(rows)
    (aim,) = two.aims
    assert aim.reached is None
    assert aim.what == "all threads, on 2 of 4 cores"
    scaled = with_aims([result("worst_loss", n, 1.0 / n, accounts=1_000) for n in (1, 2)])[1]
    assert [(aim.bound, aim.reached) for aim in scaled.aims if "scaling" in aim.what] == [(1.6, True)]


def test_blocks_of_sparse_rows_are_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_CELLS", 10)  # two rows to a block
    rng = np.random.default_rng(0)
    scale, index = rng.normal(size=50), rng.integers(0, 7, 50).astype(np.uint16)
    starts, matrix = np.array([0, 3, 10, 49]), rng.normal(size=(7, 5))
    blocks = Blocks(scale, index, starts, (7, 5))
    wanted = np.add.reduceat(scale[:, None] * matrix[index], starts).min(axis=1)
    assert len(blocks.rows) == 2
    for threads in (1, 2):
        assert blocks.each(matrix, lambda rows: rows.min(axis=1), threads) == pytest.approx(wanted, rel=1e-12)


def test_peers_are_here_or_named_as_absent() -> None:
    assert set(absent()) | set(versions()) == set(PEERS)


def test_a_peer_that_lacks_what_it_needs_itself_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "scipy" not in absent()
    monkeypatch.setitem(PEERS, "scipy", "scipy.no_such_part")
    assert "scipy" in absent()


@pytest.mark.skipif(len(kernels.kernels_here()) == 1, reason="no compiled kernel here")
def test_the_limits_of_two_cores_are_probed() -> None:
    level = kernels.kernels_here()[-1].removeprefix("native-")
    found = machine.probe_limits(2, level)
    assert found.cores == 2
    assert found.read_bytes > 1e8
    assert found.multiply_adds > 1e8


def test_a_probe_that_fails_is_told() -> None:
    with pytest.raises(OSError, match="ended with code"):
        machine.probe_limits(1, "no such level")


def test_the_machine_is_named() -> None:
    found = machine.machine()
    assert found["cores"] >= 1
    assert found["numpy"] == np.__version__


def test_help_of_the_command_loads_nothing_of_the_benchmark() -> None:
    module, room = "crossmargin.cli.commands.bench", "crossmargin.bench"
    script = f"import {module}, sys; print([name for name in sys.modules if name.startswith('{room}')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
