"""Arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_RULEBOOK = "reference"
_FILE = click.Path(path_type=Path)


def inputs(function: F) -> F:
    """Add ACCOUNTS and SNAPSHOT."""
    function = click.argument("snapshot", type=_FILE)(function)
    return click.argument("accounts", type=_FILE)(function)


def rulebook(function: F) -> F:
    """Add --rulebook."""
    return click.option(
        "--rulebook",
        "-r",
        metavar="NAME[@DATE]|FILE.toml",
        default=DEFAULT_RULEBOOK,
        show_default=True,
        help="Methodology: a shipped one, at a date if you like, or your own document.",
    )(function)


def one_account(function: F) -> F:
    """Add --account for commands about one."""
    text = "Which account; needed where the file holds several."
    return click.option("--account", "-a", metavar="ID", help=text)(function)


def age(function: F) -> F:
    """Add --max-quote-age."""
    return click.option(
        "--max-quote-age",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        default=3600.0,
        show_default=True,
        help="Older quotes are refused.",
    )(function)


def output(*formats: str) -> Callable[[F], F]:
    """Add --format and --output."""

    def add(function: F) -> F:
        file = click.option("--output", "-o", type=_FILE, metavar="FILE", help="Write here instead of stdout.")
        form = click.option(
            "--format",
            "-f",
            "form",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            help="Form of the result.",
        )
        return form(file(function))

    return add
