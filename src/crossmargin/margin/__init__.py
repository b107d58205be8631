"""Rulebooks and the engine: resolve names once, then evaluate lines on arrays, then report."""

from crossmargin.margin.assess import BookReport, assess, assess_book, assess_resolved
from crossmargin.margin.exact import ExactPool, ExactReport, assess_exact
from crossmargin.margin.model import CustomKind, Rulebook
from crossmargin.margin.parser import numbers, parse_rulebook, with_values
from crossmargin.margin.report import AccountState, BookRow, MarginReport, PoolReport
from crossmargin.margin.resolve import resolve
from crossmargin.margin.resolved import Resolved

__all__ = [
    "AccountState",
    "BookReport",
    "BookRow",
    "CustomKind",
    "ExactPool",
    "ExactReport",
    "MarginReport",
    "PoolReport",
    "Resolved",
    "Rulebook",
    "assess",
    "assess_book",
    "assess_exact",
    "assess_resolved",
    "numbers",
    "parse_rulebook",
    "resolve",
    "with_values",
]
