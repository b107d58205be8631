"""Whether money may leave the house while accounts that are being closed are worth less than nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.clearing.ledger import FUND, HOUSE
from crossmargin.clearing.procedure.view import parted
from crossmargin.clearing.rules import Refusal
from crossmargin.errors import Failure, FailureReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from crossmargin.clearing.rules import Assess, Figures
    from crossmargin.clearing.state import State

__all__ = ["check_loss_lock"]


def check_loss_lock(state: State, word: Literal["any", "fund"] | None, assess: Assess) -> None:
    """Refuse a withdrawal that would run from a loss which others then share.

    Parameters
    ----------
    word
        The document's ``loss_lock``. Under ``any`` one open case of a pool below nothing is enough; under ``fund`` all
        of them together must lack more than the fund is worth. A pool lacks what its maintenance margin asks for and
        it has not: the most that whoever takes it over is paid.
    """
    owners = {parted(case.pool)[0] for case in state.cases.values()} - HOUSE
    if word is None or not owners:
        return
    asked = [*sorted(owners), FUND] if word == "fund" else sorted(owners)
    reports = assess(state, {owner: state.balances.get(owner, {}) for owner in asked})
    for owner in sorted(owners):
        report = reports[owner]
        if isinstance(report, Failure):
            where = f"{owner}, {report.instrument}" if report.instrument else owner
            raise Refusal(FailureReason.LOCKED_OUT, "open cases that can be assessed", f"{where}: {report.message}")
    lacking = [figures for owner in sorted(owners) for figures in _pools(reports[owner]) if figures.equity < 0]
    if word == "any" and lacking:
        expected = "no open case of a pool that is worth less than nothing"
        raise Refusal(FailureReason.LOCKED_OUT, expected, f"{lacking[0].pool} at {lacking[0].equity:.8g}")
    lack = sum(max(-figures.maintenance_headroom, -figures.equity) for figures in lacking)
    borne = max(sum(figures.equity for figures in _pools(reports.get(FUND, ()))), 0.0)
    if lack > borne:
        expected = f"a fund that bears what open cases lack, {lack:.8g}"
        raise Refusal(FailureReason.LOCKED_OUT, expected, f"{borne:.8g}")


def _pools(report: tuple[Figures, ...] | Failure) -> Iterator[Figures]:
    """Yield the pools of an owner; of a fund that cannot be valued none, as of one that holds nothing."""
    yield from () if isinstance(report, Failure) else report
