"""How long whole processes take: `--help`, an import, `assess` of the demo's accounts."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from crossmargin.bench.result import result
from crossmargin.bench.timing import take_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting

__all__ = ["run"]


def run(setting: Setting) -> Iterator[Result]:
    """Yield the one row: its seconds are those of `--help`."""
    folder = files("crossmargin.cli").joinpath("demo")
    with ExitStack() as stack:
        paths = [
            str(stack.enter_context(as_file(folder.joinpath(f"{name}.json")))) for name in ("accounts", "snapshot")
        ]
        contenders = {
            "help": _process("-m", "crossmargin", "--help"),
            "assess_demo": _process("-m", "crossmargin", "assess", *paths),
            "import": _process("-c", "import crossmargin"),
            "python": _process("-c", ""),
        }
        taken = take_turns(contenders, setting.repetitions, setting.enough)
    yield result("startup", 1, taken["help"], parts=taken)


def _process(*words: str) -> Callable[[], object]:
    command = [sys.executable, *words]
    return lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # this Python, our own words
