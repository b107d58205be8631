"""The three rulebooks under which the crash is drawn and tested, and the form of the desk that each of them takes."""

from crossmargin.account import Account
from tests.shared.desk import Holding

# Derive lists only contracts settled in USDC: it is given the desk's linear twin.
RULEBOOKS = {"deribit-portfolio": "2026-02-01", "derive-portfolio": "2026-02-03", "reference": None}


def rulebook_of(name: str) -> str:
    """The rulebook in force during the crash; ours is of no day."""
    day = RULEBOOKS[name]
    return name if day is None else f"{name}@{day}"


def account_under(name: str, holding: Holding) -> Account:
    """The desk as the venue of a rulebook would hold it."""
    return holding.linear() if name == "derive-portfolio" else holding.inverse()
