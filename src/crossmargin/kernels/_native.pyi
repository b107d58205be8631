# The compiled kernels: structures of arrays in, arrays filled. Built from native/ at the root of the checkout.
from collections.abc import Mapping
from typing import final

import numpy as np
import numpy.typing as npt

@final
class Arguments:
    def __new__(
        cls, structure: str, items: tuple[npt.NDArray[np.generic] | int | Arguments | None, ...], /
    ) -> Arguments: ...

def run(arguments: Arguments, rows: int, rows_of_range: int, threads: int, /) -> int: ...
def check(
    arguments: Arguments,
    numbers: Mapping[str, int],
    places: Mapping[str, int],
    answer: type[tuple[float, ...]],
    account: str | int,
    contract: str | int,
    quantity: float,
    price: float | None,
    /,
) -> tuple[float, float, float, float] | None: ...
def use_level(name: str, /) -> bool: ...
