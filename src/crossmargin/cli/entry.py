"""The `crossmargin` command: a table of commands that load when called, and one place where errors end."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from crossmargin.cli.exit_codes import MEANINGS, ExitCode
from crossmargin.cli.kernel import choose_kernel, kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

# name -> (module under cli/commands, help). The help stands here too, so that `--help` loads no command.
COMMANDS = {
    "assess": ("assess", "Equity, requirements and named lines of accounts under a rulebook."),
    "explain": ("explain", "Why one account's numbers are what they are, down to each figure."),
    "what-if": ("what_if", "One account before and after trades, deposits and shocks."),
    "basket": ("basket", "Trades that belong together: as one, leg by leg, and in which order."),
    "liquidate": ("liquidate", "What would be closed, in which order, at what cost: by the venue, and at best."),
    "overview": ("overview", "Accounts at several venues in one view."),
    "compare": ("compare", "One account under several rulebooks."),
    "reconcile": ("reconcile", "Computed figures against those that the venue reported."),
    "simulate": ("simulate", "A seeded world around a clearing house, with faults; every event checked."),
    "conformance": ("conformance", "Reproduce published cases, family by family."),
    "rulebooks": ("rulebooks", "List, show, compare and check rulebooks."),
    "schema": ("schema", "JSON Schema of the input and output documents."),
    "bench": ("bench", "How fast it is here, beside other libraries and the machine's limits."),
    "demo": ("demo", "A desk on a realistic market: margined, explained, drawn."),
}

CODES = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {text}" for code, text in MEANINGS.items())


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, and whose errors are told in one way."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Command of this name, loaded; None where there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        choose_kernel()
        module = import_module(f"crossmargin.cli.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Command that the arguments name; a misspelt one is answered with the nearest."""
        from difflib import get_close_matches

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(COMMANDS)}"
            ctx.fail(f"No such command {args[0]!r}: {meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without loading any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:  # noqa: ANN401
        """Run the command line and leave the process with an :class:`ExitCode`."""
        words = list(sys.argv[1:] if args is None else args)
        extra = {**extra, "standalone_mode": False, "prog_name": "crossmargin"}
        sys.exit(int(_run(super().main, words, extra)))


def _run(call: Any, words: list[str], extra: dict[str, Any]) -> int:  # noqa: ANN401
    """Exit code of one run; whatever goes wrong is told here and nowhere else."""
    try:
        return _code(call(args=words, **extra))
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        from crossmargin.cli.refusals import tell_usage

        return tell_usage(error, words)
    except SystemExit:  # click's answer to a closed pipe, as in `| head`: the reader had enough
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001  # the edge: nobody above could tell the user
        from crossmargin.cli.refusals import tell

        return tell(error, words)


def _code(result: object) -> int:
    """Exit code that a command returned; a command that returned nothing is done."""
    return result if isinstance(result, int) else ExitCode.OK


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from crossmargin import __version__

    click.echo(f"crossmargin {__version__}, kernel {kernel()}")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=CODES)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Version and kernel."
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an internal error.")
def main() -> None:
    """What a portfolio is worth, how much must back it, and why.

    Start with `crossmargin demo`, then `crossmargin assess ACCOUNTS SNAPSHOT --rulebook NAME`.
    """
