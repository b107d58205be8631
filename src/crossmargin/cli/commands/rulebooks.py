"""`crossmargin rulebooks`: list, show, diff, lint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crossmargin.cli import calls, options, rulebook_calls
from crossmargin.cli import output as output_of
from crossmargin.cli.exit_codes import ExitCode
from crossmargin.errors import InputError

if TYPE_CHECKING:
    from crossmargin.margin.model import Rulebook
    from crossmargin.sources import ShippedRulebook

_FORM = click.option(
    "--format", "-f", "form", type=click.Choice(("table", "json")), default="table", help="Form of the result."
)


@click.group()
def command() -> None:
    """List, show, compare and check rulebooks."""


@command.command("list")
@_FORM
def list_command(form: str) -> None:
    """Every shipped rulebook with its date."""
    rows = [(shipped, _loaded(shipped)) for shipped in calls.shipped()]
    if form == "json":
        entries = [rulebook_calls.rulebook_entry(shipped, rules) for shipped, rules in rows]
        output_of.emit(output_of.to_json(calls.stamped(rulebooks=entries)), None)
        return
    from crossmargin.cli.tables.rulebook import list_table

    output_of.show([list_table(rows)])


def _loaded(shipped: ShippedRulebook) -> Rulebook | None:
    """Return a shipped rulebook; None where it does not load, so that the list still shows the others."""
    try:
        return calls.rulebook(shipped.spec)
    except InputError:
        return None


@command.command()
@click.argument("name", metavar="NAME[@DATE]|FILE.toml")
@_FORM
def show(name: str, form: str) -> None:
    """One rulebook, merged with what it extends: lines, requirements, every number with its source."""
    rules = calls.rulebook(name)
    if form == "json":
        numbers = rulebook_calls.sourced_numbers(rules)
        document = calls.stamped(rulebook=calls.rulebook_id(rules), document=rules.document, numbers=numbers)
        output_of.emit(output_of.to_json(document), None)
        return
    from crossmargin.cli.tables.rulebook import show_tables

    output_of.show(show_tables(rules))


@command.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--on",
    type=(click.Path(path_type=Path), click.Path(path_type=Path)),
    metavar="ACCOUNTS SNAPSHOT",
    help="Also show what the difference does to these accounts.",
)
@options.age
@_FORM
def diff(first: str, second: str, on: tuple[Path, Path] | None, max_quote_age: float, form: str) -> int:
    """What B says otherwise than A, entry by entry; ends with 5 where they differ.

    With --on: whose requirement moves, by how much, and through which lines.
    """
    from crossmargin.margin.diff import diff_documents

    loaded = calls.load(*on) if on else None
    market = loaded.snapshot if loaded else None
    before, after = calls.rulebook(first, market), calls.rulebook(second, market)
    rows = diff_documents(before.document, after.document)
    moved = calls.preview(loaded, before, after, max_quote_age) if loaded else None
    if form == "json":
        ids = [calls.rulebook_id(before), calls.rulebook_id(after)]
        entries = [{"entry": place, "before": old, "after": new} for place, old, new in rows]
        effect = {} if moved is None else {"accounts": moved}
        output_of.emit(output_of.to_json(calls.stamped(rulebooks=ids, differences=entries, **effect)), None)
    else:
        from crossmargin.cli.tables.preview import preview_tables
        from crossmargin.cli.tables.rulebook import diff_table

        output_of.show([diff_table(before, after, rows), *(preview_tables(moved) if moved is not None else ())])
    return ExitCode.DIFFERENCES if rows else ExitCode.OK


@command.command()
@click.argument("name", metavar="NAME[@DATE]|FILE.toml")
@click.option(
    "--sweep",
    is_flag=True,
    help="Also try every parameter at half and at twice its value, and every amount of the procedure beside the least "
    "that restores: slower.",
)
@_FORM
def lint(name: str, sweep: bool, form: str) -> int:
    """Check one rulebook; ends with 5 where something must be corrected, with 4 where it does not load."""
    rules = calls.rulebook(name)
    with output_of.working("checking on generated accounts"):
        findings = rulebook_calls.lint(rules, sweep=sweep)
    if form == "json":
        document = calls.stamped(rulebook=calls.rulebook_id(rules), findings=findings)
        output_of.emit(output_of.to_json(document), None)
    else:
        from crossmargin.cli.tables.rulebook import lint_table

        output_of.show([lint_table(f"{rules.name} {rules.effective_from}", findings)])
    wrong = any(finding["severity"] == "error" for finding in findings)
    return ExitCode.DIFFERENCES if wrong else ExitCode.OK
