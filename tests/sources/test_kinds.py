"""Kinds of other packages: found by entry point, run by the engine like our own."""

from __future__ import annotations

from decimal import Decimal
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from crossmargin.account import Account, Position
from crossmargin.analysis import explain
from crossmargin.analysis.lint import lint
from crossmargin.errors import RulebookError
from crossmargin.margin import CustomKind, assess, with_values
from crossmargin.margin.tape import plain
from crossmargin.sources import kinds, load_rulebook
from tests.margin.test_orders_measured import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Line

    Floats = npt.NDArray[np.float64]

TEXT = """
source = "S"
[rulebook]
name = "own"
effective_from = 2026-01-01
reporting = "USD"
scope = ["perpetual", "asset"]
contracts = ["linear"]
[sources]
S = { title = "a test", status = "exact" }
[charges.few]
kind = "largest_few"
level = "account"
of = "perpetual"
count = 2
share = 0.1
[values.holdings]
is = "value"
[equity]
adjusted = "holdings"
[requirement]
maintenance = "few"
initial = "2 * few"
"""


def _read(table: Mapping[str, Any]) -> tuple[int, float]:
    if int(table["count"]) < 1:
        raise ValueError("`count` is at least 1")
    return int(table["count"]), float(table["share"])


def _compute(evaluation: Evaluation, line: Line, _requirement: str, _key: tuple[str, str]) -> Floats:
    count, share = line.spec.parameters
    frame = evaluation.frame("leg", line.of)
    notional = plain(evaluation.measures["notional"])[frame.legs]
    unit = evaluation.resolved.legs.unit[frame.legs]
    out = np.zeros(evaluation.row_count("account"))
    for row in range(out.shape[0]):
        out[row] = share * np.sort(notional[unit == row])[::-1][:count].sum()
    return out


LARGEST_FEW = CustomKind(read=_read, compute=_compute, levels=("account",))
NOT_A_KIND = "no kind at all"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two entry points of an imagined package."""
    points = {
        "largest_few": EntryPoint("largest_few", "tests.sources.test_kinds:LARGEST_FEW", kinds.GROUP),
        "broken": EntryPoint("broken", "tests.sources.test_kinds:NOT_A_KIND", kinds.GROUP),
    }
    monkeypatch.setattr(kinds, "_entry_points", lambda: points)


def _written(tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = TEXT
    for old, new in changes:
        text = text.replace(old, new)
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


ACCOUNT = Account(
    id="a",
    balances={"USD": Decimal(1000)},
    positions=(Position(instrument="ETH-PERP", quantity=Decimal(10), entry_price=Decimal(2000)),),
)


@pytest.mark.usefixtures("installed")
def test_a_kind_of_another_package_is_run_explained_and_linted(tmp_path: Path) -> None:
    rules = load_rulebook(_written(tmp_path))
    report = assess(ACCOUNT, SNAPSHOT, rules)
    assert report.maintenance_margin == pytest.approx(0.1 * 10 * 0.1 * 2000)
    assert report.initial_margin == pytest.approx(2 * report.maintenance_margin)
    assert explain(ACCOUNT, SNAPSHOT, rules).report.initial_margin == report.initial_margin
    assert not [finding for finding in lint(rules) if finding.severity == "error"]
    assert with_values(rules, {"charges.few.share": 0.2}).charges["few"].spec.parameters == (2, 0.2)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("count = 2", "count = 0"), "`count` is at least 1"),
        (('kind = "largest_few"', 'kind = "broken"'), "is no crossmargin.margin.CustomKind"),
        (('kind = "largest_few"', 'kind = "largest_view"'), "largest_few"),
        (('level = "account"', 'level = "bucket"'), "stands at account, not at bucket"),
    ],
)
def test_what_is_wrong_with_a_kind_is_told(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    with pytest.raises(RulebookError, match=told):
        load_rulebook(_written(tmp_path, change))


def test_nothing_is_looked_up_for_our_own_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> dict[str, EntryPoint]:
        raise AssertionError("no rulebook of ours names a kind from outside")

    monkeypatch.setattr(kinds, "_entry_points", asked)
    assert load_rulebook("reference").name == "reference"
