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
    from crossmargin.margin.program.compact import CompactBook, compact, compact_books
    from crossmargin.margin.program.join import join_books
    from crossmargin.margin.program.live import LiveBook
else:

    def __getattr__(name: str) -> object:
        """Load what large books need when it is first asked for: a single account starts without it."""
        if name not in __all__:
            raise AttributeError(f"module 'crossmargin.margin' has no attribute {name!r}")
        from crossmargin.margin.program import public  # noqa: PLC0415 (as said)

        return getattr(public, name)


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
    "compact_books",
    "join_books",
    "numbers",
    "parse_rulebook",
    "resolve",
    "with_values",
]
