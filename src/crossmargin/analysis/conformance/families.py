"""The formats of published cases that can be reproduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crossmargin.analysis.conformance import derive_pm2

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Family

FAMILIES: Final[tuple[Family, ...]] = (derive_pm2.FAMILY,)
