from pathlib import Path

import pytest

from crossmargin.cli import calls
from crossmargin.margin.vocabulary import FUNCTIONS, WORDS
from scripts.docs_tables import MARK, REPRODUCED, functions, tables_of, words
from tests.conftest import ROOT

_PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if MARK.search(page.read_text("utf-8"))
]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_say_what_the_code_says(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == tables_of(page), "run: python scripts/docs_tables.py"


def test_every_function_and_word_is_listed() -> None:
    assert all(f"`{name}(" in functions() for name in FUNCTIONS)
    assert all(f"`{word}`" in words() for word in WORDS)


@pytest.mark.shared
def test_as_many_cases_are_reproduced_as_the_pages_say(shared: Path) -> None:
    families = calls.conformance(shared / "cases")["families"]
    found = {family["family"]: family["reproduced"] for family in families if family["reproduced"]}
    assert found == dict(REPRODUCED.values())
