"""A rulebook's procedure in the state machine: margin calls, liquidation, auctions, the waterfall."""

from crossmargin.clearing.procedure.outside import Outside
from crossmargin.clearing.procedure.react import Procedures, rules_with_procedure

__all__ = ["Outside", "Procedures", "rules_with_procedure"]
