"""Where results go: JSON, a console of good width, a file."""

from __future__ import annotations

from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rich.console import Console, RenderableType

PIPED_WIDTH = 100  # columns of a table that no terminal bounds


def to_json(value: object) -> str:
    """Return `value` as indented JSON text; infinities are the strings ``"inf"`` and ``"-inf"``, NaN is null."""
    import msgspec

    plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_plain_extra)
    return msgspec.json.format(msgspec.json.encode(finite(plain)), indent=2).decode()


def finite(value: Any) -> Any:  # noqa: ANN401
    """Return the same tree without numbers that JSON cannot say."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None if isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _plain_extra(value: Any) -> Any:  # noqa: ANN401
    """Return what msgspec does not know (a mapping proxy, a NumPy number) in plain form."""
    if hasattr(value, "items"):
        return dict(value.items())
    if hasattr(value, "item"):
        return value.item()
    return str(value)


def emit(text: str, output: Path | None) -> None:
    """Write text to the file, or to stdout."""
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")
        click.echo(f"written: {output}", err=True)


def show(parts: Iterator[RenderableType] | list[RenderableType], output: Path | None = None) -> None:
    """Draw tables on the terminal, in plain text where there is none, or into a file."""
    if output is None:
        console = make_console()
        for part in parts:
            console.print(part)
        return
    with output.open("w", encoding="utf-8") as file:
        console = make_console(file=file)
        for part in parts:
            console.print(part)
    click.echo(f"written: {output}", err=True)


def make_console(**more: Any) -> Console:  # noqa: ANN401
    """Return a console; without a terminal it is 100 columns wide instead of rich's 80."""
    import os

    from rich.console import Console

    plain: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False}  # [/b] in a name is its text
    console = Console(**plain, **more)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(**plain, width=PIPED_WIDTH, **more)
    return console


def working(text: str) -> AbstractContextManager[object]:
    """Return a spinner on stderr for long work; nothing where stderr is no terminal."""
    import sys
    from contextlib import nullcontext

    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    progress.add_task(text, total=None)
    return progress
