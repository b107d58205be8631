"""What differs between two documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossmargin.margin.locate import Path, dotted
from crossmargin.margin.merge import leaves

__all__ = ["diff_documents"]


def diff_documents(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Entries that differ, as (dotted path, old, new), sorted by path; None where one has no such entry.

    Numbers that are equal are the same, however they are written.
    """
    old: dict[Path, Any] = dict(leaves(a))
    new: dict[Path, Any] = dict(leaves(b))
    paths = sorted(old.keys() | new.keys())
    return [(dotted(p), old.get(p), new.get(p)) for p in paths if old.get(p) != new.get(p)]
