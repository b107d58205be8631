"""The state machine: exact ledger, commands to events to state, and the journal it is rebuilt from. Single writer."""

from crossmargin.clearing.bridge import rules_of
from crossmargin.clearing.decide import decide
from crossmargin.clearing.house import Answer, House
from crossmargin.clearing.journal import Journal, Recovery, recover, replay
from crossmargin.clearing.memory import MemoryJournal
from crossmargin.clearing.procedure import Outside, rules_with_procedure
from crossmargin.clearing.rules import Figures, Refusal, Rules
from crossmargin.clearing.state import State, evolve

__all__ = [
    "Answer",
    "Figures",
    "House",
    "Journal",
    "MemoryJournal",
    "Outside",
    "Recovery",
    "Refusal",
    "Rules",
    "State",
    "decide",
    "evolve",
    "recover",
    "replay",
    "rules_of",
    "rules_with_procedure",
]
