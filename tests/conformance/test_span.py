"""SPAN's scenarios and weights: the shared document, the shipped grid itself, variants, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import compare
from crossmargin.analysis.conformance.span import FAMILIES, RULEBOOK
from crossmargin.analysis.conformance.sweep import changed
from crossmargin.errors import InputError
from tests.conformance.made import LOADED

if TYPE_CHECKING:
    from pathlib import Path

(FAMILY,) = FAMILIES
THIRD = 1 / 3


def made(multiple: float = 2.0, cover: float = 0.35) -> dict[str, Any]:
    """The standard document; older decks have three scan ranges and 33 per cent."""
    moves = [0.0, THIRD, -THIRD, 2 * THIRD, -2 * THIRD, 1.0, -1.0]
    rows = [[move, vol, 1] for move in moves for vol in (1, -1)]
    return {
        "scenarios": [*rows, [multiple, 0, cover], [-multiple, 0, cover]],
        "composite_delta_weights": {
            "order": ["0", "+1/3", "-1/3", "+2/3", "-2/3", "+1", "-1"],
            "w": [0.27, 0.217, 0.217, 0.111, 0.111, 0.037, 0.037],
            "sum": 1.0,
        },
    }


def failures(document: dict[str, Any]) -> list[str]:
    assert FAMILY.recognises(document)
    fields = Fields(document, "")
    found = []
    for index in FAMILY.indices(fields):
        case = FAMILY.pose(fields, index, LOADED)
        verdict = compare(case, case.assess())
        found += [f"{case.name}: {failure.figure}" for failure in verdict.failures]
    return found


@pytest.mark.shared
def test_the_shared_document_is_reproduced(shared: Path) -> None:
    path = shared / "cases" / "venue_span_scenarios.json"
    if not path.is_file():
        pytest.skip(f"published cases absent: no file {path}")
    assert failures(json.loads(path.read_text(encoding="utf-8"))) == []


def test_the_standard_document_is_the_shipped_rulebook() -> None:
    """Nothing is replaced by anything else: the changed rulebook is the shipped one, number by number."""
    fields = Fields(made(), "")
    for index in FAMILY.indices(fields):
        case = FAMILY.pose(fields, index, LOADED)
        assert "scenarios.array" not in case.changes
        assert case.rulebook.digest == LOADED(RULEBOOK).digest
        assert len(case.figures) == (16, 8)[index]
    assert failures(made()) == []


@pytest.mark.parametrize(("multiple", "cover"), [(3.0, 0.33), (2.0, 0.30), (1.5, 1.0)])
def test_other_extreme_moves(multiple: float, cover: float) -> None:
    assert failures(made(multiple, cover)) == []


def test_another_grid_and_one_without_weights() -> None:
    halves = {"scenarios": [[0.5, 1, 1], [-0.5, -1, 0.9], [1, 1, 1], [2, 0, 0.35], [-3, 0, 0.2], [0.25, -1, 1]]}
    assert failures(halves) == []
    assert FAMILY.indices(Fields(halves, "")) == [0]


def test_every_parameter_is_noticed() -> None:
    """One per cent of each number, posed against the old figures, must fail."""
    fields = Fields(made(), "")
    for index in FAMILY.indices(fields):
        case = FAMILY.pose(fields, index, LOADED)
        for name, steps in FAMILY.parameters(fields, index).items():
            other = FAMILY.pose(Fields(changed(made(), steps), ""), index, LOADED)
            outcome = type(case)(
                case.name, case.account, case.snapshot, other.rulebook, case.figures, other.changes
            ).assess()
            assert compare(case, outcome).failures, name


@pytest.mark.parametrize(
    "rows",
    [
        [[0, 1, 1], [0, -1, 1]],  # no extreme move
        [[0, 1, 1], [0, -1, 1], [2, 0, "0.35"]],
        [[0, 1, 1], [0, -2, 1], [2, 0, 0.35]],
    ],
)
def test_scenarios_that_make_no_sense_are_refused(rows: list[list[Any]]) -> None:
    with pytest.raises(InputError):
        FAMILY.pose(Fields({"scenarios": rows}, ""), 0, LOADED)


@pytest.mark.parametrize(
    "weights", [{"order": ["0"], "w": [0.5, 0.5]}, {"order": ["zero"], "w": [1]}, {"order": [], "w": []}]
)
def test_weights_that_make_no_sense_are_refused(weights: dict[str, Any]) -> None:
    document = {**made(), "composite_delta_weights": weights}
    with pytest.raises(InputError):
        FAMILY.pose(Fields(document, ""), 1, LOADED)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"scenarios": []},
        {"scenarios": [[0, 1]]},
        {"scenarios": [[0, 1, 1]], "cases": []},
        {"scenarios": [[0.1, 0.4, 1]], "min_delta": "another venue's grid"},
    ],
)
def test_what_has_another_format_is_left_alone(document: dict[str, Any]) -> None:
    assert not FAMILY.recognises(document)
