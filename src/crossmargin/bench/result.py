"""What the benchmark found: one row for each work and number of threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crossmargin.errors import CrossmarginError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Aim", "DifferentResultError", "Result", "Skipped", "check_same", "result"]


class DifferentResultError(CrossmarginError):
    """Contenders that should give the same gave something else: their times mean nothing."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One thing to reach: at least (or at most) `bound` was wanted of it. `reached` is None where it is not judged."""

    what: str
    bound: float
    at_least: bool
    found: float
    unit: str
    reached: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Median seconds of a work on so many threads, beside its quickest peer and its limit.

    `peer_ratio` is the peer's seconds over ours; `limit_fraction` is the least seconds that the limit allows over ours.
    """

    work: str
    threads: int
    seconds: float | None
    peer: str | None = None
    peer_seconds: float | None = None
    peer_ratio: float | None = None
    limit: str | None = None
    limit_seconds: float | None = None
    limit_fraction: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    aims: tuple[Aim, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A work that cannot be done here, and why."""

    work: str
    reason: str


def result(
    work: str,
    threads: int,
    seconds: float | None,
    *,
    peers: dict[str, float] | None = None,
    limit: tuple[str, float] | None = None,
    **detail: object,
) -> Result:
    """Return the row; of several peers the quickest is the peer, and all stand in the detail."""
    peer = min(peers, key=peers.__getitem__) if peers else None
    peer_seconds = peers[peer] if peers and peer else None
    name, least = limit or (None, None)
    return Result(
        work=work,
        threads=threads,
        seconds=seconds,
        peer=peer,
        peer_seconds=peer_seconds,
        peer_ratio=peer_seconds / seconds if peer_seconds and seconds else None,
        limit=name,
        limit_seconds=least,
        limit_fraction=least / seconds if least and seconds else None,
        detail={**({"peers": peers} if peers else {}), **detail},
    )


def check_same(
    work: str, ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64], scale: npt.NDArray[np.float64] | float,
    tolerance: float = 1e-12,
) -> float:  # fmt: skip
    """Return the largest difference of two results, relative to `scale` (the sum of absolute terms).

    Raises
    ------
    DifferentResultError
        When it is above the tolerance, or no number.
    """
    difference = float((abs(ours - theirs) / scale).max(initial=0.0))
    if not difference <= tolerance:
        message = (
            f"{work}: results differ by {difference:.3g} of their terms, more than {tolerance:.0e}; nothing was timed"
        )
        raise DifferentResultError(message)
    return difference
