"""`crossmargin assess`: one account in full, or a book in rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of
from crossmargin.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from crossmargin.account import Account
    from crossmargin.cli.calls import Loaded
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot


@click.command()
@options.inputs
@options.rulebook
@click.option("--account", "-a", "names", metavar="ID", multiple=True, help="Only this account; may be repeated.")
@click.option("--exact", is_flag=True, help="One account in fractions, to the last digit: for venues that round.")
@options.age
@options.output("table", "json", "parquet", "html")
def command(
    accounts: Path,
    snapshot: Path,
    rulebook: str,
    names: tuple[str, ...],
    exact: bool,
    max_quote_age: float,
    form: str,
    output: Path | None,
) -> int:
    """Equity, requirements and named lines of the accounts in ACCOUNTS at the market in SNAPSHOT.

    One account is reported in full; several are rows, and one that is refused is a row with its reason.
    """
    if form == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output FILE")
    loaded = calls.load(accounts, snapshot)
    rules = calls.rulebook(rulebook, loaded.snapshot)
    chosen = calls.choose(loaded, names)
    if exact:
        return _exact(calls.choose_one(chosen, None), loaded.snapshot, rules, max_quote_age, form, output)
    if len(chosen.ids) == 1 or form == "html":
        account = calls.choose_one(chosen, None)
        return _one(account, loaded.snapshot, rules, max_quote_age, form, output)
    return _book(chosen, rules, max_quote_age, form, output)


def _one(account: Account, snapshot: Snapshot, rules: Rulebook, age: float, form: str, file: Path | None) -> int:
    if form == "html":
        from crossmargin.cli.html_report import html_report

        with output_of.working(f"explaining {account.id}"):
            found = calls.explanation(account, snapshot, rules, age)
        output_of.emit(html_report(found, calls.unverified_lines(rules)), file)
        return ExitCode.OK
    report = calls.report(account, snapshot, rules, age)
    if form == "json":
        output_of.emit(output_of.to_json(calls.report_document(report)), file)
    elif form == "parquet" and file is not None:
        calls.write_parquet([report], file)
    else:
        from crossmargin.cli.tables.report import report_tables

        output_of.show(report_tables(report, calls.unverified_lines(rules)), file)
    return ExitCode.OK


def _exact(account: Account, snapshot: Snapshot, rules: Rulebook, age: float, form: str, file: Path | None) -> int:
    from crossmargin.cli.tables.exact import exact_document, exact_tables
    from crossmargin.margin import assess_exact

    if form not in {"table", "json"}:
        raise click.UsageError("--exact prints a table or JSON")
    report = assess_exact(account, snapshot, rules, max_quote_age_seconds=age)
    if form == "json":
        output_of.emit(output_of.to_json(exact_document(report)), file)
    else:
        output_of.show([*exact_tables(report)], file)
    return ExitCode.OK


def _book(loaded: Loaded, rules: Rulebook, age: float, form: str, file: Path | None) -> int:
    with output_of.working(f"assessing {len(loaded.accounts)} accounts"):
        book = calls.book_report(loaded, rules, age)
    if form == "json":
        with output_of.working(f"reporting {len(loaded.accounts)} accounts"):
            text = output_of.to_json(book.document())
        output_of.emit(text, file)
    elif form == "parquet" and file is not None:
        calls.write_parquet(book.rows, file)
    else:
        from crossmargin.cli.tables.book import book_tables

        output_of.show(book_tables(book.rows, rules, loaded.snapshot), file)
    refused = sum(row.failure is not None for row in book.rows)
    if refused == len(book.rows) and refused:
        return ExitCode.INPUT_REFUSED
    return ExitCode.SOME_REFUSED if refused else ExitCode.OK
