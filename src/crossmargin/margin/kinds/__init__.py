"""The kinds: what is not row arithmetic. Each once, without a venue's name; one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.margin.kinds.either import EITHER
from crossmargin.margin.kinds.max_loss import MAX_LOSS
from crossmargin.margin.kinds.pairing import PAIRING
from crossmargin.margin.kinds.scan import SCAN
from crossmargin.margin.kinds.worst_side import WORST_SIDE

if TYPE_CHECKING:
    from crossmargin.margin.kinds.kind import Kind

KINDS: dict[str, Kind] = {
    "scan": SCAN,
    "max_loss": MAX_LOSS,
    "pairing": PAIRING,
    "either": EITHER,
    "worst_side": WORST_SIDE,
}

__all__ = ["KINDS"]
