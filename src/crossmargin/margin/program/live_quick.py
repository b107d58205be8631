"""Pools as single checks read them: numbers one by one, without an array made on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.margin.program.program import OUTPUTS
from crossmargin.margin.resolve import ISOLATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.margin.program.live_state import LiveState

__all__ = ["QuickPools"]

_FIGURES = tuple(OUTPUTS.index(n) for n in ("initial", "maintenance", "adjusted_initial", "adjusted_maintenance"))


class QuickPools:
    """Views of a live book's pools; made anew when its arrays are."""

    def __init__(self, state: LiveState) -> None:
        pools, found = state.pools, state.found
        self.classes = pools.pool_class.data
        self._first, self._follow, self._key = pools.first.data, pools.follow.data, pools.key.data
        self._figures = tuple(found[n].data for n in _FIGURES)
        self._refused = found[-1].data

    def around(
        self, account: int, key: int, rates: Sequence[float]
    ) -> tuple[int, tuple[float, float, float, float] | None]:
        """Return an account's pool of a key, and what its other pools require and have (None: there are none).

        -1 where there is none, or where another pool is refused or an isolated position's.
        """
        first, follow = self._first[account], self._follow
        if first >= 0 and follow[first] < 0:
            return (first, None) if self._key[first] == key else (-1, None)
        initial = maintenance = for_initial = for_maintenance = 0.0
        initials, maintenances, fors_initial, fors_maintenance = self._figures
        mine, pool = -1, first
        while pool >= 0:
            own = self._key[pool]
            if own == key:
                mine = pool
            elif own >= ISOLATED or self._refused[pool]:
                return -1, None
            else:
                rate = rates[self.classes[pool]]
                initial += initials[pool] * rate
                maintenance += maintenances[pool] * rate
                for_initial += fors_initial[pool] * rate
                for_maintenance += fors_maintenance[pool] * rate
            pool = follow[pool]
        return mine, (initial, maintenance, for_initial, for_maintenance)
