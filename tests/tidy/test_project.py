"""The project's own files say the same thing wherever they say it."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import crossmargin

HEADINGS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def fragments(root: Path) -> list[Path]:
    return sorted(path for path in (root / "changelog.d").glob("*.md") if path.name != "README.md")


def test_fragments_are_named_and_headed_as_their_readme_says(root: Path) -> None:
    for path in fragments(root):
        assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name), path.name
        text = path.read_text(encoding="utf-8")
        assert text.startswith("## "), path.name
        assert set(re.findall(r"^#+ (.*)$", text, re.MULTILINE)) <= HEADINGS, path.name


@pytest.mark.parametrize("name", ["py.typed", "rulebooks"])
def test_data_files_stand_in_the_package(name: str) -> None:
    assert (Path(crossmargin.__file__).parent / name).exists()


def test_every_room_of_the_table_is_a_room(root: Path) -> None:
    rooms = {path.stem for path in (root / "src" / "crossmargin").iterdir()}
    assert set(crossmargin.__dict__["_ROOMS"]) <= rooms


def test_the_kernels_are_built_where_they_can_be() -> None:
    """`make` says where: it finds a compiler and Python's headers, which may have come after the installation."""
    if not os.environ.get("CROSSMARGIN_REQUIRE_NATIVE"):
        pytest.skip("no compiler, or no headers of Python: `make unit` says so when it finds both")
    built = find_spec("crossmargin.kernels._native")
    assert built is not None, "there is a compiler now, and the kernels are not built: run `make clean setup`"


def test_what_is_compiled_does_not_grow(root: Path) -> None:
    """Decision 0027: lines of code, without comments and empty ones; what is added takes the place of something."""
    texts = [path.read_text(encoding="utf-8") for path in (root / "native").iterdir()]
    assert not any("/*" in text for text in texts)
    lines = [line.rstrip() for text in texts for line in text.splitlines()]
    assert sum(bool(line) and not line.lstrip().startswith("//") for line in lines) < 1_500
    assert max(map(len, lines)) <= 120


def test_instruction_sets_lend_one_another_no_code(root: Path) -> None:
    """Of a function that several objects hold in common the linker keeps one, maybe for a wider instruction set."""
    objects = sorted(root.glob("build/*/CMakeFiles/kernels_*/native/level.cpp.o"))
    names = shutil.which("nm")
    if not objects or names is None:
        pytest.skip("the kernels were not built in this checkout, or there is no nm")
    for path in objects:
        found = subprocess.run([names, "-C", str(path)], capture_output=True, text=True, check=True).stdout
        shared = [line for line in found.splitlines() if " W " in line]
        assert not shared, f"{path.parts[-3]}: {shared}"


def test_every_benchmark_can_be_started(root: Path) -> None:
    """They run by hand and seldom: what one imports may be gone by then."""
    names = sorted(path.stem for path in (root / "benchmarks").glob("*.py") if path.stem != "__init__")
    code = "; ".join(f"import benchmarks.{name}" for name in names)
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
