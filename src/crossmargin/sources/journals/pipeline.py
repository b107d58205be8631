"""A thread that commits: the house fills one batch while the one before it reaches the disk."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossmargin.clearing.commands import Command
    from crossmargin.clearing.house import Answer, House
    from crossmargin.clearing.records import Batch

    Waiting = tuple[list[Answer], Batch | None, Future[list[Answer]]]


class Pipeline:
    """Commands in, answers once they are durable. One thread may put; a second one, of its own, commits.

    Batches that wait are committed together, in one transaction: the slower the disk, the larger the groups.

    Parameters
    ----------
    depth
        Batches that may wait; `put` blocks beyond them.
    linger
        Seconds to wait for a group of `group` batches; 0 commits at once what is there.
    """

    def __init__(self, house: House, *, depth: int = 8, group: int = 8, linger: float = 0.0) -> None:
        self.house, self.depth, self.group, self.linger = house, depth, group, linger
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._commit, name="journal", daemon=True)
        self._thread.start()

    def put(self, commands: Iterable[Command]) -> Future[list[Answer]]:
        """Return the future answers to commands; they are decided now and given when they are durable.

        An answer without a record (a repetition) waits for what was put before it: that may be what it repeats.
        """
        answers, batch = self.house.fill(commands)
        future: Future[list[Answer]] = Future()
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self.depth)
            self._waiting.append((answers, batch, future))
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Commit what waits, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _commit(self) -> None:
        while group := self._next():
            try:
                batches = [batch for _, batch, _ in group if batch is not None]
                if batches:
                    self.house.keep(batches)
            except BaseException as error:  # noqa: BLE001 - told to everybody who waits
                self._fail(group, error)
                return
            for answers, _, future in group:
                future.set_result(answers)

    def _next(self) -> list[Waiting]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if self.linger and not self._closing:
                self._changed.wait_for(lambda: len(self._waiting) >= self.group or self._closing, self.linger)
            group = [self._waiting.popleft() for _ in range(min(self.group, len(self._waiting)))]
            self._changed.notify_all()
        return group

    def _fail(self, group: list[Waiting], error: BaseException) -> None:
        with self._changed:
            group = [*group, *self._waiting]
            self._waiting.clear()
            self.depth = 1 << 62  # nobody waits for room any more; the house takes nothing
            self._changed.notify_all()
        for _, _, future in group:
            future.set_exception(error)
