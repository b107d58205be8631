import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy import allowances
from tests.tidy.code import (
    PACKAGE,
    Module,
    defined_names,
    dotted,
    functions,
    imported,
    length,
    modules,
)

FUNCTION_LINES = 60
FILE_LINES = 350
EDGE_ROOMS = {"sources", "cluster", "service", "cli", "bench"}

IMPURE_BUILTINS = {"open", "print", "input", "breakpoint", "exec", "eval", "compile", "__import__"}
IMPURE_NAMES = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    *(f"numpy.{name}" for name in ("load", "save", "savez", "savetxt", "loadtxt", "fromfile", "memmap")),
}
IMPURE_PACKAGES = {
    *("io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil", "socket"),
    *("subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"),
}
IMPURE_METHODS = {"read_text", "write_text", "read_bytes", "write_bytes", "tofile"}
SEEDED = {f"numpy.random.{name}" for name in ("default_rng", "Philox", "PCG64", "SeedSequence")}
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")

MODULES = modules()


def impure_names(module: Module) -> Iterator[tuple[str, int]]:
    bound = imported(module.tree)
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    seeded = {id(call.func) for call in calls if call.args or call.keywords}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in IMPURE_METHODS:
            yield node.attr, node.lineno
        if not isinstance(node, ast.Name | ast.Attribute):
            continue
        name = dotted(node, bound) or ""
        if name in SEEDED and id(node) in seeded:
            continue
        if is_impure(name, bound):
            yield name, node.lineno


def is_impure(name: str, bound: dict[str, str]) -> bool:
    head, _, rest = name.partition(".")
    if name in IMPURE_BUILTINS:
        return name not in bound.values()
    if name.startswith("numpy.random."):
        return name.removeprefix("numpy.random.") not in {"Generator", "BitGenerator"}
    is_package = head in IMPURE_PACKAGES and any(whole.split(".")[0] == head for whole in bound.values())
    return name in IMPURE_NAMES or (is_package and bool(rest))


def avoided_words() -> set[str]:
    """Words in code font in the last column of the glossary's tables."""
    glossary = PACKAGE.parents[1] / "docs" / "glossary.md"
    rows = [line for line in glossary.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[-2])}


def glossary_words() -> list[tuple[str, str]]:
    """Place and word, for each avoided word that the code defines."""
    avoided = avoided_words()
    return [
        (f"{module.place}:{line}", name)
        for module in MODULES
        for name, line in defined_names(module.tree)
        if name.lower() in avoided
    ]


def impurities() -> list[tuple[str, str]]:
    """Place and name, for each thing below the edge rooms that touches the world."""
    return [
        (f"{module.place}:{line}", name)
        for module in MODULES
        if module.room not in EDGE_ROOMS
        for name, line in impure_names(module)
    ]


def allowed(place: str, name: str, reasons: dict[tuple[str, str], str]) -> bool:
    return any(place.startswith(prefix) and name == word for prefix, word in reasons)


def unused(found: list[tuple[str, str]], reasons: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    return [
        (prefix, word)
        for prefix, word in reasons
        if not any(place.startswith(prefix) and name == word for place, name in found)
    ]


def test_functions_are_short() -> None:
    lengths = {f"{m.place}:{name}": length(node) for m in MODULES for name, node in functions(m.tree)}
    long = {where: lines for where, lines in lengths.items() if lines > FUNCTION_LINES}
    assert long.keys() == allowances.LONG_FUNCTIONS.keys(), long


def test_files_are_short() -> None:
    lengths = {module.place: len(module.text.splitlines()) for module in MODULES}
    long = {where: lines for where, lines in lengths.items() if lines > FILE_LINES}
    assert long.keys() == allowances.LONG_FILES.keys(), long


def test_only_edge_rooms_touch_the_world() -> None:
    found = impurities()
    bad = [f"{place}: {name}" for place, name in found if not allowed(place, name, allowances.IMPURE)]
    assert not bad, "clock, randomness or IO outside the edge rooms:\n" + "\n".join(bad)


def test_code_uses_the_words_of_the_glossary() -> None:
    found = glossary_words()
    bad = [f"{place}: {name}" for place, name in found if not allowed(place, name, allowances.AVOIDED_WORDS)]
    assert not bad, "docs/glossary.md avoids these words:\n" + "\n".join(bad)


def test_every_allowance_is_still_needed() -> None:
    assert unused(glossary_words(), allowances.AVOIDED_WORDS) == []
    assert unused(impurities(), allowances.IMPURE) == []


def test_the_glossary_avoids_what_it_says() -> None:
    words = avoided_words()
    assert {"size", "amt", "contract_size", "upl", "margin", "margin_ratio", "free", "ts", "now"} <= words
    assert not words & {"quantity", "multiplier", "equity", "as_of"}


@pytest.mark.parametrize("suffix", ["*.py", "*.toml"])
def test_nothing_is_left_for_later(suffix: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob(suffix))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert not found, "\n".join(found)


IMPURE_SAMPLES = [
    "open('x')",
    "print(1)",
    "import os\nos.environ['HOME']",
    "from os import environ as e\ne['HOME']",
    "import datetime as dt\ndt.datetime.now(dt.UTC)",
    "from datetime import datetime\nfactory = datetime.now",
    "from datetime import date\ndate.today()",
    "import time\ntime.time()",
    "import time as clock\nclock.monotonic()",
    "import numpy as np\nnp.random.normal()",
    "import numpy as np\nnp.random.default_rng()",
    "from numpy.random import default_rng\ndefault_rng()",
    "import random\nrandom.random()",
    "from pathlib import Path\nPath('x').read_text()",
    "def f(path): return path.read_bytes()",
]
PURE_SAMPLES = [
    "import numpy as np\nnp.random.default_rng(seed)",
    "import numpy as np\ndef f(rng: np.random.Generator): return rng.normal()",
    "from datetime import datetime\ndatetime.fromisoformat('2026-01-01')",
    "def f(position, time): return position.open + time.hours",
    "import re\nre.compile('x')",
]


@pytest.mark.parametrize("text", IMPURE_SAMPLES)
def test_the_check_sees_what_touches_the_world(text: str) -> None:
    assert list(impure_names(sample(text)))


@pytest.mark.parametrize("text", PURE_SAMPLES)
def test_the_check_passes_what_does_not(text: str) -> None:
    assert list(impure_names(sample(text))) == []


def test_the_word_check_sees_definitions_and_not_uses() -> None:
    text = "def f(size): free = size\nclass A:\n    lot: int\n    def g(self): self.upl = x.now + h(ts=1)\n"
    assert {name for name, _ in defined_names(sample(text).tree)} >= {"size", "free", "lot", "upl"}
    assert not {name for name, _ in defined_names(sample(text).tree)} & {"now", "ts"}


def sample(text: str) -> Module:
    module = Module(Path("sample.py"), "margin/sample.py")
    module.__dict__["text"] = text
    return module
