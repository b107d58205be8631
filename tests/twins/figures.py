"""All figures of a report as bytes, so that two can be held against each other to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from crossmargin.margin.pools import PoolColumns

NAMES = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance", "coverage", "state")


def figures(report: PoolColumns) -> list[bytes]:
    """The columns of a report, eight bytes for each pool; refused accounts' are of no meaning and left out as zeros."""
    refused = np.isin(report.unit_account, list(report.failures))
    columns = (np.asarray(getattr(report, f"unit_{name}"), dtype=np.float64) for name in NAMES)
    return [np.where(refused, 0.0, column).tobytes() for column in columns]
