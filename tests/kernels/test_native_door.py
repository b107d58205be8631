"""The door of the compiled module: what is given as a structure is held, checked item by item, and run by threads."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossmargin.kernels import kernels_here, use_kernel

if len(kernels_here()) == 1:
    pytest.skip("no compiled kernel is built here", allow_module_level=True)

from crossmargin.kernels import _native, native_engine  # where it is built

Door: Any = _native.Arguments  # what is wrong for its types, too
LEGS = 4


def worst(**changes: object) -> tuple[Any, ...]:
    """The items of the kernel of worst losses, some of them changed."""
    table = np.zeros((3, 8))
    table[:, :2] = [[1.0, -2.0], [3.0, 4.0], [-1.0, 1.0]]
    items = {
        "scale": np.ones(LEGS), "index": np.array([0, 1, 2, 0], np.int32), "starts": np.array([0, 2]),
        "matrix": table, "out": np.full(2, 7.0), "legs": LEGS, "groups": 2, "contracts": 3, "scenarios": 2, "pitch": 8,
        "shares": None, "depth": 1,
    }  # fmt: skip
    return tuple((items | changes).values())


def test_a_kernel_fills_what_it_is_given() -> None:
    out = np.full(2, 7.0)
    assert _native.run(Door("group_worst", worst(out=out)), 2, 1, 2) == 0
    assert out.tolist() == [0.0, 1.0]


WITHOUT_THREADS = """
import resource, numpy as np
from crossmargin.kernels import _native, native_engine

rng = np.random.default_rng(1)
groups = 5000
out, index = np.zeros(groups), rng.integers(0, 30, 4 * groups).astype(np.int32)
numbers = 4 * groups, groups, 30, 16, 16, None, 1
given = _native.Arguments("group_worst", (
    rng.normal(size=4 * groups), index, np.arange(groups) * 4, rng.normal(size=(30, 16)), out, *numbers
))
assert _native.run(given, groups, 10, 1) == 0
wanted, out[:] = out.copy(), 0.0
pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + (2 << 20)  # less than a thread's stack
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    import threading

    threading.Thread(target=int).start()
except RuntimeError:
    assert _native.run(given, groups, 10, 4) == 0
    assert np.array_equal(out, wanted)
    print("served")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say how much memory is in use")
def test_where_the_system_gives_no_threads_the_caller_serves() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_THREADS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("served\n", 0), done.stderr


def test_arrays_are_held_as_long_as_they_are_needed() -> None:
    scale, index, starts, table, out, *numbers = worst()
    given = Door("group_worst", (scale * 1.0, index + 0, starts + 0, table * 1.0, out, *numbers))
    gc.collect()
    assert _native.run(given, 2, 4096, 1) == 0
    assert out.tolist() == [0.0, 1.0]


SIDE = "aligned and side by side"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scale": np.ones(LEGS, np.float32)}, f"an array of float64, {SIDE}"),
        ({"scale": np.ones(LEGS, ">f8")}, f"an array of float64, {SIDE}"),
        ({"scale": np.ones(2 * LEGS)[::2]}, f"an array of float64, {SIDE}"),
        ({"scale": np.frombuffer(b"x" + bytes(8 * LEGS), np.float64, offset=1)}, f"an array of float64, {SIDE}"),
        ({"scale": [1.0] * LEGS}, f"an array of float64, {SIDE}"),
        ({"scale": 1.0}, f"an array of float64, {SIDE}"),
        ({"index": np.zeros(LEGS, np.int64)}, f"an array of int32, {SIDE}"),
        ({"starts": np.zeros(2, np.int32)}, f"an array of int64, {SIDE}"),
        ({"matrix": np.zeros((8, 3)).T}, f"an array of float64, {SIDE}"),
        ({"legs": 1.5}, "integer"),
        ({"legs": None}, "integer"),
        ({"legs": "4"}, "integer"),
    ],
)
def test_items_of_another_sort_are_refused(change: dict[str, object], match: str) -> None:
    with pytest.raises(TypeError, match=match):
        Door("group_worst", worst(**change))


def test_what_cannot_be_written_is_refused() -> None:
    out = np.zeros(2)
    out.flags.writeable = False
    with pytest.raises(TypeError, match=f"a writable array of float64, {SIDE}"):
        Door("group_worst", worst(out=out))


def test_a_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        Door("group_worst", worst(legs=1 << 63))


def test_structures_are_known_by_name_and_whole() -> None:
    with pytest.raises(ValueError, match="there is no structure of this name"):
        Door("of this name", worst())
    with pytest.raises(IndexError):
        Door("group_worst", worst()[:-1])
    with pytest.raises(IndexError, match="group_worst has 12 items"):
        Door("group_worst", (*worst(), None))
    for wrong in (("group_worst",), ("group_worst", [*worst()]), (b"group_worst", worst())):
        with pytest.raises(TypeError):
            Door(*wrong)


def test_a_structure_takes_the_parts_that_it_names() -> None:
    book = Door("book", (*[None] * 11, 0, 0, 0, 0))
    for wrong in (book, Door("group_worst", worst()), np.zeros(3), 5):
        with pytest.raises(TypeError, match="expected another structure"):
            Door("evaluate", (wrong, book, None, np.zeros(1), 1))


def test_what_is_no_kernel_does_not_run() -> None:
    with pytest.raises(ValueError, match="book cannot run"):
        _native.run(Door("book", (*[None] * 11, 0, 0, 0, 0)), 1, 1, 1)
    given: Any = Door("group_worst", worst())
    with pytest.raises(ValueError, match="cannot run"):
        _native.run(given, 2, 0, 1)
    for wrong in ((worst(), 2, 1, 1), (given, 2, 1), (given, 2.5, 1, 1)):
        with pytest.raises(TypeError):
            _native.run(*wrong)
    assert _native.run(given, 0, 1, 4) == 0
    assert _native.run(given, -3, 1, 4) == 0


def test_levels_are_chosen_by_name() -> None:
    serving = native_engine.name()
    wrong: Any
    for level in ("avx9", "", "v"):
        with pytest.raises(ValueError, match=f"this processor has no level '{level}'"):
            native_engine.use_level(level)
    for wrong in (5, None):
        with pytest.raises(TypeError):
            _native.use_level(wrong)
    assert native_engine.name() == serving
    for name in kernels_here()[1:]:
        use_kernel(name)
        test_a_kernel_fills_what_it_is_given()


def test_checks_take_their_number_of_arguments() -> None:
    door: Any = _native.check
    with pytest.raises(TypeError, match="check: expected 4 arguments, found 1"):
        door(*[None] * 5)
