"""The named paths along which a pool's distance to liquidation is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.margin.states import Moves
from crossmargin.scenarios import ASSET, OPTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

ALL = "all"


@dataclass(frozen=True, slots=True)
class Path:
    """One path: at multiple x every underlying in `betas` stands at x ** beta times its price. Vols and rates stay.

    `spot` is the price of `underlying` today, in the snapshot's reporting asset (1 where everything moves).
    `kinks` are multiples at which values may bend or jump (strikes).
    """

    underlying: str
    text: str
    betas: Mapping[str, float]
    spot: float
    kinks: tuple[float, ...]


def paths_of(resolved: Resolved, betas: Mapping[str, float] | None) -> tuple[Path, ...]:
    """Return a path for each underlying alone, and one for all together where there are several."""
    names = underlyings(resolved)
    paths = [Path(name, f"{name} alone", {name: 1.0}, _spot(resolved, name), _kinks(resolved, name)) for name in names]
    if len(names) > 1:
        chosen = {name: float((betas or {}).get(name, 1.0)) for name in names}
        kinks = tuple(kink for path in paths for kink in path.kinks)
        paths.append(Path(ALL, _all_text(chosen, given=betas is not None), chosen, 1.0, kinks))
    return tuple(paths)


def _all_text(betas: Mapping[str, float], *, given: bool) -> str:
    if all(beta == 1.0 for beta in betas.values()):
        return f"all together, beta 1 ({'given' if given else 'assumed'})"
    return f"all together, log beta {', '.join(f'{name} {beta:g}' for name, beta in betas.items())} (given)"


def underlyings(resolved: Resolved) -> tuple[str, ...]:
    """Return the underlyings that something is held of, cash left out: the reporting asset and pegged assets."""
    c, names = resolved.contracts, resolved.names
    held = np.zeros(len(c), dtype=bool)
    held[resolved.legs.contract] = True
    own_name = np.asarray([names.assets[a] == names.buckets[b] for a, b in zip(c.own_asset, c.bucket, strict=True)])
    reporting = np.asarray([names.assets[a] == resolved.reporting_asset for a in c.own_asset], dtype=bool)
    money = (c.kind == ASSET) & own_name.astype(bool) & (c.linked | reporting | ~c.coin_settled)
    found = np.unique(c.bucket[held & ~money])
    return tuple(names.buckets[b] for b in found.tolist())


def _rows(resolved: Resolved, name: str) -> Ints:
    return np.flatnonzero(resolved.contracts.bucket == resolved.names.buckets.index(name))


def _spot(resolved: Resolved, name: str) -> float:
    """Return the price of the underlying's own asset; where it has none, the index of its first contract."""
    c, rows = resolved.contracts, _rows(resolved, name)
    own = float(c.root_rate[rows[0]])
    return own if np.isfinite(own) else float(c.index[rows[0]] * c.quote_rate[rows[0]])


def _kinks(resolved: Resolved, name: str) -> tuple[float, ...]:
    """Return where each option's forward meets its strike."""
    c, rows = resolved.contracts, _rows(resolved, name)
    rows = rows[c.kind[rows] == OPTION]
    moving = c.forward[rows] - c.fixed_forward[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        kinks = (c.strike[rows] - c.fixed_forward[rows]) / moving
    return tuple(np.unique(kinks[np.isfinite(kinks) & (kinks > 0)]).tolist())


def path_moves(paths: Sequence[Path], which: Ints, multiple: Floats) -> Moves:
    """Return the moves of one copy for each (path, multiple)."""
    used, place = np.unique(which, return_inverse=True)
    betas = [paths[i].betas for i in used.tolist()]
    names = sorted({name for beta in betas for name in beta})
    table = np.asarray([[beta.get(name, 0.0) for beta in betas] for name in names]).reshape(len(names), -1)
    return Moves(prices=dict(zip(names, multiple ** table[:, place], strict=True)))
