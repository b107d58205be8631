"""The lock of a live book, which also tells the engine's single checks when the book stands still."""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from crossmargin.margin.program.live_state import LiveState

__all__ = ["LiveLock"]


class LiveLock:
    """One holder at a time, who may take it again; while it is held the engine answers no single check.

    So that a check need not take it: it runs at one stretch under the interpreter's own lock, and looks first. A
    process forks between two events: what the child has is a whole book whose lock is free.
    """

    def __init__(self, state: LiveState) -> None:
        self.lock = RLock()
        self._state = state
        self._depth = 0
        _LOCKS.add(self)

    def __enter__(self) -> None:
        """Wait for the lock."""
        self.lock.acquire()
        self._depth += 1
        self._state.quiet[0] = 0

    def __exit__(self, *_: object) -> None:
        """Give it back; an engine that was replaced meanwhile keeps its 0."""
        self._depth -= 1
        if not self._depth:
            self._state.quiet[0] = 1
        self.lock.release()


_LOCKS: Final[WeakSet[LiveLock]] = WeakSet()
_FORKING: Final[list[LiveLock]] = []


def _hold_still() -> None:
    for lock in sorted(_LOCKS, key=id):  # all forks wait in one order
        lock.lock.acquire()
        _FORKING.append(lock)


def _go_on() -> None:
    while _FORKING:
        _FORKING.pop().lock.release()


if hasattr(os, "register_at_fork"):  # elsewhere nothing forks
    os.register_at_fork(before=_hold_still, after_in_parent=_go_on, after_in_child=_go_on)
