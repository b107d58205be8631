"""SPAN's standard scenarios and composite-delta weights: what one future gains in each row, and how deltas are weighed.

The market is chosen so that one price scan range is one unit of money: a row of the risk array is then the document's
move times its weight. What the document states replaces the shipped rulebook's numbers only where it differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Rulebooks, Steps, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome
    from crossmargin.margin import Rulebook

RULEBOOK: Final = "span@2020-06-19"
UNDERLYING: Final = "BTC"
_ARRAY, _DELTA = "risk array of a future", "weights of composite delta"
_VOLS: Final[Mapping[float, str]] = {1.0: "up", -1.0: "down", 0.0: "same"}
_CLOSE: Final = 1e-12  # a third as printed
_STEPS: Final = 3
_TRIPLE: Final = 3


class _Row(NamedTuple):
    """One scenario: its move in price scan ranges, its vol shock by sign, the share of the loss that counts."""

    move: float
    vol: float
    weight: float


def names(document: Fields) -> list[str]:
    """Return the cases: the array, and the weights where the document states them."""
    return [_ARRAY, *([_DELTA] if "composite_delta_weights" in document else [])]


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one future held under the document's scenarios, or under its weights."""
    rulebook = rulebooks(RULEBOOK)
    if index == 0:
        rows = _rows(document)
        changes = _array_changes(rulebook, rows)
        figures = tuple(
            Figure(f"scenario {number + 1}", row.move * row.weight, partial(_gain, number=number))
            for number, row in enumerate(rows)
        )
    else:
        changes, figures = _delta_case(document.needed("composite_delta_weights"))
    name = names(document)[index]
    price = 1.0 / float(rulebook.document["parameters"]["price_scan_range"][UNDERLYING])
    held = Position(instrument="FUTURE", quantity=exact(1.0), entry_price=exact(price))
    return Case(
        name=name,
        account=Account(id=name, positions=(held,)),
        snapshot=_market(price),
        rulebook=with_values(rulebook, changes, source=document.place),
        figures=figures,
        changes=changes,
    )


def _market(price: float) -> Snapshot:
    listing = Listing(
        symbol="FUTURE", kind=InstrumentKind.PERPETUAL, underlying=UNDERLYING, quote_asset="USD",
        settlement_asset="USD", mark_price=price, index_price=price,
    )  # fmt: skip
    assets = {"USD": AssetQuote(price=1.0), UNDERLYING: AssetQuote(price=price)}
    return Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings={listing.symbol: listing})


def _gain(outcome: Outcome, number: int) -> float:
    return outcome.scenario_pnl("scan_risk", UNDERLYING, number)


def _rows(document: Fields) -> list[_Row]:
    """Return the scenarios in order; an extreme move is one without a shock of vols."""
    found = []
    for number, row in enumerate(document.items("scenarios")):
        place = f"{document.at('scenarios')}[{number}]"
        if not isinstance(row, Sequence) or len(row) != _TRIPLE:
            refuse("a move, a vol shock and a weight", row, place)
        move, vol, weight = (as_number(part, f"{place}[{part_number}]") for part_number, part in enumerate(row))
        if vol not in _VOLS:
            refuse("a vol shock of 1, -1 or 0", vol, f"{place}[1]")
        found.append(_Row(move, vol, weight))
    if not {row.vol for row in found} >= set(_VOLS):
        refuse("rows with vols up and down, and extreme moves without", found, document.at("scenarios"))
    return found


def _array_changes(rulebook: Rulebook, rows: list[_Row]) -> dict[str, Any]:
    """Return the rulebook's entries that the document's scenarios replace."""
    extremes = [row for row in rows if not row.vol]
    multiple, cover = max(abs(row.move) for row in extremes), extremes[0].weight
    changes: dict[str, Any] = {"parameters.extreme_multiple": multiple, "parameters.extreme_cover": cover}
    shipped = [
        *(_Row(third / _STEPS, vol, 1.0) for third in (0, 1, -1, 2, -2, 3, -3) for vol in (1.0, -1.0)),
        *(_Row(side * multiple, 0.0, cover) for side in (1.0, -1.0)),
    ]
    if len(rows) == len(shipped) and all(_same(*pair) for pair in zip(rows, shipped, strict=True)):
        return changes
    time = rulebook.document["scenarios"]["array"][0]["time"]
    return {**changes, "scenarios.array": [_block(row, multiple, cover, time) for row in rows]}


def _same(one: _Row, other: _Row) -> bool:
    return all(abs(a - b) <= _CLOSE for a, b in zip(one, other, strict=True))


def _block(row: _Row, multiple: float, cover: float, time: object) -> dict[str, Any]:
    """Return one scenario as a block of its own."""
    block: dict[str, Any] = {"vol": [_VOLS[row.vol]], "time": time}
    if row.vol:
        return {**block, "spot": [row.move], "scale": "price_scan_range", "weight": row.weight}
    share = {"weight": "extreme_cover" if row.weight == cover else row.weight}
    return {**block, "spot": [row.move / multiple], "scale": "price_scan_range * extreme_multiple", **share}


def _delta_case(stated: Fields) -> tuple[dict[str, Any], tuple[Figure, ...]]:
    """Return the weights as changes, and each of them, by its move, as a figure; and their sum."""
    weights = stated.numbers("w")
    order = [_fraction(text, f"{stated.at('order')}[{i}]") for i, text in enumerate(stated.items("order"))]
    if not weights or len(order) != len(weights):
        refuse("a weight for each move", weights, stated.at("w"))
    changes = {
        "scenarios.delta_points.0.spot": [float(move * _STEPS) for move in order],
        "scenarios.delta_points.0.weight": weights,
    }
    figures = [
        Figure(f"weight at {float(move):+.4g}", weight, partial(_weight, number=number))
        for number, (move, weight) in enumerate(zip(order, weights, strict=True))
    ]
    if "sum" in stated:
        figures.append(Figure("composite delta", stated.number("sum"), _composite))
    return changes, tuple(figures)


def _fraction(text: object, place: str) -> Fraction:
    try:
        return Fraction(str(text).lstrip("+"))
    except (ValueError, ZeroDivisionError):
        refuse('a move such as "+1/3"', text, place)


def _weight(outcome: Outcome, number: int) -> float:
    """Return what a delta of 1 adds at one price."""
    return float(outcome.detail("composite_delta").pnl[0, number])


def _composite(outcome: Outcome) -> float:
    return outcome.report.lines["net_delta"].initial


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where moves and weights stand."""
    if index == 0:
        rows = _rows(document)
        moves: dict[str, Steps] = {f"move {i + 1}": ("scenarios", i, 0) for i, row in enumerate(rows) if row.move}
        return {**moves, **{f"cover {i + 1}": ("scenarios", i, 2) for i, row in enumerate(rows) if not row.vol}}
    weights = document.needed("composite_delta_weights").numbers("w")
    return {f"composite weight {i + 1}": ("composite_delta_weights", "w", i) for i in range(len(weights))}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document lists scenarios as triples, and perhaps weights of composite delta.

    One with a least charge on delta is another venue's grid of the same shape.
    """
    rows = document.get("scenarios")
    if not isinstance(rows, list) or not rows or "cases" in document or "min_delta" in document:
        return False
    weights = document.get("composite_delta_weights")
    triples = all(isinstance(row, list) and len(row) == _TRIPLE for row in rows)
    return triples and (weights is None or has_keys(weights, "order", "w"))


FAMILIES: Final[tuple[Family, ...]] = (Family("span", "scenario_grid", recognises, names, pose, parameters),)
