"""`crossmargin demo`: the whole of it on a desk that the package ships."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crossmargin.cli import calls, changes
from crossmargin.cli import output as output_of
from crossmargin.cli.options import DEFAULT_RULEBOOK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from crossmargin.account import Account
    from crossmargin.analysis.explanation import Explanation
    from crossmargin.margin.model import Rulebook

REPORT = "demo-report.html"
SHOCK = "BTC=-20%,ETH=-25%,vol=+30%,USDT=-2%"
TRADES = ("BTC_USDC-27MAR26:+4",)


@click.command()
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path(REPORT), help="The HTML report.")
def command(output: Path) -> None:
    """A desk on a realistic market: margined, explained, shocked, compared, drawn.

    Reads accounts.json and snapshot.json of the package, and writes demo-report.html to this directory.
    """
    with ExitStack() as stack:
        folder = files("crossmargin.cli").joinpath("demo")
        paths = [stack.enter_context(as_file(folder.joinpath(f"{name}.json"))) for name in ("accounts", "snapshot")]
        loaded = calls.load(paths[0], paths[1])
    rules = calls.rulebook(DEFAULT_RULEBOOK, loaded.snapshot)
    desk = calls.choose_one(loaded, "desk")
    with output_of.working("explaining the desk"):
        found = calls.explanation(desk, loaded.snapshot, rules)
    output_of.show(_parts(loaded, rules, desk, found))
    from crossmargin.cli.html_report import html_report

    output.write_text(html_report(found, calls.unverified_lines(rules)) + "\n", encoding="utf-8")
    click.echo(f"\nThe same as pictures: {output.resolve()}")


def _parts(loaded: calls.Loaded, rules: Rulebook, desk: Account, found: Explanation) -> Iterator[RenderableType]:
    """Yield the demo, part by part, so that each is drawn as soon as it is known."""
    from crossmargin.cli.tables.book import book_tables
    from crossmargin.cli.tables.compare import comparison_tables
    from crossmargin.cli.tables.explain import explain_tables
    from crossmargin.cli.tables.report import report_tables
    from crossmargin.cli.tables.what_if import what_if_tables

    market = loaded.snapshot
    yield _heading(1, "A book of accounts", "crossmargin assess accounts.json snapshot.json")
    yield from book_tables(calls.book_report(loaded, rules).rows, rules, market)
    yield _heading(2, "One account in full", "crossmargin assess accounts.json snapshot.json --account desk")
    yield from report_tables(calls.report(desk, market, rules), calls.unverified_lines(rules))
    yield _heading(3, "Why, and how far", "crossmargin explain accounts.json snapshot.json --account desk")
    yield from explain_tables(found, trees=False)
    yield _heading(4, "A long BTC future beside a short ETH option")
    yield _mission(loaded, rules)
    command = f"crossmargin what-if ... --account desk --add '{TRADES[0]}' --shock '{SHOCK}'"
    yield _heading(5, "What if", command)
    wanted = calls.Wanted(
        trades=tuple(changes.parse_trade(text) for text in TRADES), moves=changes.parse_shock((SHOCK,))
    )
    changed = calls.what_if(desk, market, rules, wanted)
    yield from what_if_tables(changed.before, changed.after)
    yield _heading(6, "Other rulebooks", "crossmargin compare accounts.json snapshot.json --account desk")
    others = calls.in_force(market)
    for name in ("desk", "mission-call", "one-perp"):
        yield from comparison_tables(name, calls.comparison(calls.choose_one(loaded, name), market, others))


def _heading(number: int, title: str, command: str = "") -> RenderableType:
    from rich.console import Group
    from rich.rule import Rule
    from rich.text import Text

    rule = Rule(Text(f" {number}  {title} ", style="bold cyan"), style="cyan", align="left")
    return Group(Text(), rule, Text(f"$ {command}" if command else "", style="dim"))


def _mission(loaded: calls.Loaded, rules: Rulebook) -> RenderableType:
    """Return what each position requires alone, and what both require together: with a call, with a put."""
    from crossmargin.cli.tables import parts

    note = "long future and short call lose on opposite sides; long future and short put on the same"
    columns = ("initial, USD", "maintenance, USD", "relief")
    made = parts.table("Requirement of each alone, and of both together", ("positions",), columns, note=note)
    for name in ("mission-call", "mission-put"):
        account = calls.choose_one(loaded, name)
        alone = [(p, calls.report(calls.holding(account, p), loaded.snapshot, rules)) for p in account.positions]
        for position, report in alone:
            label = f"{position.quantity:+,} {position.instrument}"
            made.add_row(f"  {label}", parts.money(report.initial_margin), parts.money(report.maintenance_margin), "")
        together = calls.report(account, loaded.snapshot, rules)
        summed = sum(report.initial_margin for _, report in alone)
        share = 1 - together.initial_margin / summed
        figures = (parts.money(together.initial_margin), parts.money(together.maintenance_margin))
        made.add_row(f"{name}: together", *figures, f"{share:.1%}", style="bold")
        made.add_section()
    return made
