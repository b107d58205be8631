"""The engine against slow plain loops on random cases, through the door that published cases take."""

from typing import Any

from hypothesis import given, settings

from crossmargin.analysis.conformance import run_conformance
from tests.conformance.made import LOADED
from tests.strategies.conformance import pm2_documents, srm_documents


@settings(max_examples=60)
@given(pm2_documents())
def test_portfolio_margin_equals_the_twin(document: dict[str, Any]) -> None:
    (family,) = run_conformance({"made": document}, LOADED).families
    assert (family.family, family.failures) == ("derive_pmrm2", ())
    assert family.reproduced == 1


@settings(max_examples=60)
@given(srm_documents())
def test_standard_margin_equals_the_twin(document: dict[str, Any]) -> None:
    (family,) = run_conformance({"made": document}, LOADED).families
    assert (family.family, family.failures) == ("derive_srm", ())
    assert family.reproduced == 1
