"""What the process ends with; a part of the contract with scripts."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every command."""

    OK = 0
    SOME_REFUSED = 1
    USAGE = 2
    INPUT_REFUSED = 3
    RULEBOOK = 4
    DIFFERENCES = 5
    INTERNAL = 70
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.SOME_REFUSED: "some accounts were refused, the others are right",
    ExitCode.USAGE: "the command line cannot be understood",
    ExitCode.INPUT_REFUSED: "the input was refused",
    ExitCode.RULEBOOK: "the rulebook is unknown or invalid",
    ExitCode.DIFFERENCES: "conformance, lint or diff found differences",
    ExitCode.INTERNAL: "an error of crossmargin itself; please report it",
    ExitCode.INTERRUPTED: "interrupted",
}
