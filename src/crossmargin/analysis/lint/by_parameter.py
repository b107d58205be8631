"""Whether every parameter moves what is left the same way: each is tried at half and at twice its value.

A share in [0, 1] stays there. What must hold: of one account, a larger number and a smaller one pull opposite ways;
over all accounts one of them only raises and the other only lowers; and some account notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.account import Book
from crossmargin.analysis.lint.accounts import make_cases
from crossmargin.analysis.lint.finding import Finding, LintRule
from crossmargin.analysis.lint.market import CALM, STRESSED, make_snapshot
from crossmargin.analysis.lint.trial import money
from crossmargin.errors import RulebookError
from crossmargin.margin import assess_book, with_values
from crossmargin.margin.locate import dotted, undotted
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.parser import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.margin.locate import Path
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]

__all__ = ["parameter_findings", "parameter_groups"]

HALF, TWICE = 0.5, 2.0
_ROUNDING: Final = 1e-9
_DEPTH: Final = {"parameters": 2, "charges": 3, "values": 3, "scenarios": 4, "shocks": 2, "equity": 2}


def parameter_findings(rulebook: Rulebook) -> Iterator[Finding]:
    """Yield what the sweep of every parameter shows; some hundred assessments of a small book."""
    trial = _Sweep(rulebook)
    for path, group in parameter_groups(rulebook).items():
        low, high = (trial.change(group, factor) for factor in (HALF, TWICE))
        yield from _judged(trial, path, low, high)


def parameter_groups(rulebook: Rulebook) -> dict[Path, dict[str, float]]:
    """Return the numbers by the parameter they belong to: a table counts as one, of tiers only its rates."""
    groups: dict[Path, dict[str, float]] = {}
    for name, value in numbers(rulebook).items():
        path = undotted(name)
        depth = _DEPTH.get(path[0])
        if depth is None or _is_bound(rulebook, path):
            continue
        nested = len(path) > depth and path[depth - 1] in {"where", "vol", "close_out", "fold"}
        groups.setdefault(path[: depth + 1] if nested else path[:depth], {})[name] = value
    return {path: group for path, group in groups.items() if any(group.values())}  # 0 has no half and no double


def _is_bound(rulebook: Rulebook, path: Path) -> bool:
    """Return whether a number is the bound of a tier: the first of a pair."""
    if len(path) < 2 or path[-1] != "0" or not path[-2].isdigit():  # noqa: PLR2004 - a pair in a list
        return False
    value: object = rulebook.document
    for step in path[:-1]:
        value = value[int(step)] if isinstance(value, list) else value[step]  # type: ignore[index]
    return isinstance(value, list) and len(value) == 2  # noqa: PLR2004 - bound and rate


class _Sweep:
    """The generated accounts in both markets, under a rulebook and under the same with some numbers changed."""

    def __init__(self, rulebook: Rulebook) -> None:
        self.rulebook = rulebook
        self.markets: list[tuple[Book, Snapshot]] = []
        self.names: list[str] = []
        for mood in (CALM, STRESSED):
            snapshot = make_snapshot(rulebook, mood)
            accounts = [case.account for case in make_cases(rulebook, snapshot, quick=True)]
            self.markets.append((Book.from_accounts(accounts), snapshot))
            self.names += [account.id for account in accounts]
        self.held = self._left(rulebook)
        self.tolerance = _ROUNDING * (1.0 + np.nan_to_num(np.abs(self.held)).max(axis=0))

    def _left(self, rulebook: Rulebook) -> Floats:
        """Return what is left above each requirement [requirements, accounts]; NaN where an account is refused."""
        return np.concatenate([self._left_in(rulebook, *market) for market in self.markets], axis=1)

    def _left_in(self, rulebook: Rulebook, book: Book, snapshot: Snapshot) -> Floats:
        report = assess_book(book, snapshot, rulebook, max_quote_age_seconds=None)
        evaluation = report.evaluation
        left = (
            np.asarray(evaluation.adjusted(n)) - np.asarray(evaluation.requirement(n)) for n in (INITIAL, MAINTENANCE)
        )
        return np.stack([report.account_sum(column) for column in left])

    def change(self, group: Mapping[str, float], factor: float) -> Floats | None:
        """Return how what is left changes as a group of numbers does; None where such numbers make no rulebook."""
        shares = all(0.0 <= value <= 1.0 for value in group.values())
        scaled = {name: min(value * factor, 1.0) if shares else value * factor for name, value in group.items()}
        try:
            return self._left(with_values(self.rulebook, scaled)) - self.held
        except RulebookError:
            return None

    def name(self, account: int) -> str:
        """Return how messages call an account."""
        return f"the account {self.names[account]!r}"


def _judged(trial: _Sweep, path: Path, low: Floats | None, high: Floats | None) -> Iterator[Finding]:
    ends = {"half": low, "twice": high}
    moves = {name: np.where(np.abs(np.nan_to_num(end)) > trial.tolerance, np.nan_to_num(end), 0.0)
             for name, end in ends.items() if end is not None}  # fmt: skip
    if not any(move.any() for move in moves.values()):
        message = (
            "neither half nor twice of it moves what any generated account has left; is it read where it should be?"
        )
        yield Finding(rule=LintRule.PARAMETER_MATTERS, path=dotted(path), message=message, severity="note")
        return
    yield from _against_itself(trial, path, moves)
    for name, move in moves.items():
        if (move > 0).any() and (move < 0).any():
            up, down = (int(np.argmax(sign * move.max(axis=0) if sign > 0 else -move.min(axis=0))) for sign in (1, -1))
            told = f"{name} of it leaves {trial.name(up)} {money(move[:, up].max())} more"
            message = f"{told} and {trial.name(down)} {money(-move[:, down].min())} less; is that meant?"
            yield Finding(rule=LintRule.PARAMETER_ONE_WAY, path=dotted(path), message=message, severity="note")
            return


def _against_itself(trial: _Sweep, path: Path, moves: Mapping[str, Floats]) -> Iterator[Finding]:
    """Of one account, half and twice must not move what is left to the same side."""
    if len(moves) < len(("half", "twice")):
        return
    same = np.where(moves["half"] * moves["twice"] > 0, np.minimum(np.abs(moves["half"]), np.abs(moves["twice"])), 0.0)
    if same.any():
        row, account = np.unravel_index(int(np.argmax(same)), same.shape)
        told = f"half and twice of it both {'raise' if moves['half'][row, account] > 0 else 'lower'} what"
        figures = f"{money(moves['half'][row, account])} and {money(moves['twice'][row, account])}"
        message = f"{told} {trial.name(int(account))} has left ({figures}); check what reads it"
        yield Finding(rule=LintRule.PARAMETER_MONOTONE, path=dotted(path), message=message, severity="warning")
