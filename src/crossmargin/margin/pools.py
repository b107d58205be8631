"""Figures of many accounts in columns of pools, and their sums by account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.kernels import segment_sum
from crossmargin.margin.report import BookRow
from crossmargin.margin.trigger import STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.errors import Failure

    Floats = npt.NDArray[np.float64]

__all__ = ["PoolColumns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolColumns:
    """A book's figures in columns [units] (pools, those of an account side by side); NaN where an account was refused.

    Money is in each pool's reporting asset; `unit_rate` is its price in `reporting_asset` (None: it is that asset).
    Sums by account are in `reporting_asset`; the coverage ratio and the state are the account's worst pool's.
    """

    account_ids: Sequence[str]
    unit_account: npt.NDArray[Any]
    unit_rate: Floats | None
    reporting_asset: str
    unit_equity: Floats
    unit_adjusted_initial: Floats
    unit_adjusted_maintenance: Floats
    unit_initial: Floats
    unit_maintenance: Floats
    unit_coverage: Floats
    unit_state: npt.NDArray[Any]
    failures: dict[int, Failure]

    def __len__(self) -> int:
        """Return the number of accounts, refused ones included."""
        return len(self.account_ids)

    def account_sum(self, unit_column: Floats) -> Floats:
        """Return a money column of pools summed by account [accounts], in `reporting_asset`."""
        money = unit_column if self.unit_rate is None else unit_column * self.unit_rate
        total = segment_sum(money, self.unit_account, len(self))
        total[list(self.failures)] = np.nan
        return total

    def worst_unit(self, account: int) -> int:
        """Return the pool of an account that stands worst: by state, then by coverage."""
        first, last = np.searchsorted(self.unit_account, [account, account + 1])
        units = np.arange(first, last)
        order = np.lexsort([self.unit_coverage[units], -self.unit_state[units]])
        return int(units[order[0]])

    def rows(self) -> list[BookRow]:
        """Return one short row for each account, in book order."""
        sums = [
            self.account_sum(column)
            for column in (
                self.unit_equity, self.unit_adjusted_initial, self.unit_adjusted_maintenance, self.unit_initial,
                self.unit_maintenance, self.unit_adjusted_initial - self.unit_initial,
                self.unit_adjusted_maintenance - self.unit_maintenance,
            )
        ]  # fmt: skip
        return [self._row(account, [float(column[account]) for column in sums]) for account in range(len(self))]

    def _row(self, account: int, sums: list[float]) -> BookRow:
        name = self.account_ids[account]
        if account in self.failures:
            return BookRow(account=name, failure=self.failures[account])
        worst = self.worst_unit(account)
        return BookRow(
            account=name,
            state=STATES[int(self.unit_state[worst])],
            equity=sums[0],
            adjusted_equity_initial=sums[1],
            adjusted_equity_maintenance=sums[2],
            initial_margin=sums[3],
            maintenance_margin=sums[4],
            coverage_ratio=float(self.unit_coverage[worst]),
            available_margin=sums[5],
            maintenance_headroom=sums[6],
        )
