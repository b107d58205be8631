"""A rulebook to read: its lines and requirements, and every number with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.text import Text

from crossmargin.analysis.lint import provenance
from crossmargin.cli import numbers
from crossmargin.cli.tables import parts
from crossmargin.margin.model import Formula, Keyed, Variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from crossmargin.analysis.lint import ProvenanceRow
    from crossmargin.margin.model import Line, Rulebook
    from crossmargin.sources import ShippedRulebook


def list_table(rows: Sequence[tuple[ShippedRulebook, Rulebook | None]]) -> parts.Sheet:
    """Return the shipped rulebooks, one row per date."""
    made = parts.table("Rulebooks", ("name", "from", "reports in", "pools by", "what it is"))
    made.columns[0].no_wrap = made.columns[1].no_wrap = True
    for shipped, rules in rows:
        date = str(shipped.effective_from)
        if rules is None:
            made.add_row(shipped.name, date, "", "", Text("does not load: see `rulebooks lint`", style="red"))
        else:
            made.add_row(Text(shipped.name, style="bold"), date, rules.reporting, rules.pool_by, rules.title)
    return made


def show_tables(rules: Rulebook) -> Iterator[RenderableType]:
    """Yield the whole rulebook, merged, each number with its source."""
    scope = ", ".join(sorted(rules.scope))
    facts = f"reports in {rules.reporting}; pools by {rules.pool_by}; scope: {scope}\nsha256 {rules.digest}"
    title = Text.assemble((rules.name, "bold"), f" {rules.effective_from}")
    yield Panel(Text(f"{rules.title}\n{facts}"), title=title, border_style="dim")
    yield _lines(rules)
    yield _requirements(rules)
    yield _numbers(provenance(rules))
    yield _sources(rules)
    for defect in rules.known_defects:
        yield Text.assemble(("known defect, kept on purpose: ", "yellow"), f"{defect.what} ({defect.source})")


def _lines(rules: Rulebook) -> parts.Sheet:
    made = parts.table("Lines", ("line", "", "level", "of", "rule"))
    made.columns[0].no_wrap = True
    for name, line in rules.lines.items():
        legs = ", ".join(" ".join(sorted(words)) for words in line.of) or "all"
        section = line.section.removesuffix("s")
        made.add_row(Text(name, style="bold"), Text(section, style="dim"), line.level, legs, _rule(line))
    return made


def _rule(line: Line) -> str:
    spec = line.spec
    if isinstance(spec, Formula | Variants | Keyed):
        return _expression(spec)
    fields = {name: getattr(spec, name) for name in getattr(spec, "__dataclass_fields__", {})}
    told = ", ".join(f"{name} {value}" for name, value in fields.items() if isinstance(value, str))
    return f"{line.kind}: {told}" if told else line.kind


def _expression(parameter: Any) -> str:  # noqa: ANN401  # the union of everything that a parameter can be
    if isinstance(parameter, Formula):
        return " ".join(parameter.text.split())
    if isinstance(parameter, Variants):
        return "\n".join(f"{name}: {_expression(entry)}" for name, entry in parameter.by_requirement.items())
    if isinstance(parameter, Keyed):
        return f"by {parameter.by}"
    return f"{parameter.value:,.10g}" if hasattr(parameter, "value") else "tiers"


def _requirements(rules: Rulebook) -> parts.Sheet:
    made = parts.table("Requirements", ("name", "expression"))
    for name, parameter in rules.requirements.items():
        made.add_row(Text(name, style="bold"), _expression(parameter))
    made.add_row("adjusted equity", _expression(rules.adjusted))
    made.add_row("liquidation trigger", rules.procedure.liquidation.trigger.text)
    return made


def _numbers(rows: Sequence[ProvenanceRow]) -> parts.Sheet:
    note = f"{parts.UNVERIFIED_MARK} no public source confirms it"
    made = parts.table(f"Numbers: {len(rows)}", ("number", "value", "source"), note=note)
    for row in rows:
        source = Text(row.source or "-")
        if row.unverified:
            source.append(f" {parts.UNVERIFIED_MARK}", style="yellow")
        made.add_row(row.path, numbers.figure(row.value), source)
    return made


def _sources(rules: Rulebook) -> parts.Sheet:
    made = parts.table("Sources", ("key", "status", "seen", "title", "at"))
    for source in rules.sources.values():
        seen = str(source.seen) if source.seen else "-"
        made.add_row(Text(source.key, style="bold"), source.status, seen, source.title, source.at or "-")
    return made


def diff_table(first: Rulebook, second: Rulebook, rows: Sequence[tuple[str, Any, Any]]) -> parts.Sheet:
    """Return what stands differently in two rulebooks."""
    names = [f"{rules.name} {rules.effective_from}" for rules in (first, second)]
    note = None if rows else "they say the same"
    made = parts.table(f"{len(rows)} differences", ("entry", *names), note=note)
    for place, before, after in rows:
        made.add_row(place, Text(_entry(before), style="red"), Text(_entry(after), style="green"))
    return made


def _entry(value: Any) -> str:  # noqa: ANN401  # a TOML value
    return "-" if value is None else str(value)


def lint_table(name: str, findings: Sequence[Mapping[str, str]]) -> parts.Sheet:
    """Return what a check of a rulebook found."""
    note = None if findings else "nothing found"
    made = parts.table(
        f"{name}: {len(findings)} {'finding' if len(findings) == 1 else 'findings'}",
        ("severity", "where", "what"),
        note=note,
    )
    for finding in findings:
        style = "red" if finding["severity"] == "error" else "yellow"
        made.add_row(Text(finding["severity"], style=style), finding["where"], finding["what"])
    return made
