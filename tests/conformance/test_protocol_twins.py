"""The engine against slow twins of the protocols' rules on seeded cases, through the door that published cases take."""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from crossmargin.analysis.conformance import run_conformance
from tests.conformance.made import LOADED
from tests.twins import dydx, synthetix, vega

Found = dict[str, Any]
SEEDS = range(12)
TWINS: dict[str, tuple[str, Callable[[str, int], Found], Callable[[Found], Found]]] = {
    "account": ("synthetix_v3", synthetix.made, synthetix.account),
    "order": ("synthetix_v3", synthetix.made, synthetix.order),
    "margin_requirement": ("dydx_v4", dydx.made, dydx.margin_requirement),
    "oi_scaled_imf_ppm": ("dydx_v4", dydx.made, dydx.oi_scaled_imf_ppm),
    "initial_margin_quote": ("dydx_v4", dydx.made, dydx.initial_margin_quote),
    "cross_margin_levels": ("vega", vega.made, vega.cross_margin_levels),
    "perp_funding_margin": ("vega", vega.made, vega.perp_funding_margin),
    "fully_collateralised_capped_future": ("vega", vega.made, vega.fully_collateralised_capped_future),
    "isolated_margin": ("vega", vega.made, vega.isolated_margin),
}


def in_fractions(given: Found) -> Found:
    """What a document states, its decimals as they are printed."""
    found: Found = json.loads(json.dumps(given), parse_float=Fraction)
    return found


def as_json(value: object) -> object:
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, Fraction) and value.denominator == 1:
        return dydx.written(int(value))
    if isinstance(value, Fraction):
        return float(value)
    return dydx.written(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("kind", TWINS)
def test_the_engine_equals_the_twin(kind: str) -> None:
    family, made, twin = TWINS[kind]
    inputs = [made(kind, seed) for seed in SEEDS]
    cases = [
        {"id": f"{kind} {seed}", "kind": kind, "input": given, "expected": as_json(twin(in_fractions(given)))}
        for seed, given in zip(SEEDS, inputs, strict=True)
    ]
    (found,) = run_conformance({"made": {"cases": cases}}, LOADED).families
    assert (found.family, found.kind, found.failures) == (family, kind, ())
    assert found.reproduced == len(SEEDS)
