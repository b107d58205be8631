"""Pages as what can be run: fenced blocks with their language, title, text and line."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r'^```(?P<language>[\w-]*)(?: title="(?P<title>[^"]+)")?$')
_COMMAND = "$ "


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is that of its first line, counted from 1."""

    language: str
    text: str
    line: int
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One shell line of a `console` block, what the page shows below it, and the exit code that it announces."""

    words: tuple[str, ...]
    shown: str
    code: int
    line: int


def pages(root: Path) -> list[Path]:
    """Every page that a reader may copy from."""
    return [root / "README.md", root / "ARCHITECTURE.md", *sorted((root / "docs").rglob("*.md"))]


def blocks(text: str) -> list[Block]:
    """Blocks of a page, in order."""
    found: list[Block] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        start = number
        while lines[number] != "```":
            number += 1
        body = "".join(f"{line}\n" for line in lines[start:number])
        found.append(Block(opening["language"], body, start + 1, opening["title"]))
        number += 1
    return found


def commands(block: Block) -> Iterator[Command]:
    """Commands of a `console` block; a line that ends in a backslash goes on, `# exit code N` announces N."""
    lines = block.text.splitlines()
    number = 0
    while number < len(lines):
        first, line = number, lines[number]
        assert line.startswith(_COMMAND), f"line {block.line + number}: a console block begins with a command"
        while line.endswith("\\"):
            number += 1
            line = line[:-1] + lines[number].strip()
        number += 1
        shown = []
        while number < len(lines) and not lines[number].startswith(_COMMAND):
            shown.append(lines[number])
            number += 1
        announced = re.search(r"# exit code (\d+)", line)
        words = tuple(shlex.split(line.removeprefix(_COMMAND), comments=True))
        yield Command(words, "\n".join(shown), int(announced[1]) if announced else 0, block.line + first)
