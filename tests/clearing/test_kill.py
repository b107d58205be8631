"""A writer that is killed at any moment loses nothing that it has acknowledged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING

import pytest

from crossmargin.clearing import recover
from crossmargin.clearing.ledger import total
from tests.clearing.conftest import open_journal
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.clearing.servers import Server

LONGEST = 0.04  # seconds of a child's life after its first acknowledgement


def killed(backend: tuple[str, str], times: int, seed: int) -> int:
    """Kill a writer again and again; the commands that were acknowledged."""
    rng = random.Random(seed)
    command = [sys.executable, "-m", "tests.clearing.mortal", *backend]
    acknowledged = 0
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for turn in range(times):
            process.stdin.write(f"{seed * 10_000 + turn}\n")
            process.stdin.flush()
            _, pid, dropped = process.stdout.readline().split(maxsplit=2)
            assert json.loads(dropped) == "", f"life {turn}"
            time.sleep(rng.random() * LONGEST)
            os.kill(int(pid), signal.SIGKILL)
            acknowledged = max(acknowledged, last_words(process.stdout))
            check(backend, acknowledged)
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    return acknowledged


def last_words(lines: IO[str]) -> int:
    """What the child acknowledged before it died."""
    heard = 0
    for line in lines:
        word, number = line.split()
        if word == "dead":
            return heard
        heard = max(heard, int(number))
    pytest.fail("the process that forks writers ended")


def check(backend: tuple[str, str], acknowledged: int) -> None:
    journal = open_journal(*backend, take_over=backend[0] == "postgres")
    recovery = recover(journal)
    state = recovery.replayed.state
    assert recovery.dropped == ""
    assert state.sources.get("desk", 0) >= acknowledged
    assert journal.sources() == state.sources
    assert total((owner, *key, n) for owner, held in state.balances.items() for key, n in held.items()) == {}
    journal.close()


def test_what_was_acknowledged_survives_kill_9(backend: tuple[str, str]) -> None:
    assert killed(backend, 6, seed=1) > 0


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(50))
def test_what_was_acknowledged_survives_a_thousand_kills(backend: tuple[str, str], part: int) -> None:
    assert killed(backend, 20, seed=100 + part) > 0  # 50 journals killed 20 times each, on each back end


def test_what_was_acknowledged_survives_the_death_of_the_server(server: Server) -> None:
    backend = ("postgres", f"{server.conninfo}|mortal")
    for turn in range(2):
        killed(backend, 1, seed=20 + turn)
        server.stop("immediate")
        server.start()
        check(backend, 0)
