"""Which published cases are run and which are not: every one is listed, and the page's tables count them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clearing.published import ASKED, CASES, RUN, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TESTS = Path(__file__).parent
PROCEDURES, ALL = 77, 239  # of liquidation, auction and settlement, and of the protocols altogether
TABLES = {"published-cases": RUN, "published-questions": ASKED}


def counts() -> dict[str, Counter[str]]:
    if not CASES.exists():
        pytest.skip(f"{CASES} is not at hand: no published case is counted")
    files = sorted(RUN.keys() | ASKED.keys())
    return {
        file: Counter(kind_of(c) for c in json.loads((CASES / f"{file}.json").read_text())["cases"]) for file in files
    }


def test_every_case_is_listed_once() -> None:
    found = counts()
    for file, kinds in found.items():
        run, asked = RUN.get(file, {}).keys(), ASKED.get(file, {}).keys()
        assert not run & asked, file
        assert run | asked == kinds.keys(), file
    assert sum(found[file][kind] for file, kinds in RUN.items() for kind in kinds) == PROCEDURES
    assert sum(kinds.total() for kinds in found.values()) == ALL


@pytest.mark.parametrize("file", RUN)
def test_every_kind_that_is_run_stands_in_a_test(file: str) -> None:
    name, _, _ = file.partition("_")
    text = (TESTS / f"test_cases_{name}.py").read_text()
    assert f'FILE = "{file}"' in text
    posed = {
        kind for call in re.findall(r"cases_of\(FILE, \{([^}]*)\}\)", text) for kind in re.findall(r'"(\w+)"', call)
    }
    assert posed == RUN[file].keys()


@pytest.mark.parametrize("table", TABLES)
def test_the_page_counts_them(table: str, root: Path) -> None:
    page = (root / "docs" / "clearing" / "procedures.md").read_text()
    found = re.search(rf"<!-- {table} -->\n\n(.*?)\n\n<!-- end of {table} -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == table_of(TABLES[table], counts())


def table_of(kinds: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, int]]) -> str:
    lines = ["| file | kind | cases | what is compared |", "| --- | --- | --- | --- |"]
    total = 0
    for file, by_kind in kinds.items():
        for kind, what in by_kind.items():
            total += found[file][kind]
            name = "-" if kind == "None" else f"`{kind}`"
            lines.append(f"| {file} | {name} | {found[file][kind]} | {what} |")
    return "\n".join([*lines, f"| together | | {total} | |"])
