# The compiled kernels: arrays in, arrays filled. Built from native/ at the root of the checkout.
from collections.abc import Mapping
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

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
def option_values(
    forward: Floats,
    strike: Floats,
    vol: Floats,
    years: Floats,
    sign: Floats,
    discount: Floats,
    out: Floats,
    threads: int,
    /,
) -> None: ...
def option_greeks(
    forward: Floats,
    strike: Floats,
    vol: Floats,
    years: Floats,
    sign: Floats,
    discount: Floats,
    out: Floats,
    threads: int,
    /,
) -> None: ...
def implied_vols(
    price: Floats,
    forward: Floats,
    strike: Floats,
    years: Floats,
    sign: Floats,
    discount: Floats,
    out: Floats,
    threads: int,
    /,
) -> None: ...
def revalue(
    columns: tuple[Floats, ...],
    flags: tuple[npt.NDArray[np.bool_] | None, ...],
    contract: Ints,
    vols: Floats,
    vol_of: Ints,
    moves: tuple[Floats, ...],
    spot: Floats,
    cells: Floats,
    today: Floats,
    discount: bool,
    threads: int,
    /,
) -> bool: ...
def probe(which: str, values: Floats, rounds: int, /) -> float: ...
def levels() -> list[str]: ...
def use_level(name: str, /) -> None: ...
def threads() -> int: ...

@final
class Engine:
    def __new__(
        cls, book: Mapping[str, object], program: Mapping[str, object], desk: Mapping[str, object] | None = None, /
    ) -> Engine: ...
    def run(self, units: Ints | None, out: Floats, threads: int, /) -> int: ...
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
