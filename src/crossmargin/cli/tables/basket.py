"""A basket of trades: before and after, each leg's part, and two orders of trading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crossmargin.analysis.basket import Basket, Step


def basket_tables(found: Basket) -> Iterator[parts.Sheet]:
    """Yield the basket as one, its legs, and the orders."""
    yield _whole(found)
    yield _legs(found)
    if len(found.legs) > 1:
        same = found.best == found.as_given
        yield _order(found, "As listed" + (": no order needs less between" if same else ""), found.as_given)
        if not same:
            yield _order(found, "The order that needs least between", found.best)


def _whole(found: Basket) -> parts.Sheet:
    title = f"{found.account}  {found.rulebook.name} {found.rulebook.effective_from}  the basket as one"
    asset = found.reporting_asset
    made = parts.table(title, ("",), (f"before, {asset}", f"after, {asset}", "change"))
    for name in ("initial", "maintenance", "available"):
        was, becomes = getattr(found, f"{name}_before"), getattr(found, f"{name}_after")
        label = f"{name} margin"
        made.add_row(label, parts.money(was, asset), parts.money(becomes, asset), parts.change(becomes - was, asset))
    made.add_row("state", Text(""), parts.state(found.state_after), Text(""))
    for name, fee in found.fees.items():
        made.add_row(f"fees, {name}", Text(""), Text(f"{fee:,f}"), Text(""))
    return made


def _legs(found: Basket) -> parts.Sheet:
    note = "share: the mean change over all orders; shares add up to the basket's change"
    made = parts.table("Initial margin of each leg", ("leg", "contracts"), ("alone", "as the last", "share"), note=note)
    for leg in found.legs:
        figures = (leg.alone, leg.last, leg.share)
        cells = (_change(value, found.reporting_asset) for value in figures)
        made.add_row(Text(leg.instrument, style="bold"), f"{leg.quantity:+,f}", *cells)
    return made


def _change(value: float | None, asset: str) -> Text:
    return Text("refused", style="red") if value is None else parts.change(value, asset)


def _order(found: Basket, title: str, steps: Sequence[Step]) -> parts.Sheet:
    peak = found.best_peak if steps == found.best else found.given_peak
    told = "a state on the way is refused"
    if peak is not None:
        told = f"largest initial margin between: {numbers.money(peak, found.reporting_asset)}"
    made = parts.table(title, ("then", "contracts"), ("initial", "left"), note=told)
    for step in steps:
        figures = (parts.money(value, found.reporting_asset) for value in (step.initial_margin, step.available_margin))
        made.add_row(Text(step.instrument, style="bold"), f"{step.quantity:+,f}", *figures)
    return made
