"""`restore` tries many shares in one assessment, and answers what trying one by one answers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from crossmargin.liquidation import Engine, Holdings, Venue, begun
from crossmargin.liquidation.assessed import View
from crossmargin.liquidation.moves import Desk, restoring, scopes_of
from crossmargin.liquidation.run import Assess
from crossmargin.liquidation.trials import trying
from crossmargin.margin import BookReport
from tests.liquidation.procedures import CLOSE, account, engine, rules

LEAST = CLOSE + 'amount = "restore * contracts_held"\n'
FEES = LEAST + 'fees = { keeper = "4.5 * moved * moved / 10" }\n'  # closing more costs more: headroom rises, then falls
HELD = {"BTC": ("10", "101"), "ETH": ("-200", "9.5")}


def shares(view: Engine, *, slow: bool) -> list[Fraction | None]:
    """The least share of every leg that restores, by the engine at once or by a plain function one by one."""

    def plain(holdings: object, elapsed: float) -> object:
        return view(holdings, elapsed)  # type: ignore[arg-type]

    assess: Assess = plain if slow else view  # type: ignore[assignment]
    procedure, opening = view.rulebook.procedure, view.opening()
    pool = view(opening, 0.0)
    desk = trying(Desk(), assess, opening, pool, Venue("trader"), 0.0)
    assert (desk.trials is None) is slow
    step = procedure.liquidation.steps[-1]
    return [restoring(scope, step, desk) for scope, _ in scopes_of(procedure, step, pool, begun(pool), desk)]


@pytest.mark.parametrize("procedure", [LEAST, FEES])
@pytest.mark.parametrize("dollars", ["50", "90", "120", "148"])
def test_many_at_once_answer_what_one_by_one_answers(procedure: str, dollars: str) -> None:
    view = engine(rules(procedure), account(dollars, **HELD))
    assert shares(view, slow=False) == shares(view, slow=True)


def test_restore_takes_a_grid_and_another_assessment(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    plain = Engine.assessed

    def counted(self: Engine, books: Sequence[Holdings], elapsed: float, before: View | None = None) -> BookReport:
        calls.append(len(books))
        return plain(self, books, elapsed, before=before)

    monkeypatch.setattr(Engine, "assessed", counted)
    assert shares(engine(rules(LEAST), account("40", BTC=("10", "100"))), slow=False) == [Fraction(1, 5)]
    assert calls == [1, 2, 20, 4]  # the pool, what each leg frees, the grid, where a line through two of it meets 0
