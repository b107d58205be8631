"""Objects with large arrays for other processes, in mapped files: written once, copied by nobody who reads."""

from __future__ import annotations

import mmap
import pickle
import shutil
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["folder_for", "map_array", "read", "write", "write_zeros"]

_LINE: Final = 64  # bytes in a cache line: arrays start on one
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of files with names of their own is made in it
_SPARE: Final = 2
_BLOCK: Final = bytes(1 << 20)


def folder_for(content: int) -> str:
    """Return where to make files of so many bytes: in memory where there is room for twice as many, else on disk."""
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _SPARE * content:
        return str(_IN_MEMORY)
    return gettempdir()


def write(path: Path, value: object) -> None:
    """Write an object; its arrays stand apart from the rest, each on a cache line."""
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    parts: list[bytes | memoryview] = [head, *(array.raw() for array in arrays)]
    table = np.asarray([len(parts), *map(len, parts)], dtype=np.int64).tobytes()
    with path.open("wb") as file:
        for part in (table, *parts):
            file.write(part)
            file.write(bytes(-len(part) % _LINE))


def read(path: Path) -> Any:  # noqa: ANN401 - what was written
    """Return the object of :func:`write`; its arrays are the file's own bytes, and cannot be written to."""
    with path.open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    count = int(np.frombuffer(whole, np.int64, 1)[0])
    lengths = np.frombuffer(whole, np.int64, count, offset=8).tolist()
    parts, at = [], _padded(8 * (count + 1))
    for length in lengths:
        parts.append(whole[at : at + length])
        at += _padded(length)
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - written by the process that started this one


def _padded(length: int) -> int:
    return length + -length % _LINE


def write_zeros(path: Path, content: int) -> None:
    """Write a file of so many zeros, so that want of room is an error now and not a signal when it is mapped."""
    with path.open("wb") as file:
        for _ in range(content // len(_BLOCK)):
            file.write(_BLOCK)
        file.write(bytes(max(content % len(_BLOCK), 1)))


def map_array(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return a file of :func:`write_zeros` as numbers; who writes to them is seen by all who map it."""
    with path.open("r+b") as file:
        whole = mmap.mmap(file.fileno(), 0)
    return np.frombuffer(whole, np.float64, int(np.prod(shape))).reshape(shape)
