"""Every example of the documentation runs, page by page, in the order in which a reader meets it."""

import contextlib
import doctest
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import Block, blocks, commands, pages

_DEMO = ROOT / "src" / "crossmargin" / "cli" / "demo"
_LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_RUNS = {"python", "console"}
_PRINTS = "prints"
_TEXTS = {page: page.read_text(encoding="utf-8") for page in pages(ROOT) if page.is_file()}
_RUNNABLE = [page for page, text in _TEXTS.items() if any(block.language in _RUNS for block in blocks(text))]


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what is printed; `...` stands for anything, and blanks do not count."""
    wanted, found = (f"{' '.join(text.split())}\n" for text in (shown, printed))
    return doctest.OutputChecker().check_output(wanted, found, _LOOSE)


def run_python(block: Block, place: str, names: dict[str, object]) -> str:
    """What a block prints."""
    code = compile("\n" * (block.line - 1) + block.text, place, "exec")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)  # noqa: S102  # the examples of our own pages
    return printed.getvalue()


def run_console(block: Block, place: str) -> None:
    """Run the `crossmargin` lines of a block; other commands are the reader's set-up."""
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "FORCE_COLOR"}}
    for command in commands(block):
        if command.words[0] != "crossmargin":
            continue
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", *command.words],
            capture_output=True,
            check=False,
            encoding="utf-8",
            env={**environment, "PYTHONIOENCODING": "utf-8"},
            timeout=120,
        )
        told = f"{place}:{command.line}: {' '.join(command.words)}\n{done.stdout}{done.stderr}"
        assert done.returncode == command.code, told
        if command.shown:
            assert same(command.shown, done.stdout + done.stderr), told


def steps(text: str) -> Iterator[tuple[Block, str | None]]:
    """Blocks, each with the output that the page shows right below it."""
    found = blocks(text)
    for block, following in pairwise([*found, Block("", "", 0)]):
        if block.title != _PRINTS:
            yield block, following.text if following.title == _PRINTS else None


@pytest.mark.parametrize("page", _RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("accounts.json", "snapshot.json"):
        shutil.copy(_DEMO / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    place, names = str(page.relative_to(ROOT)), dict[str, object](__name__="__main__")
    for block, shown in steps(_TEXTS[page]):
        if block.title is not None:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            run_console(block, place)
        elif block.language == "python":
            printed = run_python(block, place, names)
            assert shown is None or same(shown, printed), f"{place}:{block.line} prints\n{printed}"


def test_every_fence_is_one_that_the_check_reads() -> None:
    for page, text in _TEXTS.items():
        fences = [line for line in text.splitlines() if line.lstrip().startswith("```")]
        assert len(fences) == 2 * len(blocks(text)), page


def test_the_check_sees_a_wrong_output() -> None:
    assert same("a  1.50\n...\nz 2", "a 1.50\nb 3\nz 2\n")
    assert not same("a 1.50", "a 1.51\n")
