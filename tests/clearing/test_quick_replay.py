"""The quick way through a batch comes to the bytes of the plain one, and refuses what that refuses."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from crossmargin import kernels
from crossmargin.clearing import State
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Asked, Event, Indexed, Posted, Priced, Record, Refused, Stage, Staged
from crossmargin.clearing.quick_replay import fold_batch
from crossmargin.clearing.records import START, Batch, encode, link, make_batch, records_of
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.state import fold_all
from crossmargin.errors import FailureReason, InputError
from tests.clearing.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNERS = ("alice", "bob", "fees", "z\u00fcrich", 'a"b', "],[", "back\\slash")
BEGAN = datetime(2026, 1, 30, 23, 59, tzinfo=UTC)


def plainly(state: State, batch: Batch, previous: bytes) -> None:
    """What a batch means: the twin, in three words."""
    fold_all(state, records_of(batch, previous, state.number + 1))


def event(rng: random.Random) -> Event:
    match rng.randint(0, 40):
        case 0:
            return Refused(FailureReason.HALTED, "", "posted")
        case 1:
            return Priced({"BTC": c.Quote(price=rng.randint(1, 9))})
        case 2:
            return Indexed({"BTC-PERP": rng.randint(-9, 9)})
        case 3:
            return Staged("alice", Stage.HEALTHY, Stage.CALLED, {"equity": "-1"}, case="case")
        case 4:
            return Asked("case", rng.randint(1, 9), "order", {}, {}) if rng.random() < 0 else Posted("tick", None, ())
    rows = []
    for _ in range(rng.randint(0, 5)):
        amount = rng.choice((0, 1, -1, 1, -1, rng.randint(-99, 99), 2**63 - 1, -(2**63), 10**24, -(10**24)))
        owner = rng.choice(OWNERS[:4] if rng.random() < 0.9 else OWNERS)
        rows.append((owner, rng.choice(("wallet", "held")), rng.choice("XY"), amount))
    return Posted(rng.choice(("trade", "fund\u00e9e")), rng.choice((None, "case")), tuple(rows))


def batches(rng: random.Random, count: int) -> Iterator[Batch]:
    head, number, moment = START, 0, BEGAN
    for _ in range(count):
        lines = []
        for _ in range(rng.choice((1, 1, 2, 30))):
            number += 1
            moment += timedelta(seconds=rng.choice((0, 0.000001, 1, 40_000)))
            zone = rng.choice((UTC, UTC, UTC, timezone(timedelta(hours=2))))
            source = rng.choice(("feed", "desk"))
            lines.append(encode(Record(number, source, number, moment.astimezone(zone), "0.1.0", "digest", event(rng))))
        batch = make_batch(head, number - len(lines) + 1, lines, {})
        head = batch.head
        yield batch


@pytest.mark.parametrize("seed", range(30))
def test_a_batch_folds_to_the_same_bytes(seed: int) -> None:
    quick, slow, head = State(), State(), START
    for batch in batches(random.Random(seed), 12):
        fold_batch(quick, batch, head)
        plainly(slow, batch, head)
        head = batch.head
        assert quick == slow
        assert to_bytes(quick) == to_bytes(slow)


def test_a_world_folds_to_the_same_bytes_record_by_record() -> None:
    world = World(4).run(300)
    quick, head = State(), START
    for batch in world.desk.house.journal.batches():
        fold_batch(quick, batch, head)
        head = batch.head
    assert to_bytes(quick) == to_bytes(world.desk.house.state) == to_bytes(world.replica)


def outcome(way: Any, batch: Batch) -> tuple[bytes, str]:  # noqa: ANN401 - one of both ways
    state = State()
    try:
        way(state, batch, START)
    except InputError as error:
        return to_bytes(state), error.message
    except (AssertionError, KeyError) as error:  # a case that is not open: a mistake of who wrote it
        return b"", type(error).__name__
    return to_bytes(state), ""


@pytest.mark.parametrize("seed", range(300))
def test_damage_is_refused_alike_and_the_state_is_then_as_it_was(seed: int) -> None:
    rng = random.Random(seed)
    (batch,) = batches(rng, 1)
    content = bytearray(batch.records)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(content))
        match rng.randint(0, 3):
            case 0:
                content[place : place + rng.randint(1, 9)] = b""
            case 1:
                content[place:place] = rng.choice((b"\n", b"0", b",", b"]", b'"', b" ", b"-", b"_", b"\xff"))
            case 2:
                content[place] = rng.randrange(256)
            case _:
                content[place:place] = content[max(0, place - 30) : place]
    records = bytes(content)
    counts = (batch.count, max(1, records.count(b"\n")))
    damaged = msgspec.structs.replace(batch, records=records, head=link(START, records), count=rng.choice(counts))
    found, wanted = outcome(fold_batch, damaged), outcome(plainly, damaged)
    assert found == wanted
    if "records" in wanted[1]:
        assert found[0] == to_bytes(State())


@pytest.mark.parametrize("kernel", ["numpy", "native"])
def test_every_kernel_replays_the_same(kernel: str) -> None:
    if kernel not in {name.split("-")[0] for name in kernels.kernels_here()}:
        pytest.skip("the kernels are not compiled here")
    before = kernels.kernel_name()
    kernels.use_kernel(kernel)
    try:
        quick, slow, head = State(), State(), START
        for batch in batches(random.Random(7), 6):
            fold_batch(quick, batch, head)
            plainly(slow, batch, head)
            head = batch.head
        assert to_bytes(quick) == to_bytes(slow)
    finally:
        kernels.use_kernel("-".join(before.split()) if before.startswith("native") else "numpy")
