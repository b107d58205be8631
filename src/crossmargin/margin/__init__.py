"""Rulebooks and the engine: resolve names once, then evaluate lines on arrays, then report."""

from typing import TYPE_CHECKING

from crossmargin.margin.assess import BookReport, assess, assess_book, assess_resolved
from crossmargin.margin.exact import ExactPool, ExactReport, assess_exact
from crossmargin.margin.model import CustomKind, Rulebook
from crossmargin.margin.parser import numbers, parse_rulebook, with_values
from crossmargin.margin.report import AccountState, BookRow, MarginReport, PoolReport
from crossmargin.margin.resolve import resolve
from crossmargin.margin.resolved import Resolved

if TYPE_CHECKING:
    from crossmargin.margin.program.assess import CompactReport
    from crossmargin.margin.program.compact import CompactBook, compact
    from crossmargin.margin.program.live import LiveBook
else:
    from importlib import import_module as _import_module

    # what large books need is loaded when it is first asked for: a single account starts without it
    _LATER = {"CompactBook": "compact", "CompactReport": "assess", "LiveBook": "live", "compact": "compact"}

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module 'crossmargin.margin' has no attribute {name!r}")
        return getattr(_import_module(f"crossmargin.margin.program.{_LATER[name]}"), name)


__all__ = [
    "AccountState",
    "BookReport",
    "BookRow",
    "CompactBook",
    "CompactReport",
    "CustomKind",
    "ExactPool",
    "ExactReport",
    "LiveBook",
    "MarginReport",
    "PoolReport",
    "Resolved",
    "Rulebook",
    "assess",
    "assess_book",
    "assess_exact",
    "assess_resolved",
    "compact",
    "numbers",
    "parse_rulebook",
    "resolve",
    "with_values",
]
