"""The kinds: what is not row arithmetic. Each once, without a venue's name; one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossmargin.margin.exact_number import refuse_inexact
from crossmargin.margin.kinds.either import EITHER
from crossmargin.margin.kinds.max_loss import MAX_LOSS
from crossmargin.margin.kinds.pairing import PAIRING
from crossmargin.margin.kinds.scan import SCAN
from crossmargin.margin.kinds.worst_side import WORST_SIDE
from crossmargin.margin.model import Custom

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.margin.kinds.kind import Kind
    from crossmargin.margin.model import Line

KINDS: dict[str, Kind] = {
    "scan": SCAN,
    "max_loss": MAX_LOSS,
    "pairing": PAIRING,
    "either": EITHER,
    "worst_side": WORST_SIDE,
}

__all__ = ["KINDS", "compute_of"]


def compute_of(line: Line, *, exact: bool) -> Callable[..., Any]:
    """Return what computes a line of a kind, one of ours or one from outside; on exact numbers few of them run."""
    if exact and not (line.kind in KINDS and KINDS[line.kind].exact):
        refuse_inexact(f"a line of kind {line.kind}")
    return line.spec.kind.compute if isinstance(line.spec, Custom) else KINDS[line.kind].compute
