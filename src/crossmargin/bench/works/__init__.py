"""What is timed, by name, in the order of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crossmargin.bench.works import greeks, live, memory, one_account, revalue, shortfall, startup, tick, worst_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting

__all__ = ["WORKS"]

WORKS: Final[Mapping[str, Callable[[Setting], Iterator[Result]]]] = {
    "startup": startup.run,
    "one_account": one_account.run,
    "revalue": revalue.run,
    "greeks_iv": greeks.run,
    "memory": memory.run,
    "worst_loss": worst_loss.run,
    "expected_shortfall": shortfall.run,
    "tick": tick.run,
    "formula": tick.run_formulas,
    "tick_one_underlying": live.run_tick,
    "what_if": live.run_what_if,
    "what_if_batch": live.run_batch,
}
