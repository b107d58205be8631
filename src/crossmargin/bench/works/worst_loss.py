"""The bare kernel: the worst loss of every pool and underlying over 64 scenarios, beside SciPy's sparse product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin import kernels
from crossmargin.bench import peers
from crossmargin.bench.groups import aligned, bucket_groups
from crossmargin.bench.peers import Blocks
from crossmargin.bench.result import check_same, result
from crossmargin.bench.timing import on_threads, take_turns
from crossmargin.bench.works.revalue import shifts_of
from crossmargin.scenarios import revalue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from crossmargin.bench.groups import Groups
    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting, Stage

    Floats = npt.NDArray[np.float64]

__all__ = ["SCENARIOS", "gains", "run", "worst_of"]

SCENARIOS = 64


def gains(stage: Stage, scenarios: int = SCENARIOS) -> Floats:
    """Return what one of each contract gains [contracts, scenarios], in its settlement asset."""
    contracts = stage.contracts()
    return aligned(revalue(contracts, shifts_of(contracts, scenarios), in_settlement=True, discount=False).gain)


def worst_of(groups: Groups, matrix: Floats) -> Callable[[], Floats]:
    """Return the kernel's call."""
    return lambda: kernels.group_worst(groups.scale, groups.index, matrix, groups.starts)


def run(setting: Setting) -> Iterator[Result]:
    """Yield a row for each number of threads."""
    stage = setting.stage()
    matrix = gains(stage)
    groups = bucket_groups(stage, stage.contracts())
    in_book_order = bucket_groups(stage, stage.contracts(), by_bucket=False)
    ours, as_laid_out = worst_of(groups, matrix), worst_of(in_book_order, matrix)
    blocks = Blocks(groups.scale, groups.index, groups.starts, matrix.shape)

    def theirs(threads: int) -> Callable[[], Floats]:
        return lambda: blocks.each(matrix, lambda rows: np.maximum(0.0, -rows.min(axis=1)), threads)

    scipy = peers.module("scipy.sparse") is not None
    difference = check_same("worst_loss", ours(), theirs(1)(), groups.gross(matrix)) if scipy else None
    for threads in setting.threads:
        contenders: dict[str, Callable[[], object]] = {
            "ours": on_threads(threads, ours),
            "as laid out": on_threads(threads, as_laid_out),
        }
        if scipy:
            contenders["SciPy sparse, min"] = theirs(1)
        if scipy and threads > 1:
            contenders["the same in a thread pool"] = theirs(threads)
        taken = take_turns(contenders, setting.repetitions, setting.enough)
        seconds, laid_out = taken.pop("ours"), taken.pop("as laid out")
        pooled = taken.pop("the same in a thread pool", None)
        moved = groups.scale.shape[0] * matrix.shape[1] * 8
        yield result(
            "worst_loss", threads, seconds,
            peers=taken, limit=setting.read_limit(threads, moved),
            accounts=len(stage.book), groups=groups.starts.shape[0], legs=groups.scale.shape[0], scenarios=SCENARIOS,
            seconds_in_book_order=laid_out, scipy_in_a_thread_pool_seconds=pooled, difference=difference,
        )  # fmt: skip
