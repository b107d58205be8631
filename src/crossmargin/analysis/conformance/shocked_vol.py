"""What a scan did to one option's vol, read back from the value it gave the option: the law is the rulebook's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.pricing import implied_vol
from crossmargin.scenarios import OPTION

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome


def vol_shock(line: str, scenario: int, outcome: Outcome) -> float:
    """Return by which part of itself a scan moved the first option's vol in one scenario.

    The option is worth most digits where the scenario takes the forward to its strike.
    """
    resolved, cells = outcome.book.resolved, outcome.detail(line).cells
    contracts = resolved.contracts
    held = resolved.legs.contract
    option = int(held[np.flatnonzero(contracts.kind[held] == OPTION)[0]])
    move = 1.0 + float(cells.spot[option, scenario])
    worth = float(cells.valuation.shocked[option, scenario] / cells.weight[option, scenario])
    forward = float(contracts.forward[option]) * move
    if contracts.inverse[option]:  # worth so much coin, each at the shocked forward
        worth *= forward
    found = implied_vol(worth, forward, contracts.strike[option], contracts.years[option], bool(contracts.call[option]))
    return float(found.vol) / float(contracts.iv[option]) - 1.0
