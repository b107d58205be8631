"""From columns to the report of one account: pools, lines, terms, collateral, scenario tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin._version import __version__
from crossmargin.margin.expression import summands, to_text
from crossmargin.margin.model import INITIAL, MAINTENANCE, Constant, Formula, Variants
from crossmargin.margin.report import (
    CollateralRow,
    LineAmount,
    MarginReport,
    PoolReport,
    RulebookId,
    ScenarioTable,
    Term,
)
from crossmargin.margin.scenario_tables import scenario_tables
from crossmargin.margin.trigger import STATES, band_of
from crossmargin.scenarios import ASSET
from crossmargin.units import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Parameter, Rulebook

    Floats = npt.NDArray[np.float64]

_EMPTY: dict[str, Any] = {}


def make_report(book: BookReport, account: int, withdrawable: Mapping[int, Mapping[str, float]] | None) -> MarginReport:
    """Return the report of one account of an assessed book."""
    units = np.flatnonzero(book.resolved.units.account == account).tolist()
    tables = scenario_tables(book.evaluation, account)
    pools = tuple(
        _pool(book, unit, None if withdrawable is None else withdrawable.get(unit, {}), tables.get(unit, ()))
        for unit in units
    )
    worst = book.worst_unit(account)
    names = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance")
    sums = {name: float(book.account_sum(getattr(book, f"unit_{name}"))[account]) for name in names}
    rate = {unit: float(book.resolved.units.numeraire[unit]) if book.resolved.in_settlement else 1.0 for unit in units}
    largest = max(zip(units, pools, strict=True), key=lambda pair: pair[1].scan_loss * rate[pair[0]])
    return MarginReport(
        schema_version=SCHEMA_VERSION,
        engine_version=__version__,
        rulebook=rulebook_id(book.rulebook),
        as_of=book.resolved.as_of,
        account=book.resolved.account_ids[account],
        reporting_asset=book.reporting_asset,
        state=STATES[int(book.unit_state[worst])],
        worst_pool=book.resolved.units.label[worst],
        equity=sums["equity"],
        adjusted_equity_initial=sums["adjusted_initial"],
        adjusted_equity_maintenance=sums["adjusted_maintenance"],
        initial_margin=sums["initial"],
        maintenance_margin=sums["maintenance"],
        coverage_ratio=float(book.unit_coverage[worst]),
        available_margin=sums["adjusted_initial"] - sums["initial"],
        maintenance_headroom=sums["adjusted_maintenance"] - sums["maintenance"],
        scan_loss=sum(pool.scan_loss * rate[unit] for unit, pool in zip(units, pools, strict=True)),
        worst_scenario=largest[1].worst_scenario,
        lines=_summed_lines(units, pools, rate),
        pools=pools,
        warnings=book.resolved.warnings.get(account, ()),
    )


def rulebook_id(rulebook: Rulebook) -> RulebookId:
    """Return what names a rulebook in every output."""
    return RulebookId(name=rulebook.name, effective_from=rulebook.effective_from, digest=rulebook.digest)


def _summed_lines(units: list[int], pools: tuple[PoolReport, ...], rate: Mapping[int, float]) -> dict[str, LineAmount]:
    return {
        name: LineAmount(
            section=line.section,
            initial=sum(pool.lines[name].initial * rate[unit] for unit, pool in zip(units, pools, strict=True)),
            maintenance=sum(pool.lines[name].maintenance * rate[unit] for unit, pool in zip(units, pools, strict=True)),
        )
        for name, line in pools[0].lines.items()
    }


def _known(book: BookReport) -> dict[str, Floats]:
    """Return what conditions of the procedure read besides the rulebook's own names."""
    adjusted = book.unit_adjusted_maintenance
    return {"adjusted_equity": adjusted, "coverage_ratio": book.unit_coverage, "equity": book.unit_equity}


def _pool(
    book: BookReport, unit: int, withdrawable: Mapping[str, float] | None, tables: tuple[ScenarioTable, ...]
) -> PoolReport:
    evaluation, rulebook = book.evaluation, book.rulebook
    worst = max(tables, key=lambda table: table.loss * table.counts, default=None)
    initial, maintenance = float(book.unit_initial[unit]), float(book.unit_maintenance[unit])
    adjusted_initial = float(book.unit_adjusted_initial[unit])
    adjusted_maintenance = float(book.unit_adjusted_maintenance[unit])
    ratio = float(book.unit_coverage[unit])
    return PoolReport(
        pool=book.resolved.units.label[unit],
        reporting_asset=unit_reporting(book, unit),
        state=STATES[int(book.unit_state[unit])],
        band=band_of(evaluation, unit, _known(book)),
        equity=float(book.unit_equity[unit]),
        adjusted_equity_initial=adjusted_initial,
        adjusted_equity_maintenance=adjusted_maintenance,
        initial_margin=initial,
        maintenance_margin=maintenance,
        coverage_ratio=ratio,
        available_margin=adjusted_initial - initial,
        maintenance_headroom=adjusted_maintenance - maintenance,
        scan_loss=sum(table.loss * table.counts for table in tables),
        worst_scenario=None
        if worst is None or worst.loss * worst.counts <= 0
        else f"{worst.row}: {worst.worst_scenario}",
        requirements={name: float(evaluation.requirement(name)[unit]) for name in rulebook.requirements},
        lines=_lines(evaluation, unit),
        initial_terms=terms_of(evaluation, rulebook.requirements[INITIAL], INITIAL, unit),
        maintenance_terms=terms_of(evaluation, rulebook.requirements[MAINTENANCE], MAINTENANCE, unit),
        collateral=_collateral(evaluation, unit),
        scenario_tables=tables,
        withdrawable=None if withdrawable is None else dict(withdrawable),
    )


