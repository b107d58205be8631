"""Expected shortfall at 97.5 % of 1,000 scenarios, each account as a whole, beside SciPy's product and a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin import kernels
from crossmargin.bench import peers
from crossmargin.bench.groups import account_groups, aligned
from crossmargin.bench.peers import Blocks
from crossmargin.bench.result import check_same, result
from crossmargin.bench.timing import on_threads, take_turns
from crossmargin.scenarios import OPTION, Shifts, revalue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]

__all__ = ["DAYS", "DEPTH", "SHARES", "past_gains", "run"]

DAYS: Final = 1_000
DEPTH: Final = DAYS // 40
SHARES: Final = np.full(DEPTH, 1.0 / DEPTH)
_COMPARED: Final = 20_000  # accounts that SciPy is timed on; its seconds are scaled by legs


def past_gains(contracts: Contracts, days: int = DAYS) -> Floats:
    """Return what one of each contract gains [contracts, days] in money, each underlying moving by its own draws."""
    rng = np.random.default_rng(5)
    moves = rng.standard_t(4, (int(contracts.bucket.max()) + 1, days)) * 0.02
    none = np.zeros(days)
    spot = np.clip(moves, -0.5, 0.5)[contracts.bucket]
    vols = contracts.iv[contracts.kind == OPTION][:, None]
    shifts = Shifts(
        spot=spot, rate=none, basis=none, time=none, peg=none, vols=vols, vol_of=np.zeros(days, dtype=np.int64)
    )
    return aligned(revalue(contracts, shifts, in_settlement=False, discount=False).gain)


def run(setting: Setting) -> Iterator[Result]:
    """Yield a row for each number of threads."""
    stage = setting.stage()
    contracts = stage.contracts()
    matrix, groups = past_gains(contracts), account_groups(stage, contracts)
    few = groups.first(min(_COMPARED // (5 if setting.quick else 1), groups.starts.shape[0]))
    blocks = Blocks(few.scale, few.index, few.starts, matrix.shape)
    times = groups.scale.shape[0] / few.scale.shape[0]

    def tail(rows: Floats) -> Floats:
        return np.asarray(np.maximum(0.0, -np.partition(rows, DEPTH - 1, axis=1)[:, :DEPTH].mean(axis=1)))

    def ours() -> Floats:
        return kernels.group_tail(groups.scale, groups.index, matrix, groups.starts, DEPTH, SHARES)

    def theirs(threads: int) -> Callable[[], Floats]:
        return lambda: blocks.each(matrix, tail, threads)

    scipy = peers.module("scipy.sparse") is not None
    compared = few.starts.shape[0]
    difference = check_same("shortfall", ours()[:compared], theirs(1)(), few.gross(matrix)) if scipy else None
    for threads in setting.threads:
        contenders: dict[str, Callable[[], object]] = {"ours": on_threads(threads, ours)}
        if scipy:
            contenders["SciPy sparse, tail"] = theirs(1)
        if scipy and threads > 1:
            contenders["the same in a thread pool"] = theirs(threads)
        taken = take_turns(contenders, max(setting.repetitions // 2, 2), setting.enough)
        seconds = taken.pop("ours")
        scaled = {name: peer * times for name, peer in taken.items()}
        pooled = scaled.pop("the same in a thread pool", None)
        yield result(
            "expected_shortfall", threads, seconds,
            peers=scaled, limit=setting.read_limit(threads, groups.scale.shape[0] * DAYS * 8),
            accounts=len(stage.book), legs=groups.scale.shape[0], scenarios=DAYS, peer_accounts=compared,
            peer_seconds_scaled_by=times, scipy_in_a_thread_pool_seconds=pooled, difference=difference,
        )  # fmt: skip
