"""dYdX Chain: made cases worked by hand, and the published ones; whole quantums, so nothing may be off."""

import copy
import json
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pytest

from crossmargin.analysis.conformance.dydx import FAMILIES
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from tests.conformance.made import LOADED

KINDS = {family.kind: family for family in FAMILIES}
PUBLISHED = "dydx_v4_margin_liquidation.json"


def verdict(kind: str, given: dict[str, Any], expected: dict[str, Any]) -> Verdict:
    case = {"id": "made", "kind": kind, "input": given, "expected": expected}
    return judge(KINDS[kind], Fields({"cases": [case]}, ""), 0, "made", LOADED)


def tier(initial: int, lower: int, upper: int, maintenance: int = 600_000) -> dict[str, int]:
    return {
        "initial_margin_ppm": initial,
        "maintenance_fraction_ppm": maintenance,
        "oi_lower_cap": lower,
        "oi_upper_cap": upper,
    }


def ramp(initial: int, interest: int, lower: int, upper: int) -> int:
    """The chain's rule in integers: base, and what open interest adds between the caps, cut to a ppm."""
    if upper == 0 or interest <= lower:
        return initial
    if interest >= upper:
        return 10**6
    return floor(initial + Fraction(10**6 - initial) * (interest - lower) / (upper - lower))


# quantums of base, resolution, price, exponent, open interest: with remainders at every step, and both signs
@pytest.mark.parametrize(
    ("base", "resolution", "price", "exponent", "interest"),
    [
        (1_234_567, -9, 17_777_777, -4, 9_876_543_210),
        (-7, -3, 333_333_331, -7, 3_000_000),
        ("123456789012345678901", -10, 987_654_321, -5, "1234567890123456"),
        (1, 4, 123_456_789_123, -5, 0),
    ],
)
@pytest.mark.parametrize("caps", [(0, 0), (10**6, 10**13), (10**12, 3 * 10**12), (5 * 10**9, 5 * 10**9)])
def test_margins_are_the_chains_integers(
    base: int | str, resolution: int, price: int, exponent: int, interest: int | str, caps: tuple[int, int]
) -> None:
    scale = Fraction(10) ** (resolution + exponent + 6) * price
    worth, market = floor(abs(int(base)) * scale), floor(int(interest) * scale)
    initial = ceil(worth * Fraction(ramp(33_333, market, *caps), 10**6))
    least = ceil(worth * Fraction(33_333, 10**6))
    given = {"base_quantums": base, "atomic_resolution": resolution, "price": price, "exponent": exponent}
    given |= {"open_interest_base_quantums": interest, **tier(33_333, *caps)}
    expected = {"imr": str(initial), "mmr": str(ceil(least * Fraction(6, 10)))}
    assert verdict("margin_requirement", given, expected) == Verdict(0.0, ())
    off = verdict("margin_requirement", given, {**expected, "imr": str(initial + 1)})
    assert [failure.figure for failure in off.failures] == ["imr"]


@pytest.mark.parametrize("interest", [0, 1_000_000, 1_000_001, 1_499_999, 1_999_999, 2_000_000, 10**12])
def test_the_ramp_is_cut_to_a_ppm(interest: int) -> None:
    given = {"initial_margin_ppm": 200_000, "oi_lower_cap": 1_000_000, "oi_upper_cap": 2_000_000}
    expected = {"imf_ppm": ramp(200_000, interest, 1_000_000, 2_000_000)}
    assert verdict("oi_scaled_imf_ppm", {**given, "open_interest_quote": interest}, expected) == Verdict(0.0, ())


def test_a_position_is_stated_by_its_worth() -> None:
    given = {**tier(123_457, 0, 0), "quote_quantums": 999_983, "open_interest_quote": 0}
    expected = {"imr": ceil(Fraction(123_457 * 999_983, 10**6))}
    assert verdict("initial_margin_quote", given, expected) == Verdict(0.0, ())


def test_a_price_of_nothing_needs_nothing() -> None:
    given = {"base_quantums": -7000, "atomic_resolution": -6, "price": 0, "exponent": -1, **tier(100, 0, 0)}
    assert verdict("margin_requirement", given, {"imr": 0, "mmr": 0}) == Verdict(0.0, ())


@pytest.mark.parametrize("wrong", [{"price": "dear"}, {"exponent": 0.5}, {"base_quantums": None}, {"price": True}])
def test_what_makes_no_sense_is_told_with_its_place(wrong: dict[str, Any]) -> None:
    given = {"base_quantums": 7, "atomic_resolution": -6, "price": 10, "exponent": -1, **tier(100, 0, 0)}
    (failure,) = verdict("margin_requirement", {**given, **wrong}, {"imr": 0}).failures
    assert f"cases[0].input.{next(iter(wrong))}" in str(failure.computed)


def test_one_document_holds_several_kinds(shared: Path) -> None:
    document = copy.deepcopy(published(shared))
    indices = [index for family in FAMILIES for index in family.indices(Fields(document, ""))]
    assert len(indices) == len(set(indices)) < len(document["cases"])


def published(shared: Path) -> dict[str, Any]:
    path = shared / "cases" / PUBLISHED
    if not path.is_file():
        pytest.skip(f"published cases absent: no file {path}")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.shared
@pytest.mark.parametrize("kind", KINDS)
def test_published_cases_are_met_to_the_quantum(shared: Path, kind: str) -> None:
    document = Fields(published(shared), "")
    family = KINDS[kind]
    assert family.recognises(document.value)
    indices = family.indices(document)
    assert indices
    for index in indices:
        assert judge(family, document, index, family.names(document)[index], LOADED) == Verdict(0.0, ())
