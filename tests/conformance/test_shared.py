"""Published cases, where the shared data is: all reproduce, by every door, and the pages in docs say so."""

import copy
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from crossmargin.account import Account
from crossmargin.analysis.conformance import ConformanceReport, run_conformance, sweep
from crossmargin.analysis.conformance.shipped import sweep_shipped
from crossmargin.margin import assess
from crossmargin.margin.parser import parse_document
from crossmargin.sources import decode_accounts, decode_snapshot
from crossmargin.sources.cases import interchange_cases, load_cases
from scripts.conformance_table import RESULTS, SHIPPED, TABLE, TOLD, UNCOVERED, reason, results, table_page
from tests.conformance.made import LOADED

pytestmark = pytest.mark.shared

SHIPPED_EVERY = 16
EVERY = 4  # of the parameters each run sweeps one in so many; the script sweeps all


@cache
def cases_in(directory: Path) -> dict[str, Any]:
    return load_cases(directory)


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, Any]:
    directory = shared / "cases"
    if not directory.is_dir():
        pytest.skip(f"published cases absent: no directory {directory}")
    return cases_in(directory)


@pytest.fixture(scope="module")
def report(published: dict[str, Any]) -> ConformanceReport:
    return run_conformance(published, LOADED)


def test_all_published_cases_reproduce(report: ConformanceReport) -> None:
    assert [failure for family in report.families for failure in family.failures] == []
    known = {
        family.family: (family.reproduced, family.total) for family in report.families if family.status != "not yet"
    }
    assert known.keys() == TOLD.keys()
    assert all(reproduced == total > 0 for reproduced, total in known.values())


def test_each_published_case_in_the_interchange_gives_the_same_numbers(published: dict[str, Any]) -> None:
    for document in published.values():
        for case in interchange_cases(document):
            (account,) = decode_accounts(case.accounts).rows
            assert isinstance(account, Account)
            rulebook = parse_document(copy.deepcopy(dict(case.rulebook)))
            snapshot = decode_snapshot(case.snapshot)
            report = assess(account, snapshot, rulebook, max_quote_age_seconds=None, withdrawable=False)
            direct = case.posed.assess().report
            assert report.pools == direct.pools
            assert report.available_margin == direct.available_margin
            assert report.maintenance_headroom == direct.maintenance_headroom


def test_the_page_says_what_is_reproduced(report: ConformanceReport, root: Path) -> None:
    written = (root / "docs" / TABLE).read_text(encoding="utf-8")
    assert table_page(report) == written, "run scripts/conformance_table.py"
    assert results(report) == (root / "docs" / RESULTS).read_text(encoding="utf-8"), "run scripts/conformance_table.py"


def test_the_page_says_which_parameters_no_case_notices(published: dict[str, Any], root: Path) -> None:
    written = (root / "docs" / UNCOVERED).read_text(encoding="utf-8")
    names: list[tuple[str, str]] = []

    def sampled(family: str, parameter: str) -> bool:
        names.append((family, parameter))
        return len(names) % EVERY == 0

    for row in sweep(published, LOADED, sampled):
        listed = f"| {row.family} {row.kind} | `{row.parameter}` |" in written
        assert listed == (row.case is None), f"{row.parameter}: run scripts/conformance_table.py"
        assert row.case is None or row.lines
        assert row.case is not None or reason(row), f"say in scripts/conformance_table.py why {row.parameter} is silent"
    assert f" of {len(names)} parameters are noticed." in written


def test_the_page_says_which_shipped_parameters_no_case_notices(published: dict[str, Any], root: Path) -> None:
    rows = (root / "docs" / SHIPPED).read_text(encoding="utf-8").splitlines()
    named = {row.split(" | ")[0].removeprefix("| "): row for row in rows if row.startswith("| ") and "@" in row}
    counts: Counter[str] = Counter()

    def sampled(spec: str, _parameter: str) -> bool:
        counts[spec] += 1
        return counts.total() % SHIPPED_EVERY == 0

    for held in sweep_shipped(published, LOADED, sampled):
        listed = f"`{held.parameter}`" in named[held.rulebook]
        assert listed == (held.case is None), f"{held.parameter}: run scripts/conformance_table.py"
    assert counts.keys() == named.keys()
    for spec, count in counts.items():
        assert f" of {count} |" in named[spec], spec
