"""Legs of a laid-out book as groups for the bare kernels, without a rulebook: by underlying and pool, or by account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.bench.setting import Stage
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Groups", "account_groups", "aligned", "bucket_groups"]


@dataclass(frozen=True, slots=True)
class Groups:
    """Legs in groups: `scale` and `index` [legs], `starts` [groups]."""

    scale: Floats
    index: npt.NDArray[np.int32]
    starts: Ints

    def first(self, groups: int) -> Groups:
        """Return the first groups alone."""
        last = int(self.starts[groups]) if groups < self.starts.shape[0] else self.scale.shape[0]
        return Groups(self.scale[:last], self.index[:last], self.starts[:groups])

    def gross(self, matrix: Floats) -> Floats:
        """Return the sum of the legs' absolute terms at most, [groups]: what rounding is measured against."""
        return np.add.reduceat(abs(self.scale) * abs(matrix).max(axis=1)[self.index], self.starts) + 1e-300


def _legs(stage: Stage, contracts: Contracts) -> tuple[Floats, npt.NDArray[np.int32], Ints]:
    """Return quantity, contract and pool of every leg that is no balance, in the book's order."""
    legs, rows = stage.book.legs, stage.book.universe.rows
    contract = rows.contract.astype(np.int32)[legs.row]
    held = np.flatnonzero(contracts.kind[contract] != ASSET)
    pool = np.repeat(np.arange(len(legs)), legs.count)
    return legs.quantity[held], contract[held], pool[held]


def bucket_groups(stage: Stage, contracts: Contracts, *, by_bucket: bool = True) -> Groups:
    """Return a group for each pool and underlying; all of one underlying together, or as the book has them."""
    scale, index, pool = _legs(stage, contracts)
    bucket = contracts.bucket.astype(np.uint16)[index]
    if by_bucket:
        order = np.argsort(bucket, kind="stable")
        scale, index, pool, bucket = scale[order], index[order], pool[order], bucket[order]
    new = (np.diff(pool, prepend=-1) != 0) | (np.diff(bucket.astype(np.int64), prepend=-1) != 0)
    return Groups(scale, index, np.flatnonzero(new))


def account_groups(stage: Stage, contracts: Contracts) -> Groups:
    """Return a group for each account."""
    scale, index, pool = _legs(stage, contracts)
    account = stage.book.pool_account[pool].astype(np.int64)
    return Groups(scale, index, np.flatnonzero(np.diff(account, prepend=-1)))


def aligned(matrix: Floats) -> Floats:
    """Return the matrix in memory whose rows begin where a cache line does (their length being a multiple of it)."""
    memory = np.empty(matrix.nbytes + 64, dtype=np.uint8)
    skip = -memory.ctypes.data % 64
    out = memory[skip : skip + matrix.nbytes].view(np.float64).reshape(matrix.shape)
    out[...] = matrix
    return out
