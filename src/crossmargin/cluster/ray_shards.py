"""Shards as actors of a Ray cluster: each holds its accounts from tick to tick; prices go out, columns come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np

from crossmargin import kernels
from crossmargin.cluster.shards import MOST_TRIES, Progress, Source, died
from crossmargin.errors import CrossmarginError, Failure, FailureReason, InputError
from crossmargin.kernels.engine import serving
from crossmargin.margin.assess import assess_book
from crossmargin.sources.compact_books import arrow

if TYPE_CHECKING:
    from types import ModuleType

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.assess import CompactReport
    from crossmargin.margin.program.book import CompactBook
    from crossmargin.market import Snapshot

__all__ = ["Cluster", "Reduce", "Tick", "open_cluster"]

Reduce: TypeAlias = Callable[[Any], Any]
"""What an actor does with its table of pools before it sends it: keep the rows that stand badly, say, or sum up."""


class Tick(NamedTuple):
    """All shards at one moment: an Arrow table each, in the order of accounts, and who was refused, by account.

    Columns are those of :class:`PoolColumns`: `account`, `equity`, `adjusted_initial`, `adjusted_maintenance`,
    `initial`, `maintenance`, `coverage`, `state`, and `rate` where pools report in different assets. Those of refused
    accounts mean nothing.
    """

    tables: tuple[Any, ...]
    failures: dict[int, Failure]

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of all shards."""
        return np.concatenate([table.column(name).to_numpy() for table in self.tables])


_COLUMNS = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance", "coverage", "state")


def _table(report: CompactReport, before: int) -> Any:  # noqa: ANN401 - pyarrow ships no types
    columns: dict[str, Any] = {"account": report.unit_account.astype(np.int64) + before}
    columns |= {name: getattr(report, f"unit_{name}") for name in _COLUMNS}
    if report.unit_rate is not None:
        columns["rate"] = report.unit_rate
    return arrow().table(columns)


class _Shard:
    """One shard's accounts, in an actor."""

    def __init__(
        self, source: Source, before: int, rulebook: Rulebook, kernel: str, threads: int, age: float | None
    ) -> None:
        kernels.use_kernel(kernel, threads)
        self.source, self.before, self.rulebook, self.age = source, before, rulebook, age
        self.book: CompactBook | None = None

    def tick(self, sent: tuple[Snapshot, Reduce | None]) -> tuple[Any, dict[int, Failure]] | CrossmarginError:
        """Return the table of its pools and who is refused; an error of ours is returned, as Ray would wrap it."""
        snapshot, reduce = sent
        try:
            if self.book is None:  # not read when made: what is wrong with it must reach the caller
                self.book = self.source.read()
            report = assess_book(self.book, snapshot, self.rulebook, max_quote_age_seconds=self.age)
        except CrossmarginError as error:
            return error
        table = _table(report, self.before)
        failures = {self.before + account: failure for account, failure in report.failures.items()}
        return table if reduce is None else reduce(table), failures


