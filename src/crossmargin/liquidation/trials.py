"""Moves that are only tried: what `restore` asks of the engine, many in one assessment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from crossmargin.errors import InputError
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.postings import Venue, applied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.liquidation.holdings import Holdings
    from crossmargin.liquidation.moves import Desk, Move
    from crossmargin.liquidation.pools import Pool
    from crossmargin.liquidation.run import Assess

__all__ = ["trying"]


def trying(desk: Desk, assess: Assess, holdings: Holdings, pool: Pool, venue: Venue, elapsed: float) -> Desk:
    """Return the desk that can try moves on these holdings; many at once where it is the engine that assesses."""

    def trial(move: Move) -> Pool:
        return assess(applied(holdings, move, pool, venue), elapsed)

    def trials(moves: Sequence[Move]) -> list[Pool | InputError]:
        assert isinstance(assess, Engine)
        books = [applied(holdings, move, pool, venue) for move in moves]
        return [view if isinstance(view, InputError) else view.made for view in assess.views(books, elapsed)]

    return replace(desk, trial=trial, trials=trials if isinstance(assess, Engine) else None)
