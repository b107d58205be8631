"""A later date states only what changed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from crossmargin.errors import RulebookError
from crossmargin.margin.diff import diff_documents
from crossmargin.margin.merge import merged
from crossmargin.margin.model import Constant, Formula, Tiers
from crossmargin.margin.parser import parse_rulebook, with_values
from tests.margin.rulebook_texts import PLAIN, changed, line_with

LATER = """\
[rulebook]
name = "plain"
effective_from = 2026-01-01
extends = "plain@2025-06-01"
[charges.perpetuals]
leverage_limit = 10
brackets = [["inf", 0.01]]
"""


def _bases(name: str) -> Mapping[str, Any]:
    if name != "plain@2025-06-01":
        raise RulebookError(f"there is no {name}", path="rulebooks")
    return tomllib.loads(PLAIN)


def test_what_is_not_stated_stays() -> None:
    later = parse_rulebook(LATER, "later.toml", _bases)
    first = parse_rulebook(PLAIN)
    own = later.line("perpetuals").parameters
    limit, brackets = own["leverage_limit"], own["brackets"]
    assert isinstance(limit, Constant)
    assert limit.value == 10
    assert isinstance(brackets, Tiers)
    assert brackets.rate == (0.01,)
    assert later.parameters == first.parameters
    assert later.effective_from.year == 2026
    assert "extends" not in later.document["rulebook"]
    assert [row[0] for row in diff_documents(first.document, later.document)] == [
        "charges.perpetuals.brackets.0.0",
        "charges.perpetuals.brackets.0.1",
        "charges.perpetuals.brackets.1.0",
        "charges.perpetuals.brackets.1.1",
        "charges.perpetuals.leverage_limit",
        "rulebook.effective_from",
    ]


def test_a_merged_rulebook_is_rebuilt_without_its_base() -> None:
    later = parse_rulebook(LATER, "later.toml", _bases)
    assert with_values(later, {"parameters.share": 0.5}).digest == later.digest


def test_a_formula_is_replaced_as_a_whole() -> None:
    text = LATER + 'is = "worth / leverage_limit + share * marginal(brackets, worth)"\n'
    spec = parse_rulebook(text, None, _bases).line("perpetuals").spec
    assert isinstance(spec, Formula)


def test_tables_merge_and_the_rest_is_replaced() -> None:
    base = {
        "a": {"maintenance": 1, "initial": 2},
        "k": {"by": "bucket", "BTC": 1},
        "t": [[1, 2]],
        "l": {"is": {"x": "1"}},
    }
    change = {"a": {"initial": 3}, "k": {"by": "asset", "default": 2}, "t": [["inf", 1]], "l": {"is": {"y": "2"}}}
    assert merged(base, change) == {
        "a": {"maintenance": 1, "initial": 3},
        "k": {"by": "asset", "default": 2},
        "t": [["inf", 1]],
        "l": {"is": {"y": "2"}},
    }
    assert merged({"kind": "scan", "level": "bucket"}, {"is": "value"}) == {"is": "value", "level": "bucket"}


def test_an_error_in_what_is_stated_has_the_later_files_line() -> None:
    text = changed(LATER, ("leverage_limit = 10", 'leverage_limit = "shore"'))
    with pytest.raises(RulebookError, match="shore") as caught:
        parse_rulebook(text, "later.toml", _bases)
    assert caught.value.line == line_with(text, "leverage_limit")


def test_an_error_in_what_is_inherited_names_the_entry() -> None:
    text = changed(LATER, ("leverage_limit = 10", "spare = 10"))
    with pytest.raises(RulebookError, match=r"later\.toml:\d+: charges\.perpetuals\.spare: unused"):
        parse_rulebook(text, "later.toml", _bases)


def test_an_unknown_base_is_refused_at_its_line() -> None:
    text = changed(LATER, ("plain@2025-06-01", "plain@1999-01-01"))
    with pytest.raises(RulebookError, match=r"later\.toml:4: .*there is no plain@1999-01-01"):
        parse_rulebook(text, "later.toml", _bases)
