"""Damage within the write-ahead log of an SQLite file, told from a transaction that its writer did not finish.

SQLite takes the first frame that is not whole for the end of the log; what stands behind it vanishes without a word.
But a writer begins a transaction only once the one before is on disk. So where a frame is not whole and a transaction
has begun behind the one it belongs to, something is lost that was acknowledged. What an earlier use of the log, or a
transaction that was given up, has left behind its end does not follow the frame before it, and counts for nothing.

The format: https://www.sqlite.org/fileformat2.html, section 4. A checksum (s, t) is made of words two by two:
``s += x + t; t += y + s``, modulo 2**32. That is linear: the word at place j from the end counts F(j) times in s and
F(j + 1) times in t, F being Fibonacci's numbers, and so do t and s that it begins with, as words around the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Damage", "damage_of"]

_Words = NDArray[np.uint32]

_HEADER: Final = 32  # bytes of the log's header
_FRAME: Final = 24  # and of a frame's
_MAGIC: Final = 0x377F0682  # and 1 more where words are big-endian
_PAGE, _SIZE, _SALTS, _SUM = 0, 1, slice(2, 4), slice(4, 6)  # words of a frame's header


@dataclass(frozen=True, slots=True)
class Damage:
    """What is not whole in a log.

    Parameters
    ----------
    salts
        Of the log, as it stands now.
    frame
        The first that is not whole, counted from 1; 0 is the log's header.
    frames, commits
        How many frames there are, and how many transactions end at the damaged one or behind it.
    whole
        Bytes of the log up to the end of the last transaction in front of it.
    """

    salts: bytes
    frame: int
    frames: int = field(compare=False)
    commits: int = field(compare=False)
    whole: int = field(compare=False)

    def __str__(self) -> str:
        if self.frame == 0:
            return "its log is damaged in its header: no transaction in it can be read"
        behind = f"{self.commits} transactions end there or behind"
        return f"its log is damaged at frame {self.frame} of {self.frames}: {behind}"


def damage_of(log: Path) -> Damage | None:
    """Return what is damaged in a log; None where there is nothing, or nothing but an end that was never finished."""
    found = _damage(log)
    while found is not None and (again := _damage(log)) != found:  # a writer that lives wrote while it was read
        found = again
    return found


def _damage(log: Path) -> Damage | None:
    content = log.read_bytes() if log.exists() else b""
    if len(content) <= _HEADER:
        return None
    header = np.frombuffer(content[:_HEADER], ">u4").astype(np.uint32)
    words = ">u4" if header[0] & 1 else "<u4"
    made = _sums(np.frombuffer(content[: _HEADER - 8], words).astype(np.uint32)[None])[0]
    salts = content[16:24]
    if header[0] & ~np.uint32(1) != _MAGIC or (made != header[6:]).any():
        return Damage(salts, 0, 0, 0, 0) if any(content[_HEADER:]) else None
    frames, covered = _frames(content, int(header[2]), words)
    right = (frames[:, _SALTS] == header[4:6]).all(axis=1)
    count = int(right.nonzero()[0][-1]) + 1 if right.any() else 0
    return _first_damage(frames[:count], covered[:count], right[:count], header, salts)


def _frames(content: bytes, page: int, words: str) -> tuple[_Words, _Words]:
    """Return the headers of a log's frames, and of each the words that its checksum covers."""
    length = _FRAME + page
    count = (len(content) - _HEADER) // length
    raw = np.frombuffer(content, np.uint8, count * length, _HEADER).reshape(count, length)
    covered = np.concatenate((raw[:, :8], raw[:, _FRAME:]), axis=1)
    return np.ascontiguousarray(raw[:, :_FRAME]).view(">u4").astype(np.uint32), covered.view(words).astype(np.uint32)


def _first_damage(
    frames: _Words, covered: _Words, right: NDArray[np.bool_], header: _Words, salts: bytes
) -> Damage | None:
    if not len(frames):
        return None
    sums, stored = _sums(covered), frames[:, _SUM]
    before = np.concatenate((header[None, 6:], stored[:-1]))
    made = sums + _carried(before, covered.shape[1])
    follows = right & (frames[:, _PAGE] > 0) & (made == stored).all(axis=1)  # the frame before it
    if follows.all():
        return None
    bad = int(follows.argmin())
    if bad + 1 < len(frames):  # where the checksum alone was damaged, the next frame follows what it should have been
        carried = sums[bad + 1] + _carried(made[bad : bad + 1], covered.shape[1])[0]
        follows[bad + 1] |= bool(right[bad + 1] and (carried == stored[bad + 1]).all())
    ends = frames[:, _SIZE] > 0
    ends[bad] |= _ended(stored[bad] - made[bad], covered.shape[1])
    if not (ends[bad:-1] & follows[bad + 1 :]).any():
        return None
    last = int(follows.nonzero()[0][-1])
    commits = int(ends[bad]) + int((ends & follows)[bad + 1 :].sum())
    kept = ends[:bad].nonzero()[0]
    length = _FRAME + 4 * (covered.shape[1] - 2)
    return Damage(salts, bad + 1, last + 1, commits, _HEADER + length * (int(kept[-1]) + 1 if len(kept) else 0))


def _ended(missing: _Words, count: int) -> bool:
    """Return whether a frame's checksum lacks one bit of its second word, without which no transaction ends there."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    return bool((bits[:, None] * _weights(count)[1] == missing).all(axis=1).any())


def _sums(covered: _Words) -> _Words:
    """Return the checksum of each row of words, begun at 0."""
    return covered @ _weights(covered.shape[1])


def _carried(before: _Words, count: int) -> _Words:
    """Return what checksums to begin with add to those of as many words."""
    fibonacci = _fibonacci(count + 1)
    low, middle, high = fibonacci[count - 1 :]
    return before @ np.array([[low, middle], [middle, high]], dtype=np.uint32)


@cache
def _weights(count: int) -> _Words:
    """Return how often each of so many words counts in either half of a checksum."""
    fibonacci = _fibonacci(count)
    return np.array([fibonacci[:count], fibonacci[1:]], dtype=np.uint32).T[::-1].copy()


def _fibonacci(last: int) -> list[int]:
    """Return Fibonacci's numbers 0 to `last`, modulo 2**32."""
    numbers = [0, 1]
    while len(numbers) <= last:
        numbers.append((numbers[-1] + numbers[-2]) & 0xFFFFFFFF)
    return numbers
