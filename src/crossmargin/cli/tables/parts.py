"""The pieces that tables are made of: one look for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.margin.report import AccountState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

UNVERIFIED_MARK = "†"
BINDING_MARK = "▶"
STATE_STYLE = {
    AccountState.HEALTHY: "bold green",
    AccountState.MARGIN_CALL: "bold yellow",
    AccountState.LIQUIDATABLE: "bold red",
    AccountState.BANKRUPT: "bold white on red",
}


_ROOMY = 100  # columns; below it the gaps between columns shrink before any text is folded


class Sheet(Table):
    """A table under its heading, with a note below and room after it.

    Rich's own titles are wrapped to the table's width, which is narrow for a table of few columns.
    """

    def __init__(self, heading: str, note: str | None = None, **more: Any) -> None:  # noqa: ANN401
        super().__init__(
            **{"box": box.SIMPLE_HEAD, "show_edge": False, "header_style": "dim", "pad_edge": False, **more}
        )
        self.heading = heading
        self.note = note

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield heading, table, note and an empty line."""
        if options.max_width < _ROOMY:
            self.padding = 0
        if self.heading:
            yield Text(self.heading, style="bold")
        yield from super().__rich_console__(console, options)
        if self.note:
            yield Text(self.note, style="dim")
        yield Text()


def table(title: str, left: Sequence[str], right: Sequence[str] = (), *, note: str | None = None) -> Sheet:
    """Return an empty table: text columns on the left, numbers right-aligned after them."""
    made = Sheet(title, note)
    for name in left:
        made.add_column(name, overflow="fold")
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def money(value: float | None, asset: str = "USD", style: str = "") -> Text:
    """Return an amount, red below zero."""
    below = value is not None and value < 0
    return Text(numbers.money(value, asset), style=f"{style} red".strip() if below else style)


def change(value: float, asset: str = "USD") -> Text:
    """Return a signed difference, red below zero."""
    text = numbers.signed(value, asset)
    return Text(text, style="red" if text.startswith("-") else "")


def amount(value: float) -> Text:
    """Return contracts or units, red below zero."""
    return Text(numbers.quantity(value), style="red" if value < 0 else "")


def coverage(value: float | None) -> Text:
    """Return a coverage ratio, coloured by how near it is to 1."""
    if value is None:
        return Text("-")
    comfortable, tight = 1.5, 1.0
    style = "green" if value >= comfortable else ("yellow" if value >= tight else "bold red")
    return Text(numbers.ratio(value), style=style)


def state(value: AccountState | None) -> Text:
    """Return a state in its colour."""
    return Text("-") if value is None else Text(value.value.replace("_", " "), style=STATE_STYLE[value])


def marked(name: str, unverified: Iterable[str] = (), *, binding: bool = False, indent: str = "") -> Text:
    """Return a line's name, with a mark where it binds and where it rests on an unverified number."""
    text = Text(f"{BINDING_MARK} " if binding else indent, style="bold cyan" if binding else "")
    text.append(name, style="bold" if binding else "")
    if name in set(unverified):
        text.append(f" {UNVERIFIED_MARK}", style="yellow")
    return text


def meter(share: float, width: int = 40) -> Text:
    """Return a bar of how much of the adjusted equity the requirement takes."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    tight, full = 2 / 3, 1.0
    style = "red" if share >= full else ("yellow" if share >= tight else "green")
    return Text("━" * filled, style=style) + Text("━" * (width - filled), style="bright_black")


def notes(warnings: Sequence[str], *, unverified: bool) -> list[RenderableType]:
    """Return the footnotes of a report."""
    parts: list[RenderableType] = []
    if unverified:
        mark = Text(f"{UNVERIFIED_MARK} ", style="yellow")
        parts.append(mark.append("rests on a number that no public source confirms", style="dim"))
    parts += [Text("note ", style="yellow").append(warning, style="dim") for warning in warnings]
    return parts
