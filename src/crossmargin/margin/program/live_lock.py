"""The lock of a live book, which also tells the engine's single checks when the book stands still."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmargin.margin.program.live_state import LiveState

__all__ = ["LiveLock"]


class LiveLock:
    """One holder at a time, who may take it again; while it is held the engine answers no single check.

    So that a check need not take it: it runs at one stretch under the interpreter's own lock, and looks first.
    """

    def __init__(self, state: LiveState) -> None:
        self._lock = RLock()
        self._state = state
        self._depth = 0

    def __enter__(self) -> None:
        """Wait for the lock."""
        self._lock.acquire()
        self._depth += 1
        self._state.quiet[0] = 0

    def __exit__(self, *_: object) -> None:
        """Give it back; an engine that was replaced meanwhile keeps its 0."""
        self._depth -= 1
        if not self._depth:
            self._state.quiet[0] = 1
        self._lock.release()
