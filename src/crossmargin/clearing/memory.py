"""A journal in memory, for simulations and tests: nothing survives the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from crossmargin.clearing.records import Batch
from crossmargin.clearing.snapshots import SavedState


class MemoryJournal:
    """Batches in a list. It is its own writer's alone."""

    def __init__(self) -> None:
        self.kept: list[Batch] = []
        self._sources: dict[str, int] = {}
        self._saved: SavedState | None = None

    def append(self, batches: Sequence[Batch]) -> None:
        """Keep batches."""
        for batch in batches:
            self.kept.append(batch)
            self._sources.update(batch.sources)

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """Return the batches whose first record's number is above `after`."""
        return iter([batch for batch in self.kept if batch.first > after])

    def sources(self) -> Mapping[str, int]:
        """Return the last command of each source."""
        return dict(self._sources)

    def save(self, saved: SavedState) -> None:
        """Keep a state."""
        self._saved = saved

    def saved(self) -> SavedState | None:
        """Return the last state kept."""
        return self._saved

    def cut(self, after: int, sources: Mapping[str, int]) -> str:
        """Drop every batch that goes beyond record `after`, and a later state."""
        self.kept = [batch for batch in self.kept if batch.last <= after]
        self._sources = dict(sources)
        if self._saved is not None and self._saved.number > after:
            self._saved = None
        return ""

    def close(self) -> None:
        """Nothing to let go."""
