"""What the command `bench` calls of the room `bench`, which loads much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def names(*, curves: bool) -> Sequence[str]:
    """Return what can be timed, or the curves that can be drawn, by name."""
    from crossmargin.bench import curves as of_curves
    from crossmargin.bench import works

    return tuple(of_curves.CURVES if curves else works.WORKS)


def bench(
    tell: Callable[[str], object],
    works: Sequence[str],
    *,
    quick: bool,
    curves: bool,
    accounts: int | None,
    threads: int | None,
) -> dict[str, Any]:
    """Return the document of a benchmark run, or of its curves; `tell` is called with what is being timed."""
    from crossmargin.bench import run

    setting = run.make_setting(quick=quick, accounts=accounts, threads=threads)
    if threads is not None and setting.threads[-1] < threads:
        tell(f"on {setting.threads[-1]} threads: this process may use no more processors")
    return run.run_curves(setting, works, tell) if curves else run.run_bench(setting, works, tell)
