"""The account engine's operations by name, numbered as in `native/arguments.h`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPS"]

_NAMES: Final = (
    "add", "sub", "mul", "div", "pow", "abs", "sqrt", "exp", "log", "min", "max", "lt", "le", "eq", "select", "ceil_to",
    "tiers", "table", "input", "legsum", "sum", "largest", "lift", "scan", "max_loss", "worst_side",
)  # fmt: skip
OPS: Final[Mapping[str, int]] = MappingProxyType({name: number for number, name in enumerate(_NAMES, 1)})
