"""Other libraries that do a part of the same, where they are installed: never a dependency of this package."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["PEERS", "Blocks", "absent", "module", "versions"]

PEERS: Final = {  # what is imported of each: one that is there without what it needs itself is absent
    "scipy": "scipy.special",
    "QuantLib": "QuantLib",
    "py_vollib": "vollib.black.implied_volatility",  # since 1.0.12 the one is a name for the other
    "nautilus_trader": "nautilus_trader.core.nautilus_pyo3",
}
_CELLS: Final = 1 << 20  # that SciPy makes at a time: they stay in cache or near


def module(name: str) -> Any | None:  # noqa: ANN401  # other people's
    """Return a module of a peer; None where it cannot be imported."""
    with suppress(ImportError):
        return import_module(name)
    return None


def absent() -> tuple[str, ...]:
    """Return the peers that cannot be imported here."""
    return tuple(name for name, package in PEERS.items() if module(package) is None)


def versions() -> dict[str, str]:
    """Return the versions of the peers that are here."""
    found = {}
    for name in PEERS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class Blocks:
    """Groups of legs as SciPy's sparse rows, built before anything is timed, some of them to a block."""

    def __init__(
        self, scale: Floats, index: npt.NDArray[Any], starts: npt.NDArray[np.int64], shape: tuple[int, int]
    ) -> None:
        contracts, columns = shape
        rows = max(_CELLS // columns, 1)
        sparse = module("scipy.sparse")
        self.groups = starts.shape[0]
        ends = np.append(starts[1:], scale.shape[0])
        self.rows: list[Any] = []
        for first in range(0, self.groups if sparse else 0, rows):
            last = min(first + rows, self.groups)
            low, high = int(starts[first]), int(ends[last - 1])
            pointers = np.append(starts[first:last], high) - low
            parts = (scale[low:high], index[low:high].astype(np.int32), pointers.astype(np.int32))
            self.rows.append(sparse.csr_array(parts, (last - first, contracts)))  # type: ignore[union-attr]

    def each(self, matrix: Floats, reduce: Callable[[Floats], Floats], threads: int = 1) -> Floats:
        """Return `reduce` of the rows of every block's product with `matrix`, [groups]; by SciPy on so many threads."""

        def one(rows: Any) -> Floats:  # noqa: ANN401
            return reduce(rows @ matrix)

        if threads == 1:
            return np.concatenate([one(rows) for rows in self.rows])
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(one, self.rows)))
