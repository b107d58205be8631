"""A process whose children write a journal until they are killed; talks to its parent by lines.

``python -m tests.clearing.mortal KIND PLACE``: for each line ``SEED`` on stdin a child is forked, which recovers the
journal and goes on writing. It prints ``child PID DROPPED`` when it begins and ``ack SEQUENCE`` after each batch that
it was told is durable. Half of the children hand their batches to a thread that commits.
"""

from __future__ import annotations

import json
import os
import random
import sys

from crossmargin.clearing import House, recover
from crossmargin.sources.journals.pipeline import Pipeline
from tests.clearing import venue
from tests.clearing.conftest import open_journal
from tests.clearing.test_journals import command
from tests.clearing.venue import Desk, open_house


def say(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def live(kind: str, place: str, seed: int) -> None:
    """Write until killed."""
    rng = random.Random(seed)
    journal = open_journal(kind, place, take_over=kind == "postgres")  # a dead session may still hold its lock
    recovery = recover(journal)
    fresh = recovery.replayed.state.number == 0
    desk = open_house(journal=journal) if fresh else Desk(House(journal, venue.RICH, recovery.replayed))
    say("child", os.getpid(), json.dumps(recovery.dropped))
    if seed % 2:
        pipeline = Pipeline(desk.house, depth=4)
        while True:
            future = pipeline.put([command(desk, rng) for _ in range(rng.randint(1, 30))])
            future.add_done_callback(lambda done: say("ack", done.result()[-1].sequence))
    while True:
        desk.send_all([command(desk, rng) for _ in range(rng.randint(1, 30))])
        say("ack", desk.sequence)


def main(kind: str, place: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            live(kind, place, int(line))
        os.waitpid(child, 0)
        say("dead", child)


if __name__ == "__main__":
    main(*sys.argv[1:])