def unit_reporting(book: BookReport, unit: int) -> str:
    """Return the asset in which a pool's figures are stated."""
    code = int(book.resolved.units.reporting[unit])
    if not book.resolved.in_settlement:
        return book.rulebook.reporting
    return book.resolved.names.assets[code] if code >= 0 else book.resolved.reporting_asset


def _lines(evaluation: Evaluation, unit: int) -> dict[str, LineAmount]:
    out = {}
    for name, line in evaluation.lines.items():
        amounts = [float(evaluation.line_total(name, requirement)[unit]) for requirement in (INITIAL, MAINTENANCE)]
        out[name] = LineAmount(section=line.section, initial=amounts[0], maintenance=amounts[1])
    return out


def chosen_formula(parameter: Parameter, requirement: str) -> Formula | None:
    """Return the formula that stands for a requirement; None where it is a bare number."""
    if isinstance(parameter, Variants):
        found = parameter.of(requirement)
        return found if isinstance(found, Formula) else None
    return parameter if isinstance(parameter, Formula) else None


def terms_of(evaluation: Evaluation, parameter: Parameter, requirement: str, unit: int) -> tuple[Term, ...]:
    """Return a requirement's summands with their amounts; they add up to it."""
    formula = chosen_formula(parameter, requirement)
    frame = evaluation.account_frame()
    if formula is None:
        value = evaluation.parameter(parameter, frame, requirement, _EMPTY)
        text = repr(parameter.value) if isinstance(parameter, Constant) else "requirement"
        return (Term(expression=text, amount=float(np.broadcast_to(value, len(evaluation.resolved.units))[unit])),)
    out = []
    for part in summands(formula.tree):
        value = evaluation.formula(Formula(to_text(part), part), frame, requirement, _EMPTY)
        amount = float(np.broadcast_to(value, len(evaluation.resolved.units))[unit])
        out.append(Term(expression=to_text(part), amount=amount))
    return tuple(out)


def _collateral(evaluation: Evaluation, unit: int) -> tuple[CollateralRow, ...]:
    legs, c = evaluation.resolved.legs, evaluation.resolved.contracts
    rows = np.flatnonzero((legs.unit == unit) & (c.kind[legs.contract] == ASSET) & (legs.quantity != 0))
    if not rows.size:
        return ()
    counted = {name: _counted(evaluation, name) for name in (INITIAL, MAINTENANCE)}
    price, value = (np.asarray(evaluation.measures[name]) for name in ("price", "mark_value"))
    out = []
    for leg in rows.tolist():
        worth = float(value[leg])
        adjusted = {name: float(column[leg]) for name, column in counted.items()}
        cut = {name: 1.0 - amount / worth if worth > 0 else None for name, amount in adjusted.items()}
        out.append(
            CollateralRow(
                asset=evaluation.resolved.names.assets[int(c.own_asset[legs.contract[leg]])],
                amount=float(legs.quantity[leg]),
                price=float(price[leg]),
                value=worth,
                adjusted_value_initial=adjusted[INITIAL],
                adjusted_value_maintenance=adjusted[MAINTENANCE],
                haircut_initial=cut[INITIAL],
                haircut_maintenance=cut[MAINTENANCE],
            )
        )
    return tuple(out)


def _counted(evaluation: Evaluation, requirement: str) -> Floats:
    """Return what each balance counts [legs]: what leg values say of it, less leg charges marked as haircuts."""
    key = ("counted", requirement)
    if key not in evaluation.details:
        total = np.zeros(evaluation.row_count("leg"))
        for line in evaluation.lines.values():
            if line.level == "leg" and (line.section == "values" or line.haircut):
                sign = 1.0 if line.section == "values" else -1.0
                total += sign * np.asarray(evaluation.line(line.name, requirement))
        evaluation.details[key] = total
    found: Floats = evaluation.details[key]
    return found
