"""Every venue's page names each number that no public source confirms, and each date and defect of the venue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from crossmargin.analysis.lint import unverified_entries
from crossmargin.sources import list_rulebooks, load_rulebook

if TYPE_CHECKING:
    from pathlib import Path

SPECS = tuple(shipped.spec for shipped in list_rulebooks())


def words(text: str) -> str:
    """A text with its names told apart by spaces: `vol_up` and "vol up" are the same."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower())


def page(root: Path, spec: str) -> str:
    name = spec.partition("@")[0]
    place = f"families/{name.removeprefix('family-')}" if name.startswith("family-") else f"venues/{name}"
    return (root / "docs" / f"{place}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", SPECS)
def test_the_page_names_every_unverified_number(root: Path, spec: str) -> None:
    told = f" {words(page(root, spec))} "
    entries = {entry: {words(part) for part in entry[1:]} for entry in unverified_entries(load_rulebook(spec))}
    silent = [".".join(entry) for entry, names in entries.items() if not any(f" {name} " in told for name in names)]
    assert silent == []


@pytest.mark.parametrize("spec", SPECS)
def test_the_page_names_the_date(root: Path, spec: str) -> None:
    assert spec.partition("@")[2] in page(root, spec)


@pytest.mark.parametrize("spec", SPECS)
def test_the_page_tells_known_defects(root: Path, spec: str) -> None:
    assert not load_rulebook(spec).known_defects or "Known defect" in page(root, spec)
