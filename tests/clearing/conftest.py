"""One journal of each back end, for the tests that all of them must pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crossmargin.clearing import Journal
from crossmargin.sources.journals.postgres import PostgresJournal
from crossmargin.sources.journals.sqlite import SqliteJournal
from tests.clearing import servers

if TYPE_CHECKING:
    from tests.clearing.servers import Server

Opened = Callable[..., Journal]

_schemas = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; without the packages the test is skipped, and the summary says so."""
    tools = servers.binaries()
    if tools is None:
        pytest.skip("PostgreSQL absent: no initdb under /usr/lib/postgresql nor on PATH (apt-get install postgresql)")
    with servers.running(tools) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Kind and place of a new durable journal: a path, or `conninfo|schema`."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "journal.db")
    running: Server = request.getfixturevalue("server")
    return "postgres", f"{running.conninfo}|test{next(_schemas)}"


def open_journal(kind: str, place: str, *, take_over: bool = False) -> Journal:
    if kind == "sqlite":
        return SqliteJournal(place, take_over=take_over)
    conninfo, schema = place.split("|")
    return PostgresJournal(conninfo, schema=schema, take_over=take_over)


@pytest.fixture
def opened(backend: tuple[str, str]) -> Iterator[Opened]:
    """What opens the same journal again and again; all are closed in the end."""
    made: list[Journal] = []

    def one(*, take_over: bool = False) -> Journal:
        made.append(open_journal(*backend, take_over=take_over))
        return made[-1]

    yield one
    for journal in made:
        journal.close()
