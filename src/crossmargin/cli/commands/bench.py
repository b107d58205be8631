"""`crossmargin bench`: how fast it is here, beside other libraries and what the machine can do at most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crossmargin.cli import bench_calls, calls, options
from crossmargin.cli import output as output_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.option("--quick", is_flag=True, help="Fewer accounts and repetitions: under a minute on four cores.")
@click.option("--curves", is_flag=True, help="How cost grows with accounts, scenarios, legs and threads (minutes).")
@click.option("--work", "works", multiple=True, metavar="NAME", help="Only this one; may be given again.")
@click.option("--accounts", type=click.IntRange(min=1_000), metavar="N", help="In place of a million (quick: 50,000).")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="At most; all processors if not given.")
@options.output("table", "json")
def command(
    quick: bool,
    curves: bool,
    works: Sequence[str],
    accounts: int | None,
    threads: int | None,
    form: str,
    output: Path | None,
) -> None:
    """Time every part on a market and accounts made from a seed; nothing is read or kept.

    Results are compared with the peers' before anything is timed; contenders take turns, and medians are told. Peers
    that are not installed are named and left out. Run it on a quiet machine.
    """
    names = bench_calls.names(curves=curves)
    for name in works:
        if name not in names:
            message = f"there is no {'curve' if curves else 'work'} {name!r}: choose from {', '.join(names)}"
            raise click.BadParameter(message, param_hint="--work")
    found = bench_calls.bench(_tell, works, quick=quick, curves=curves, accounts=accounts, threads=threads)
    if form == "json":
        output_of.emit(output_of.to_json(calls.stamped(**found)), output)
    else:
        from crossmargin.cli.tables.bench import bench_tables

        output_of.show(bench_tables(_plain(found)), output)


def _tell(work: str) -> None:
    click.echo(f"timing {work}", err=True)


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Return the document as it reads when loaded again: pages of the documentation draw the same tables of a file."""
    import json

    plain: dict[str, Any] = json.loads(output_of.to_json(found))
    return plain
