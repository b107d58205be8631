"""What one assessment keeps for the next in the same market: scenarios of its contracts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.resolved import Resolved

__all__ = ["contract_names", "kept_for"]


def contract_names(resolved: Resolved) -> Iterator[str]:
    """Yield what each contract is called; a balance's name begins with a zero character."""
    c, names = resolved.contracts, resolved.names
    for kind, symbol, asset in zip(c.kind.tolist(), c.symbol.tolist(), c.own_asset.tolist(), strict=True):
        yield f"\0{names.assets[asset]}" if kind == ASSET else names.symbols[symbol]


def kept_for(before: BookReport, resolved: Resolved) -> dict[Any, Any]:
    """Return what a report has kept for an evaluation in the same market, under the same rulebook.

    Of the same legs, whatever their quantities, that is all; of others the scenarios of their contracts, which are a
    contract's own whoever holds it, and left out where one is new.
    """
    listed, wanted = list(contract_names(before.resolved)), list(contract_names(resolved))
    legs, there = resolved.legs, before.resolved.legs
    if listed == wanted and np.array_equal(legs.contract, there.contract) and np.array_equal(legs.unit, there.unit):
        return dict(before.evaluation.shared)
    found = before.evaluation.lasting
    if listed == wanted:
        return found
    places = {name: place for place, name in enumerate(listed)}
    if not all(name in places for name in wanted):
        return {}
    rows = np.asarray([places[name] for name in wanted], dtype=np.int64)
    cells = {key: kept.of(rows) for key, kept in found.items() if key[0] == "cells"}
    of_nothing = np.append(rows, -1)  # where the entry of a row without contracts stands
    return cells | {key: kept[of_nothing] for key, kept in found.items() if key[0] == "entries"}
