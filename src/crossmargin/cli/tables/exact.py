"""An exact assessment: every digit of figures that end, and fractions of those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossmargin.cli import numbers
from crossmargin.cli.tables.parts import Sheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from fractions import Fraction

    from crossmargin.margin import ExactPool, ExactReport


def exact_tables(report: ExactReport) -> Iterator[Sheet]:
    """Yield a table for each pool: a row for each figure, a column for each requirement."""
    for pool in report.pools:
        sheet = Sheet(f"{report.account}  {report.rulebook}  {pool.pool}", f"{pool.reporting_asset}, exact")
        sheet.add_column("figure")
        for name in pool.requirements:
            sheet.add_column(name, justify="right", overflow="fold")
        for figure, by_requirement in _figures(pool).items():
            said = (by_requirement.get(name) for name in pool.requirements)
            sheet.add_row(figure, *("-" if value is None else numbers.exact(value) for value in said))
        yield sheet


def _figures(pool: ExactPool) -> dict[str, Mapping[str, Fraction]]:
    equity = dict.fromkeys(pool.requirements, pool.equity)
    return {"equity": equity, "adjusted equity": pool.adjusted, "requirement": pool.requirements, **pool.lines}


def exact_document(report: ExactReport) -> dict[str, Any]:
    """Return the JSON document: every number a text, so that no reader rounds it."""
    return {
        "account": report.account,
        "rulebook": report.rulebook,
        "pools": [
            {
                "pool": pool.pool,
                "reporting_asset": pool.reporting_asset,
                "equity": numbers.exact(pool.equity),
                "adjusted": _texts(pool.adjusted),
                "requirements": _texts(pool.requirements),
                "lines": {line: _texts(values) for line, values in pool.lines.items()},
            }
            for pool in report.pools
        ],
    }


def _texts(values: Mapping[str, Fraction]) -> dict[str, str]:
    return {name: numbers.exact(value) for name, value in values.items()}
