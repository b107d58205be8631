import errno
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from crossmargin.cli import main
from crossmargin.cli.entry import COMMANDS
from crossmargin.cli.exit_codes import MEANINGS, ExitCode
from crossmargin.cli.refusals import HINTS, wants_json
from crossmargin.errors import FailureReason
from crossmargin.kernels import kernel_name


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.stdout, done.stderr


def test_help_names_every_command_and_every_exit_code() -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    assert all(f"{number.value} " in out for number in MEANINGS)


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_every_reason_says_what_to_do() -> None:
    assert set(HINTS) == set(FailureReason)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert "Usage: crossmargin" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_load_lazily_and_are_commands(name: str) -> None:
    module = import_module(f"crossmargin.cli.commands.{COMMANDS[name][0]}")
    assert isinstance(module.command, click.Command)


def test_version_names_the_kernel() -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out == f"crossmargin 0.1.0, kernel {kernel_name()}\n"


@pytest.mark.usefixtures("kernel_kept")
def test_the_environment_chooses_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSMARGIN_KERNEL", "numpy")
    assert run("--version")[1].startswith("crossmargin 0.1.0, kernel numpy ")


def test_a_kernel_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSMARGIN_KERNEL", "abacus")
    code, _, err = run("schema", "account")
    assert code == ExitCode.INPUT_REFUSED
    assert "kernel 'abacus' cannot serve here: choose from numpy" in err


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    code, _, err = run("assses")
    assert code == ExitCode.USAGE
    assert "did you mean 'assess'?" in err


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crossmargin", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.USAGE
    assert "Traceback" not in done.stderr


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    def breaks(error: Exception) -> None:
        def load(*_: object) -> None:
            raise error

        monkeypatch.setattr("crossmargin.cli.calls.load", load)

    return breaks


def test_an_internal_error_is_one_line_without_a_traceback(broken: Callable[[Exception], None]) -> None:
    broken(KeyError("what\nnow"))
    code, out, err = run("assess", "a", "b")
    assert (code, out) == (ExitCode.INTERNAL, "")
    assert len(err.splitlines()) == 1
    assert "please report it" in err


def test_debug_shows_the_traceback(broken: Callable[[Exception], None]) -> None:
    broken(KeyError("what"))
    code, _, err = run("--debug", "assess", "a", "b")
    assert code == ExitCode.INTERNAL
    assert "Traceback" in err


def test_an_internal_error_is_json_where_json_was_asked_for(broken: Callable[[Exception], None]) -> None:
    broken(KeyError("what"))
    _, out, _ = run("assess", "a", "b", "--format", "json")
    assert '"reason": "internal"' in out


def test_a_closed_pipe_is_no_error(broken: Callable[[Exception], None]) -> None:
    broken(BrokenPipeError(errno.EPIPE, "closed"))
    code, _, err = run("assess", "a", "b")
    assert (code, err) == (0, "")


def test_an_interruption_is_told_by_its_code_alone(broken: Callable[[Exception], None]) -> None:
    broken(click.Abort())
    assert run("assess", "a", "b") == (ExitCode.INTERRUPTED, "", "")


def test_a_missing_extra_says_how_to_get_it(broken: Callable[[Exception], None]) -> None:
    broken(ImportError("no polars", name="polars"))
    code, _, err = run("assess", "a", "b")
    assert code == ExitCode.USAGE
    assert "crossmargin[frames]" in err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["assess", "--format", "json"], True),
        (["assess", "--format=json"], True),
        (["assess", "-f", "json"], True),
        (["assess", "-fjson"], True),
        (["assess", "--format", "table", "json"], False),
        ([], False),
    ],
)
def test_whether_json_is_wanted_is_read_from_the_words(words: list[str], wanted: bool) -> None:
    assert wants_json(words) is wanted
