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

    def saved(self, before: int | None = None) -> SavedState | None:
        """Return the last state kept."""
        return self._saved if before is None or (self._saved is not None and self._saved.number < before) else None

    def cut(self, after: int, sources: Mapping[str, int], states: Sequence[SavedState] = ()) -> str:
        """Drop every batch that goes beyond record `after`, and states but for those given."""
        self.kept = [batch for batch in self.kept if batch.last <= after]
        self._sources = dict(sources)
        self._saved = states[0] if states else None
        return ""

    def mended(self) -> str:
        """Return that nothing was dropped."""
        return ""

    def close(self) -> None:
        """Nothing to let go."""
