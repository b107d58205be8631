# The compiled kernels: arrays in, arrays filled. Built from native/ at the root of the checkout.
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Items: TypeAlias = tuple[npt.NDArray[Any] | int, ...]

def groups(
    scale: Floats,
    index: npt.NDArray[np.int32],
    matrix: Floats,
    starts: Ints,
    shares: Floats,
    depth: int,
    measure: int,
    scenarios: int,
    out: Floats,
    threads: int,
    /,
) -> None: ...
def option_values(items: Items, rows: int, in_row: int, threads: int, /) -> int: ...
def option_greeks(items: Items, rows: int, in_row: int, threads: int, /) -> int: ...
def implied_vols(items: Items, rows: int, in_row: int, threads: int, /) -> int: ...
def revalue(items: Items, rows: int, in_row: int, threads: int, /) -> int: ...
def probe_reads(items: Items, rows: int, in_row: int, threads: int, /) -> int: ...
def probe_multiply_adds(items: Items, rows: int, in_row: int, threads: int, /) -> int: ...
def levels() -> list[str]: ...
def use_level(name: str, /) -> None: ...
def threads() -> int: ...

OPS: Final[Mapping[str, int]]

@final
class Engine:
    def __new__(
        cls, book: Mapping[str, object], program: Mapping[str, object], desk: Mapping[str, object] | None = None, /
    ) -> Engine: ...
    def run(self, units: Ints | None, out: Floats, threads: int, /) -> None: ...
    def check(
        self, account: str | int, contract: str | int, quantity: float, price: float | None, /
    ) -> tuple[float, float, float, float] | None: ...
    def checks(
        self,
        account: Ints,
        contract: Ints,
        quantity: Floats,
        price: Floats,
        order: Ints,
        out: Floats,
        aside: npt.NDArray[np.uint8],
        threads: int,
        /,
    ) -> None: ...

def scan_lines(records: bytes, first: int, /) -> list[tuple[int, int, int]] | None: ...
def fold_lines(
    records: bytes,
    begin: int,
    end: int,
    first: int,
    balances: dict[str, dict[tuple[str, str], int]],
    sources: dict[str, int],
    count: int,
    /,
) -> str | None: ...
