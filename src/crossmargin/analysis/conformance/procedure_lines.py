"""What adapters of procedure cases share: a line of a rulebook's procedure evaluated over stated figures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from crossmargin.analysis.conformance.case import Figure, Run
from crossmargin.liquidation.case import Case
from crossmargin.liquidation.pools import Leg, Pool
from crossmargin.liquidation.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Amount
    from crossmargin.margin import Rulebook

__all__ = ["evaluated", "line_run", "scope_at"]


def scope_at(
    rulebook: Rulebook,
    stated: Mapping[str, Amount],
    *,
    time: float = 0.0,
    exactly: bool = False,
    leg: Leg | None = None,
) -> Scope:
    """Return where a procedure's lines are read: over what a case states, so many seconds after it began."""
    pool = Pool(stated)
    case = Case(start=pool, time=time)
    return Scope(rulebook.procedure, pool, case, leg, stated=stated, exactly=exactly)


def evaluated(rulebook: Rulebook, line: str, stated: Mapping[str, Amount], **where: Any) -> Amount:  # noqa: ANN401 - as `scope_at` takes them
    """Return a line of a rulebook's procedure."""
    return scope_at(rulebook, stated, **where).named(line)


def line_run(
    name: str,
    expected: Mapping[str, tuple[Amount, float]],
    read: Callable[[str], Amount],
) -> Run:
    """Return a case of lines: each expected number with its tolerance, and what computes it by name."""
    figures = tuple(Figure(key, number, partial(_of, key), tolerance) for key, (number, tolerance) in expected.items())
    return Run(name, figures, lambda: read)


def _of(key: str, read: Callable[[str], Amount]) -> Amount:
    return read(key)
