"""When a liquidation is over, and by how much it is."""

from __future__ import annotations

from math import nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from crossmargin.liquidation.formulas import value_of
from crossmargin.liquidation.scope import Scope
from crossmargin.margin.expression import Comparison
from crossmargin.margin.model import MAINTENANCE
from crossmargin.margin.procedure_checks import HEADROOM

if TYPE_CHECKING:
    from crossmargin.liquidation.case import Case
    from crossmargin.liquidation.moves import Desk
    from crossmargin.liquidation.pools import Leg, Pool
    from crossmargin.margin.model import Formula
    from crossmargin.margin.procedure import Procedure

__all__ = ["ended", "scope_of", "slack_in", "slack_of"]


def scope_of(procedure: Procedure, pool: Pool, case: Case | None, desk: Desk, leg: Leg | None = None) -> Scope:
    """Return where the formulas of a procedure are evaluated."""
    return Scope(procedure, pool, case, leg, stated=desk.stated, exactly=desk.exactly)


def ended(procedure: Procedure, pool: Pool, case: Case, desk: Desk) -> bool:
    """Return whether the liquidation is over: `until` holds, or the target's headroom is at least 0."""
    rule = procedure.liquidation
    scope = scope_of(procedure, pool, case, desk)
    if rule.until is not None:
        return scope.holds(rule.until)
    return scope.named(f"{rule.target or MAINTENANCE}{HEADROOM}") >= 0


def slack_of(procedure: Procedure, pool: Pool, case: Case, desk: Desk) -> float:
    """Return by how much a liquidation is over, below 0 while it is not; NaN where `until` asks for equality."""
    rule = procedure.liquidation
    scope = scope_of(procedure, pool, case, desk)
    if rule.until is None:
        return float(scope.named(f"{rule.target or MAINTENANCE}{HEADROOM}"))
    return slack_in(scope, rule.until)


def slack_in(scope: Scope, condition: Formula) -> float:
    """Return by how much a condition holds, below 0 while it does not; NaN where it asks for equality."""
    tree = condition.tree
    assert isinstance(tree, Comparison)
    left, right = (float(value_of(part, scope.lookup, exactly=scope.exactly)) for part in (tree.left, tree.right))
    return _SIGNS.get(tree.op, nan) * (left - right)


_SIGNS: Final = MappingProxyType({">": 1.0, ">=": 1.0, "<": -1.0, "<=": -1.0})
