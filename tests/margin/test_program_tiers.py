"""Tier tables laid out for the engine: each piece gives what the function of tiers gives, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.margin import functions
from crossmargin.margin.model import Tiers
from crossmargin.margin.program.pools import Pools

TABLES = (
    Tiers((10.0, 50.0, np.inf), (0.1, 0.25, 0.7)),
    Tiers((np.inf,), (0.3,)),
    Tiers((3.0, 8.0, 21.0), (0.5, 0.2, 0.9)),
)


@pytest.mark.parametrize("name", ["marginal", "step", "ramp"])
def test_pieces_give_what_the_function_gives(name: str) -> None:
    x = np.array([-5.0, 0.0, 0.1, 3.0, 7.0, 8.0, 10.0, 10.5, 21.0, 49.0, 50.0, 51.0, 1e6])
    for number, table in enumerate(TABLES):
        column = functions.TierColumn(TABLES, np.full(x.shape, number, dtype=np.intp))
        wanted = getattr(functions, name)(column, x)
        pools = Pools()
        pools.tiers(name, column.upto, np.array([(*t.rate, *[0.0] * (3 - len(t.rate))) for t in TABLES]), None)
        upto, pieces = pools.upto.array().reshape(3, 3)[number], pools.pieces.array().reshape(3, 3, 4)[number]
        amount = np.maximum(x, 0.0) if name == "marginal" else x
        base, start, span, slope = pieces[(amount[:, None] > upto[:-1]).sum(axis=1)].T
        found = np.where(np.isinf(span), base, base + (amount - start) / span * slope)
        assert found.tolist() == wanted.tolist(), table
