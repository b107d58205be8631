"""Who takes over waits for a record that is under way; one that waits while he does is refused once he has."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from crossmargin.clearing import House, recover
from crossmargin.clearing import commands as c
from crossmargin.clearing.records import make_batch
from crossmargin.errors import FailureReason as R
from crossmargin.errors import InputError
from crossmargin.sources.journals.postgres import PostgresJournal
from tests.clearing import venue
from tests.clearing.test_journals import busy
from tests.clearing.venue import open_house

if TYPE_CHECKING:
    from tests.clearing.servers import Server


@pytest.mark.parametrize("batches", [1, 2])
def test_a_record_that_waits_for_a_take_over_is_refused(server: Server, batches: int) -> None:
    schema = f"takeover{batches}"
    desk = busy(open_house(journal=PostgresJournal(server.conninfo, schema=schema)))
    number, twin = desk.house.state.number, House(desk.house.journal, venue.RICH)
    pending = [twin.fill([c.Tick(**desk.named())])[1] for _ in range(batches)]
    with psycopg.connect(server.conninfo) as other, ThreadPoolExecutor(1) as pool:
        # as a writer that takes over, who has not committed yet
        other.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
        other.execute("lock table batches in share mode")
        other.execute("update journal set epoch = epoch + 1")
        waits = pool.submit(twin.keep, [one for one in pending if one is not None])
        while not waiting(server):
            assert not waits.done()
            time.sleep(0.01)
        other.commit()
        with pytest.raises(InputError) as refused:
            waits.result(timeout=30)
    assert refused.value.reason == R.FENCED
    desk.house.journal.close()
    last = PostgresJournal(server.conninfo, schema=schema)
    assert recover(last).replayed.state.number == number
    last.close()


def waiting(server: Server) -> bool:
    """Whether a session waits for a lock."""
    with psycopg.connect(server.conninfo) as db:
        return db.execute("select 1 from pg_stat_activity where wait_event_type = 'Lock'").fetchone() is not None


def test_who_takes_over_waits_for_the_insert_that_is_under_way(server: Server) -> None:
    first = PostgresJournal(server.conninfo, schema="under_way")
    desk = busy(open_house(journal=first))
    head, number, sequence = desk.house.head, desk.house.state.number + 1, desk.sequence + 1
    late = make_batch(head, number, [b"{}\n"], {"desk": sequence})

    def take_over() -> tuple[int, dict[str, int]]:
        second = PostgresJournal(server.conninfo, schema="under_way", take_over=True)
        found = max(batch.first for batch in second.batches()), dict(second.sources())
        second.close()
        return found

    with psycopg.connect(server.conninfo) as slow, ThreadPoolExecutor(1) as pool:
        row = (number, late.previous, late.head, late.records, sequence)
        slow.execute("insert into under_way.batches values (%s, 1, 1, %s, %s, %s, 'desk', %s)", row)
        waits = pool.submit(take_over)
        while not waiting(server):
            assert not waits.done()
            time.sleep(0.01)
        slow.commit()
        assert waits.result(timeout=30) == (number, {"desk": sequence})
    first.close()
