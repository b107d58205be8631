"""Kinds from other packages: the entry points under ``crossmargin.kinds``, looked up only when a rulebook names one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from crossmargin.errors import RulebookError
from crossmargin.margin.model import CustomKind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "crossmargin.kinds"


@cache
def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


class InstalledKinds(Mapping[str, CustomKind]):
    """The kinds of installed packages by name; a package is imported when its kind is asked for."""

    def __getitem__(self, name: str) -> CustomKind:
        """Return a kind; RulebookError where its package holds none."""
        point = _entry_points()[name]
        found: Any = point.load()
        if not isinstance(found, CustomKind):
            message = f"kind {name!r}: {point.value} is no crossmargin.margin.CustomKind; correct the entry point"
            raise RulebookError(message)
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(_entry_points())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(_entry_points())
