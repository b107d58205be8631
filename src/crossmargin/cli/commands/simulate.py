"""`crossmargin simulate`: a seeded world around a clearing house, with faults, checked after every event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of

if TYPE_CHECKING:
    from crossmargin.simulation import Outcome


@click.command()
@options.rulebook
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The first of the seeds.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How many, one after another.")
@click.option(
    "--events", type=click.IntRange(min=100), default=2_000, show_default=True, help="At least so many a seed."
)
@click.option(
    "--stress", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Times a calm day's moves."
)
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Recorded prices: CSV with a column for each of BTC and ETH, a row for each 30 s.",
)
@click.option("--taken", is_flag=True, help="The outside takes market orders and offers at once; else it is asked.")
@options.output("table", "json")
def command(  # noqa: PLR0917 - one option each
    rulebook: str,
    seed: int,
    seeds: int,
    events: int,
    stress: float,
    prices: Path | None,
    taken: bool,
    form: str,
    output: Path | None,
) -> None:
    """Run accounts, prices and faults from a seed through a clearing house, and check every event.

    Commands come twice, late, out of order and not at all; feeds stand still or lie; the process is killed and the
    disk fills up. Conservation, order, replay and the procedure's own rules are checked after each record. The same
    seed gives the same journal. Where something breaks, the message names the seed and step that show it.
    """
    from crossmargin.simulation import simulate

    rules = calls.rulebook(rulebook)
    path = None if prices is None else _read(prices)
    found: list[Outcome] = []
    for number in range(seed, seed + seeds):
        found.append(simulate(number, rules, events=events, path=path, stress=stress, asked=not taken))
        click.echo(f"seed {number}: {found[-1].events} events hold", err=True)
    if form == "json":
        output_of.emit(output_of.to_json(calls.stamped(runs=[_plain(one) for one in found])), output)
    else:
        from crossmargin.cli.tables.simulation import simulation_tables

        output_of.show(simulation_tables(found), output)


def _plain(one: Outcome) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _read(path: Path) -> list[dict[str, float]]:
    """Return the prices of a file.

    Raises
    ------
    click.BadParameter
        A column is missing, a price is no number above 0, or there is none at all.
    """
    import csv

    from crossmargin.simulation.market import COINS

    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    out = []
    for number, row in enumerate(rows, start=2):
        try:
            prices = {coin: float(row[coin]) for coin in COINS}
        except (KeyError, TypeError, ValueError):
            message = f"line {number}: expected a price in each of the columns {', '.join(COINS)}"
            raise click.BadParameter(message, param_hint="--prices") from None
        if not all(0 < price < 1e12 for price in prices.values()):  # noqa: PLR2004
            raise click.BadParameter(f"line {number}: a price is above 0 and below 1e12", param_hint="--prices")
        out.append(prices)
    if not out:
        raise click.BadParameter("no prices: expected a header and a row for each 30 s", param_hint="--prices")
    return out
