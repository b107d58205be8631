"""Every example of the documentation runs, page by page, in the order in which a reader meets it."""

from pathlib import Path

import pytest

from scripts.docs_examples import blocks, pages, rewritten, run, same
from tests.conftest import ROOT

_TEXTS = {page: page.read_text(encoding="utf-8") for page in pages()}
_RUNS = {"python", "console"}
_RUNNABLE = [page for page, text in _TEXTS.items() if any(block.language in _RUNS for block in blocks(text))]


@pytest.mark.parametrize("page", _RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    for result in run(page, tmp_path):
        place = f"{page.relative_to(ROOT)}:{result.line}"
        advice = "if the page is out of date: python scripts/docs_examples.py"
        assert result.holds, f"{place}: {result.what}\nexit code {result.code}\n{result.printed}\n{advice}"


def test_every_fence_is_one_that_the_check_reads() -> None:
    for page, text in _TEXTS.items():
        fences = [line for line in text.splitlines() if line.lstrip().startswith("```")]
        assert len(fences) == 2 * len(blocks(text)), page


def test_the_check_sees_a_wrong_output_and_writes_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '```python\nprint(1 + 1)\n```\n\n```text title="prints"\n3\n```\n'
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    monkeypatch.setattr("scripts.docs_examples.ROOT", tmp_path)
    (result,) = run(page, tmp_path)
    assert not result.holds
    assert rewritten(text, [result]) == text.replace("3", "2")


def test_blanks_do_not_count_and_dots_stand_for_anything() -> None:
    assert same("a  1.50\n...\nz 2", "a 1.50\nb 3\nz 2\n")
    assert not same("a 1.50", "a 1.51\n")
