"""The examples of the documentation: found, run, compared with what the pages show, and written anew.

On a page a block ```python runs, in one namespace; the block titled "prints" below it is what it prints. A block
```console holds commands; those that begin with `crossmargin` run, and lines below one are what it prints, where any
stand. `# exit code N` announces N. A block with any other title is a file of that name. `...` stands for anything.

    python scripts/docs_examples.py        runs all pages and writes what is printed in place of what is shown
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "src" / "crossmargin" / "cli" / "demo"
PRINTS = "prints"
_FENCE = re.compile(r'^```(?P<language>[\w-]*)(?: title="(?P<title>[^"]+)")?$')
_DIGEST = re.compile(r"\([0-9a-f]{8}\)|─+")  # frames are as long as what stands in them
_LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `start` is the place of its first line among the page's, counted from 0."""

    language: str
    title: str | None
    start: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The block as a text."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True, slots=True)
class Result:
    """What one example printed, what the page shows (None: nothing), and the lines of the page that show it."""

    what: str
    line: int
    printed: str
    shown: str | None
    at: slice
    code: int = 0
    announced: int = 0

    @property
    def holds(self) -> bool:
        """Whether the page is right."""
        return self.code == self.announced and (self.shown is None or same(self.shown, self.printed))


def pages() -> list[Path]:
    """Every page that a reader may copy from."""
    return [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what is printed; `...` stands for anything, blanks and rulebooks' digests do not count."""
    wanted, found = (f"{' '.join(_DIGEST.sub('', text).split())}\n" for text in (shown, printed))
    return doctest.OutputChecker().check_output(wanted, found, _LOOSE)


def blocks(text: str) -> list[Block]:
    """Blocks of a page, in order."""
    found: list[Block] = []
    lines = iter(enumerate(text.splitlines()))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is not None:
            body = []
            for _, inside in lines:
                if inside == "```":
                    break
                body.append(inside)
            found.append(Block(opening["language"], opening["title"], number + 1, tuple(body)))
    return found


def run(page: Path, folder: Path) -> Iterator[Result]:
    """Run a page's examples in a folder, which becomes the working directory."""
    for name in ("accounts.json", "snapshot.json"):
        shutil.copy(DEMO / name, folder / name)
    names: dict[str, object] = {"__name__": "__main__"}
    place = str(page.relative_to(ROOT))
    with contextlib.chdir(folder):
        for block, following in pairwise([*blocks(page.read_text(encoding="utf-8")), Block("", None, 0, ())]):
            if block.title == PRINTS:
                continue
            if block.title is not None:
                Path(block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "console":
                yield from _console(block)
            elif block.language == "python":
                yield _python(block, following if following.title == PRINTS else None, place, names)


def _python(block: Block, shown: Block | None, place: str, names: dict[str, object]) -> Result:
    code = compile("\n" * block.start + block.text, place, "exec")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)  # noqa: S102  # the examples of our own pages
    at = slice(0, 0) if shown is None else slice(shown.start, shown.start + len(shown.lines))
    return Result("python", block.start + 1, printed.getvalue(), None if shown is None else shown.text, at)


def _console(block: Block) -> Iterator[Result]:
    number = 0
    while number < len(block.lines):
        first, line = number, block.lines[number]
        if not line.startswith("$ "):
            raise ValueError(f"line {block.start + number + 1}: a console block begins with a command")
        while line.endswith("\\"):
            number += 1
            line = line[:-1] + block.lines[number].strip()
        number += 1
        start = number
        while number < len(block.lines) and not block.lines[number].startswith("$ "):
            number += 1
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[0] == "crossmargin":
            at = slice(block.start + start, block.start + number)
            shown = "\n".join(block.lines[start:number]) or None
            announced = re.search(r"# exit code (\d+)", line)
            done = _called(words)
            told, code = done.stdout + done.stderr, int(announced[1]) if announced else 0
            yield Result(line, block.start + first + 1, told, shown, at, done.returncode, code)


def _called(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "FORCE_COLOR"}}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", *words],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        timeout=120,
    )


def rewritten(text: str, results: list[Result]) -> str:
    """The page with what was printed; an output with `...` within stays, one that ends in it keeps its length."""
    lines = text.splitlines()
    for result in reversed(results):
        if result.shown is None or result.holds:
            continue
        printed = [line.rstrip() for line in result.printed.strip("\n").splitlines()]
        shown = result.shown.splitlines()
        if "..." not in result.shown:
            lines[result.at] = printed
        elif shown[-1] == "..." and "..." not in "".join(shown[:-1]):
            lines[result.at] = [*printed[: len(shown) - 1], "..."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the pages, all or those given, and write them anew; 1 where an example fails."""
    wrong = 0
    for page in map(Path.resolve, map(Path, sys.argv[1:])) if sys.argv[1:] else pages():
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            results = list(run(page, Path(folder)))
        new = rewritten(text, results)
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"written: {page.relative_to(ROOT)}")
        for result in results:
            partly = result.shown is not None and "..." in result.shown.rstrip(".\n") and not result.holds
            if result.code != result.announced or partly:
                wrong = 1
                print(f"{page.relative_to(ROOT)}:{result.line}: {result.what}\n{result.printed}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
