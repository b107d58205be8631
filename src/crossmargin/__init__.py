"""Cross-margin engine for crypto derivatives.

One call answers what a portfolio is worth, how much must back it, and why::

    report = crossmargin.assess(account, snapshot, rulebook)

Every stable name stands here and is loaded on its first use, so that ``import crossmargin`` costs nothing.
Whatever lies deeper may move; `clearing`, `liquidation`, `simulation` and `sources.journals` are used by their names.
"""

from typing import TYPE_CHECKING

from crossmargin._version import __version__

if TYPE_CHECKING:
    from crossmargin.account import Account, Book, Order, Position
    from crossmargin.analysis.compare import compare
    from crossmargin.analysis.conformance import run_conformance
    from crossmargin.analysis.explain import explain
    from crossmargin.analysis.reconcile import reconcile
    from crossmargin.analysis.whatif import what_if
    from crossmargin.errors import CrossmarginError, Failure, FailureReason, InputError, RulebookError
    from crossmargin.instruments import ContractKind, Instrument, InstrumentKind, OptionType
    from crossmargin.margin import MarginReport, Rulebook
    from crossmargin.margin.assess import BookReport, assess, assess_book
    from crossmargin.margin.exact import ExactReport, assess_exact
    from crossmargin.margin.program.compact import CompactBook, compact
    from crossmargin.margin.program.live import LiveBook
    from crossmargin.margin.resolve import resolve
    from crossmargin.market import AssetQuote, Listing, Snapshot
    from crossmargin.sources import load_accounts, load_rulebook, load_snapshot
else:
    # Under `else`, because a module-level `__getattr__` would make a type checker accept any misspelt name.
    from importlib import import_module as _import_module

    _ROOMS = {
        "account": ("Account", "Book", "Order", "Position"),
        "analysis": ("compare", "explain", "reconcile", "run_conformance", "what_if"),
        "errors": ("CrossmarginError", "Failure", "FailureReason", "InputError", "RulebookError"),
        "instruments": ("ContractKind", "Instrument", "InstrumentKind", "OptionType"),
        "margin": (
            *("BookReport", "ExactReport", "LiveBook", "MarginReport", "Rulebook"),
            *("assess", "assess_book", "assess_exact", "compact", "CompactBook", "resolve"),
        ),
        "market": ("AssetQuote", "Listing", "Snapshot"),
        "sources": ("load_accounts", "load_rulebook", "load_snapshot"),
    }
    _ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

    def __getattr__(name: str) -> object:
        room = _ROOM_OF.get(name)
        if room is None:
            raise AttributeError(f"module 'crossmargin' has no attribute {name!r}")
        found = getattr(_import_module(f"crossmargin.{room}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Account",
    "AssetQuote",
    "Book",
    "BookReport",
    "CompactBook",
    "ContractKind",
    "CrossmarginError",
    "ExactReport",
    "Failure",
    "FailureReason",
    "InputError",
    "Instrument",
    "InstrumentKind",
    "Listing",
    "LiveBook",
    "MarginReport",
    "OptionType",
    "Order",
    "Position",
    "Rulebook",
    "RulebookError",
    "Snapshot",
    "__version__",
    "assess",
    "assess_book",
    "assess_exact",
    "compact",
    "compare",
    "explain",
    "load_accounts",
    "load_rulebook",
    "load_snapshot",
    "reconcile",
    "resolve",
    "run_conformance",
    "what_if",
]
