"""A real Ray of this machine gives the bits of one process, also when actors are killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from crossmargin.account import Account, Book, Position
from crossmargin.cluster import Cluster, open_cluster, shards_of
from crossmargin.cluster.shards import Source
from crossmargin.errors import CrossmarginError, InputError
from crossmargin.margin import assess_book
from crossmargin.margin.program.compact import CompactBook, compact
from crossmargin.sources import write_compact_book
from tests.strategies.books import decimal, market, random_accounts, rules
from tests.twins.figures import figures

if TYPE_CHECKING:
    from crossmargin.cluster import Tick
    from crossmargin.margin import CompactReport

WITH_PROGRAM, WITHOUT = "derive-standard@2024-06-12", "bybit-unified@2025-09-18"
ABSENT = "Ray is not installed (an extra of some 80 MB to fetch): `make cluster` installs it and runs this"
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Ray of three processors, on the loopback address."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    found = pytest.importorskip("ray", reason=ABSENT)
    found.init(
        num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000,
        _node_ip_address="127.0.0.1", _temp_dir=str(tmp_path_factory.mktemp("ray")),
    )  # fmt: skip
    yield found
    found.shutdown()


def made(spec: str) -> CompactBook:
    odd = Account(id="nobody", positions=(Position(instrument="NO", quantity=decimal(1.0), entry_price=decimal(1.0)),))
    accounts = random_accounts(spec, 6, 80)
    return compact(Book.from_accounts([*accounts[:60], odd, *accounts[60:]]), market(), rules(spec))


def agree(tick: Tick, report: CompactReport) -> bool:
    """Whether a tick's columns are the report's, to the bit."""
    assert tick.failures == report.failures
    assert tick.column("account").tolist() == report.unit_account.tolist()

    class Columns:
        unit_account, failures = report.unit_account, report.failures

        def __getattr__(self, name: str) -> object:
            return tick.column(name.removeprefix("unit_"))

    return figures(Columns()) == figures(report)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", [WITH_PROGRAM, WITHOUT])
@pytest.mark.parametrize("stored", [False, True], ids=["object-store", "arrow-files"])
def test_a_cluster_gives_the_bits_of_one_process(spec: str, stored: bool, ray: Any, tmp_path: Path) -> None:  # noqa: ANN401
    book = made(spec)
    wanted = assess_book(book, market(), rules(spec))
    if stored:
        write_compact_book(book, tmp_path)
    seen: list[int] = []

    def kill(done: int, accounts: int) -> None:
        if not seen:  # the first shard is in: the actors of the others die over theirs, or are dead at the next tick
            for actor in cluster.actors:
                ray.kill(actor)
        seen.append(done)
        assert accounts == len(book)

    with open_cluster(shards_of(tmp_path if stored else book, 3), rules(spec)) as cluster:
        assert agree(cluster.tick(market(), progress=kill), wanted)
        assert agree(cluster.tick(market()), wanted)
        assert (len(seen), seen[-1]) == (3, len(book))
    with pytest.raises(CrossmarginError, match="the cluster is closed"):
        cluster.tick(market())


def test_an_actor_killed_in_a_tick_does_it_again(ray: Any) -> None:  # noqa: ANN401
    book = made(WITHOUT)
    wanted = assess_book(book, market(), rules(WITHOUT))
    with open_cluster(shards_of(book, 2), rules(WITHOUT)) as cluster:
        cluster.tick(market())
        victim = cluster.actors[1]
        pid = ray.get(victim.__ray_call__.remote(lambda _: os.getpid()))
        victim.__ray_call__.remote(lambda _: time.sleep(60))  # so that the tick is in its queue, not done
        killed: list[int] = []

        def kill(*_: int) -> None:
            if not killed:
                killed.append(pid)
                os.kill(pid, 9)

        begun = time.monotonic()
        assert agree(cluster.tick(market(), progress=kill), wanted)
        assert killed
        assert cluster.actors[1] is not victim
        assert time.monotonic() - begun < 55  # the new one did it, nobody waited for the sleeper


def test_actors_that_always_die_are_an_error(ray: Any) -> None:  # noqa: ANN401
    def deadly(_: pa.Table) -> pa.Table:
        os._exit(1)

    assert ray.is_initialized()
    with (
        open_cluster(shards_of(made(WITHOUT), 1), rules(WITHOUT)) as cluster,
        pytest.raises(CrossmarginError, match="3 workers died one after the other"),
    ):
        cluster.tick(market(), reduce=deadly)


def test_an_actor_may_send_less(ray: Any) -> None:  # noqa: ANN401
    def badly(table: pa.Table) -> pa.Table:
        required, held = (table.column(name).to_numpy() for name in ("maintenance", "adjusted_maintenance"))
        return table.filter(pa.array(required > held))

    assert ray.is_initialized()
    book = made(WITH_PROGRAM)
    report = assess_book(book, market(), rules(WITH_PROGRAM))
    with open_cluster(shards_of(book, 2), rules(WITH_PROGRAM)) as cluster:
        found = cluster.tick(market(), reduce=badly).column("account").tolist()
    wanted = report.unit_account[report.unit_maintenance > report.unit_adjusted_maintenance].tolist()
    assert found == wanted
    assert 0 < len(found) < len(book)


def test_errors_of_ours_come_back_as_they_are(ray: Any, tmp_path: Path) -> None:  # noqa: ANN401
    book = made(WITH_PROGRAM)
    assert ray.is_initialized()
    with (
        open_cluster(shards_of(book, 1), rules(WITHOUT)) as cluster,
        pytest.raises(InputError, match="laid out for another rulebook"),
    ):
        cluster.tick(market())
    gone = Source(str(tmp_path / "gone"), 0, 5)
    with open_cluster([gone], rules(WITHOUT)) as cluster, pytest.raises(InputError, match=r"has a file meta\.json"):
        cluster.tick(market())
    with pytest.raises(InputError, match="4 shards of 1 threads need 4 processors; the cluster has 3"):
        open_cluster(shards_of(book, 4), rules(WITH_PROGRAM))
    with pytest.raises(InputError, match="expected at least one shard"):
        open_cluster([], rules(WITH_PROGRAM))
    with pytest.raises(InputError, match="threads must be an integer of 1 or more"):
        open_cluster(shards_of(book, 1), rules(WITH_PROGRAM), threads=0)


def test_a_cluster_that_is_closed_says_so() -> None:
    cluster = Cluster(tuple(shards_of(made(WITHOUT), 1)), [], [], lambda n: n)
    with pytest.raises(CrossmarginError, match="the cluster is closed: its actors were let go"):
        cluster.tick(market())


def test_a_cluster_can_be_closed_twice() -> None:
    pytest.importorskip("ray", reason=ABSENT)
    cluster = Cluster((), [], [], lambda n: n)
    cluster.close()
    assert cluster.close() is None  # type: ignore[func-returns-value]  # nothing is left to let go, and nobody minds