@dataclass(slots=True)
class Cluster:
    """Shards that stand ready for :meth:`tick`; made by :func:`open_cluster`, and good for a `with` block."""

    sources: tuple[Source, ...]
    handles: list[Any]
    actors: list[Any]
    start: Callable[[int], Any]

    def __len__(self) -> int:
        """Return the number of accounts."""
        return sum(source.last - source.first for source in self.sources)

    def tick(self, snapshot: Snapshot, *, reduce: Reduce | None = None, progress: Progress | None = None) -> Tick:
        """Return every pool at a snapshot's prices: what :func:`assess_book` gives on one machine, to the bit.

        The snapshot is broadcast once. An actor that has died, or dies meanwhile, is made anew from its shard's source,
        and does the tick again; the others are not asked twice.

        Parameters
        ----------
        reduce
            What each actor does with its table before it is sent.
        progress
            Called with how many accounts are done, and of how many.

        Raises
        ------
        InputError
            What :func:`assess_book` raises.
        CrossmarginError
            When a shard's actors die again and again, and after :meth:`close`.
        """
        if not self.actors:
            message = "the cluster is closed: its actors were let go, as at the end of its `with` block; open another"
            raise CrossmarginError(message)
        ray = _ray()
        sent = ray.put((snapshot, reduce))
        asked = {actor.tick.remote(sent): n for n, actor in enumerate(self.actors)}
        found: dict[int, tuple[Any, dict[int, Failure]]] = {}
        tries, finished = [0] * len(self.actors), 0
        while asked:
            (ready, *_), _ = ray.wait(list(asked), num_returns=1)
            n = asked.pop(ready)
            answer = self._answer(ray, ready)
            if answer is None:
                tries[n] += 1
                if tries[n] == MOST_TRIES:
                    raise died(self.sources[n].first, self.sources[n].last)
                self.actors[n] = self.start(n)
                asked[self.actors[n].tick.remote(sent)] = n
                continue
            found[n] = answer
            finished += self.sources[n].last - self.sources[n].first
            if progress is not None:
                progress(finished, len(self))
        failures = [failed for _, (_, failed) in sorted(found.items())]
        tables = tuple(table for _, (table, _) in sorted(found.items()))
        return Tick(tables, {account: failure for part in failures for account, failure in part.items()})

    def _answer(self, ray: ModuleType, ready: Any) -> tuple[Any, dict[int, Failure]] | None:  # noqa: ANN401
        """Return a shard's answer, None if it was lost with its worker or machine."""
        try:
            answer = ray.get(ready)
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError):
            return None
        if isinstance(answer, CrossmarginError):
            raise answer
        table, failed = answer
        return table, failed

    def close(self) -> None:
        """Let the actors go: there is no tick any more. Ray itself goes on."""
        ray = _ray()
        for actor in self.actors:
            ray.kill(actor)
        self.actors.clear()
        self.handles.clear()

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the actors go."""
        self.close()


def open_cluster(
    sources: Sequence[Source], rulebook: Rulebook, *, threads: int = 1, max_quote_age_seconds: float | None = 3600.0
) -> Cluster:
    """Return actors that hold a shard each, on the Ray cluster that this process is connected to.

    Where it is connected to none, to that of `RAY_ADDRESS`, or to one of this machine's own, which is then started.

    Parameters
    ----------
    sources
        The shards (:func:`shards_of`). A folder must be one that every machine reads; a book is held by Ray's object
        store, once here and once on the machine of its actor, which reads it in place.
    threads
        Processors of each actor: for rulebooks that the engine runs as many as a machine has, with an actor for each
        machine; otherwise 1, with an actor for each processor.

    Raises
    ------
    InputError
        When there are no shards, `threads` is no number of threads, the cluster has too few processors for all, or Ray
        is not installed.
    """
    ray = _ray()
    if not ray.is_initialized():
        ray.init()
    kernels.checked_threads(threads)
    if not sources:
        message = "expected at least one shard, found none"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    processors = ray.cluster_resources().get("CPU", 0)
    if len(sources) * threads > processors:
        wanted = len(sources) * threads
        message = f"{len(sources)} shards of {threads} threads need {wanted} processors; the cluster has {processors:g}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    kind = ray.remote(num_cpus=threads, max_restarts=0)(_Shard)
    handles = [ray.put(source) for source in sources]
    common = ray.put(rulebook)
    firsts = np.cumsum([0, *(source.last - source.first for source in sources)]).tolist()

    def start(n: int) -> Any:  # noqa: ANN401 - a handle of Ray's
        return kind.remote(handles[n], firsts[n], common, serving()[0], threads, max_quote_age_seconds)

    return Cluster(tuple(sources), handles, [start(n) for n in range(len(sources))], start)


def _ray() -> ModuleType:
    """Return ray, or say in one line how to get it."""
    try:
        import ray
    except ImportError as error:
        message = "a cluster needs the extra `ray`: pip install 'crossmargin[ray]'"
        raise InputError(FailureReason.MALFORMED_INPUT, message) from error
    return ray  # type: ignore[no-any-return]  # ships types that name Any
