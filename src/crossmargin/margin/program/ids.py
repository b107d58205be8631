"""Account ids of a large book: their text end to end, and where each one ends, with no Python string for any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, overload

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Ids"]

_TOGETHER: Final = 1 << 16  # ids that are mixed at once: their text stays in the cache
_BASE: Final = 0x9E3779B97F4A7C15  # odd, so that it has an inverse; its bits are those of the golden ratio


@dataclass(frozen=True, slots=True, eq=False)
class Ids(Sequence[str]):
    """Strings that read as a tuple does. `ends` i64 [ids + 1] are places in `text`, UTF-8; a slice is a view."""

    ends: npt.NDArray[np.int64]
    text: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, names: Iterable[str]) -> Ids:
        """Return these ids end to end."""
        if isinstance(names, Ids):
            return names
        parts = [name.encode() for name in names]
        ends = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=ends[1:])
        return cls(ends, np.frombuffer(b"".join(parts), dtype=np.uint8))

    @classmethod
    def join(cls, parts: Sequence[Ids]) -> Ids:
        """Return the ids of several, one after the other."""
        packed = [part.packed() for part in parts]
        before = np.cumsum([0, *(part.text.shape[0] for part in packed)])
        ends = [part.ends[1:] + first for part, first in zip(packed, before.tolist(), strict=False)]
        return cls(
            np.concatenate([np.zeros(1, dtype=np.int64), *ends]),
            np.concatenate([part.text for part in packed]) if packed else np.zeros(0, dtype=np.uint8),
        )

    def packed(self) -> Ids:
        """Return the same ids over no more text than theirs."""
        first, last = int(self.ends[0]), int(self.ends[-1])
        return self if first == 0 and last == self.text.shape[0] else Ids(self.ends - first, self.text[first:last])

    def repeated(self) -> npt.NDArray[np.int64]:
        """Return the places of the ids that stand more than once, ascending; no Python string for any other."""
        mixed = self._mixed()
        ordered = np.sort(mixed)
        doubtful = np.flatnonzero(np.isin(mixed, ordered[1:][ordered[1:] == ordered[:-1]]))
        names = [self[n] for n in doubtful.tolist()]
        counts = Counter(names)
        return doubtful[[n for n, name in enumerate(names) if counts[name] > 1]]

    def _mixed(self) -> npt.NDArray[np.uint64]:
        """Return a number for each id, the same for the same ids and as good as never for others: a polynomial."""
        parts = [self[first : first + _TOGETHER].packed() for first in range(0, len(self), _TOGETHER)]
        longest = max((part.text.shape[0] for part in parts), default=0)
        power, inverse = (_powers(base, longest) for base in (_BASE, pow(_BASE, -1, 1 << 64)))
        found = [np.zeros(0, dtype=np.uint64)]
        for part in parts:
            sums = np.zeros(part.text.shape[0] + 1, dtype=np.uint64)
            np.cumsum((part.text + np.uint64(1)) * power[: part.text.shape[0]], out=sums[1:])  # modulo 2^64
            first, last = part.ends[:-1], part.ends[1:]
            found.append((sums[last] - sums[first]) * inverse[first])
        return np.concatenate(found)

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return int(self.ends.nbytes + self.text.nbytes)

    def __len__(self) -> int:
        """Return how many there are."""
        return int(self.ends.shape[0]) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Ids: ...
    def __getitem__(self, place: int | slice) -> str | Ids:
        """Return one id, or those of a slice without a step."""
        if isinstance(place, slice):
            first, last, step = place.indices(len(self))
            if step != 1:
                return Ids.of(self[i] for i in range(first, last, step))
            return Ids(self.ends[first : max(first, last) + 1], self.text)
        if not -len(self) <= place < len(self):
            message = f"id {place} of {len(self)}"
            raise IndexError(message)
        place %= len(self)
        return self.text[self.ends[place] : self.ends[place + 1]].tobytes().decode()

    def __eq__(self, other: object) -> bool:
        """Whether the other sequence holds the same strings in this order."""
        if isinstance(other, Ids):
            a, b = self.packed(), other.packed()
            return np.array_equal(a.ends, b.ends) and np.array_equal(a.text, b.text)
        if isinstance(other, Sequence) and not isinstance(other, str):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list: its arrays could change


def _powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    """Return base ** 0 .. base ** count, modulo 2^64."""
    found = np.full(count + 1, base, dtype=np.uint64)
    found[0] = 1
    return np.cumprod(found)
