from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from crossmargin.cli import numbers
from crossmargin.cli.grid import heat, ink, read_grid
from crossmargin.cli.tables.book import book_tables
from crossmargin.cli.tables.conformance import conformance_tables
from crossmargin.cli.tables.explain import explain_tables
from crossmargin.cli.tables.report import report_tables
from crossmargin.cli.tables.what_if import what_if_tables
from crossmargin.margin.report import AccountState
from tests.cli import fakes


def drawn(parts: Iterable[RenderableType], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
    file: Any = console.file
    text: str = file.getvalue()
    return text


def book() -> list[RenderableType]:
    rules: Any = SimpleNamespace(name="reference", effective_from="2026-01-01")
    market: Any = SimpleNamespace(as_of=fakes.AS_OF)
    return list(book_tables(fakes.book_rows(), rules, market))


TABLES: dict[str, Callable[[], Iterable[RenderableType]]] = {
    "report": lambda: report_tables(fakes.report(), {"short_options"}),
    "two pools": lambda: report_tables(
        fakes.report(pools=(fakes.pool("BTC"), fakes.pool("ETH", AccountState.LIQUIDATABLE)))
    ),
    "book": book,
    "explanation": lambda: explain_tables(fakes.explanation()),
    "what-if": lambda: what_if_tables(fakes.report(), fakes.report()),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_fit_a_hundred_columns(name: str) -> None:
    text = drawn(TABLES[name]())
    assert max(cell_len(line) for line in text.splitlines()) <= 100
    assert "…" not in text


def test_the_report_shows_figures_lines_and_marks() -> None:
    text = drawn(TABLES["report"]())
    for wanted in ("1,642,318.44", "▶ max(scan, tail)", "short_options †", "-901.85000000", "debt", "worst spot -16 %"):
        assert wanted in text


def test_the_book_puts_the_account_in_most_need_first_and_shows_reasons() -> None:
    text = drawn(TABLES["book"]())
    assert text.index("mission-put") < text.index("desk")
    assert "missing_quote" in text
    assert "∞" in text


def test_the_tree_shows_figures_and_what_does_not_decide() -> None:
    text = drawn(TABLES["explanation"]())
    assert "= max(scan, tail) + short_options + borrow" in text
    assert "does not decide" in text
    assert "34.0 % less capital" in text


def test_unchanged_lines_are_not_listed_as_changed() -> None:
    assert "borrow" not in drawn(TABLES["what-if"]())


def test_conformance_lists_unknown_families_and_failures() -> None:
    row = {"kind": "account", "worst_residual": 1e-12}
    families = [
        {**row, "family": "derive", "reproduced": 3, "total": 4, "failures": [{"case": "a", "line": "scan"}] * 7},
        {**row, "family": "novel", "reproduced": 0, "total": 2, "failures": [], "worst_residual": None},
    ]
    text = drawn(conformance_tables({"families": families}))
    assert "2 more" in text
    assert "novel" in text


def test_a_grid_is_read_from_scenario_names() -> None:
    grid = read_grid(fakes.scenario_table("BTC", 900.0))
    assert grid is not None
    assert grid.spots == tuple(map(float, fakes.SPOTS))
    assert grid.vols == ("up", "same", "down")
    assert read_grid(fakes.stress_table()) is None


@pytest.mark.parametrize("pnl", [-1.0, -0.5, 0.0, 0.3, 1.0])
def test_ink_reads_on_its_colour(pnl: float) -> None:
    def light(colour: tuple[int, int, int]) -> float:
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    colour = heat(pnl, 1.0)
    text = (0x1B, 0x1B, 0x1B) if ink(colour) == "#1b1b1b" else (255, 255, 255)
    high, low = sorted((light(colour), light(text)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3.9


@pytest.mark.parametrize(
    ("value", "asset", "text"),
    [
        (-1234.567, "USD", "-1,234.57"),
        (1.5, "BTC", "1.50000000"),
        (-0.001, "USD", "0.00"),
        (float("inf"), "USD", "∞"),
        (float("nan"), "USD", "-"),
        (None, "USD", "-"),
    ],
)
def test_money(value: float | None, asset: str, text: str) -> None:
    assert numbers.money(value, asset) == text


def test_other_numbers() -> None:
    assert numbers.quantity(-0.5) == "-0.5"
    assert numbers.quantity(0) == "0"
    assert numbers.signed(0.001) == "0.00"
    assert numbers.signed(12) == "+12.00"
    assert numbers.price(0.000123456) == "0.000123456"
    assert numbers.figure([[1e6, 0.01], [float("inf"), 0.02]]) == "[[1,000,000, 0.01], [∞, 0.02]]"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0"),
        ("1e20", "100000000000000000000"),
        ("-0.000001", "-0.000001"),
        ("7/1024", "0.0068359375"),
        ("123456789012345678901.5", "123456789012345678901.5"),
        ("-1/3", "-1/3"),
        ("22/7", "22/7"),
    ],
)
def test_exact_numbers_end_or_are_fractions(number: str, text: str) -> None:
    assert numbers.exact(Fraction(number)) == text
    assert Fraction(text) == Fraction(number)
