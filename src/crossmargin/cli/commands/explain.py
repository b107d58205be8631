"""`crossmargin explain`: why one account's numbers are what they are."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of


@click.command()
@options.inputs
@options.rulebook
@options.one_account
@options.age
@click.option("--all", "whole", is_flag=True, help="Every row of the trees and every scenario.")
@options.output("table", "json", "html")
def command(
    accounts: Path,
    snapshot: Path,
    rulebook: str,
    account: str | None,
    max_quote_age: float,
    whole: bool,
    form: str,
    output: Path | None,
) -> None:
    """The rulebook's expressions with figures in place of names, and what each position adds.

    Then the scenario tables, Greeks, liquidation prices and capital efficiency of one account.
    """
    loaded = calls.load(accounts, snapshot)
    rules = calls.rulebook(rulebook, loaded.snapshot)
    chosen = calls.choose_one(loaded, account)
    with output_of.working(f"explaining {chosen.id}"):
        found = calls.explanation(chosen, loaded.snapshot, rules, max_quote_age)
    if form == "json":
        output_of.emit(output_of.to_json(found), output)
    elif form == "html":
        from crossmargin.cli.html_report import html_report

        output_of.emit(html_report(found, calls.unverified_lines(rules)), output)
    else:
        from crossmargin.cli.tables.explain import explain_tables

        output_of.show(explain_tables(found, whole=whole), output)
