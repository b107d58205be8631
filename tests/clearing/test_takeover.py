"""A record that waits while another writer takes over is refused once he has."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from crossmargin.clearing import House, recover, replay
from crossmargin.clearing import commands as c
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
        other.execute(sql.SQL("update {}.journal set epoch = epoch + 1").format(sql.Identifier(schema)))
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


def test_a_role_that_may_make_no_function_keeps_its_batches_all_the_same(server: Server) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as root:
        root.execute("create role narrow login")
        root.execute("create database narrow")
        root.execute("revoke temporary on database narrow from public")
        root.execute("grant create on database narrow to narrow")
    conninfo = server.conninfo.replace("user=postgres dbname=postgres", "user=narrow dbname=narrow")
    journal = PostgresJournal(conninfo)
    desk = open_house(journal=journal)
    desk.send(c.Tick)
    head = desk.house.head
    journal.close()
    again = PostgresJournal(conninfo)
    assert replay(again).head == head
    again.close()
