import re
from pathlib import Path

import pytest

from crossmargin.margin.vocabulary import FUNCTIONS, WORDS
from crossmargin.sources import list_rulebooks
from scripts.conformance_table import TOLD
from scripts.docs_tables import MARK, functions, reproduced, tables_of, words
from tests.conftest import ROOT

_PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if MARK.search(page.read_text("utf-8"))
]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_say_what_the_code_says(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == tables_of(page), "run: python -m scripts.docs_tables"


def test_every_function_and_word_is_listed() -> None:
    assert all(f"`{name}(" in functions() for name in FUNCTIONS)
    assert all(f"`{word}`" in words() for word in WORDS)


def test_what_is_reproduced_is_told_the_same_everywhere() -> None:
    """The README and the venues' index count what the page of families counts, and prove a rulebook that ships."""
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    by_rulebook: dict[str, list[int]] = {}
    for told in TOLD.values():
        counts = re.findall(rf"^\| {re.escape(told.title)} \| `\w+` \| (\d+) of (\d+) \|", page, re.MULTILINE)
        sums = by_rulebook.setdefault(told.rulebook, [0, 0])
        sums[0] += sum(int(done) for done, _ in counts)
        sums[1] += sum(int(total) for _, total in counts)
    stated = {name: [row["reproduced"], row["total"]] for name, row in reproduced().items()}
    assert stated == by_rulebook
    assert set(stated) <= {shipped.name for shipped in list_rulebooks()}
