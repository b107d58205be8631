"""2,000 options under 64 scenarios on one thread, beside SciPy and NumPy doing the same, and QuantLib's loop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin import kernels
from crossmargin.bench import peers
from crossmargin.bench.result import check_same, result
from crossmargin.bench.setting import DERIBIT, market_of
from crossmargin.bench.timing import on_threads, take_turns
from crossmargin.kernels.engine import serving
from crossmargin.margin.program.universe import price
from crossmargin.scenarios import OPTION, Shifts, revalue
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]

__all__ = ["option_contracts", "run", "shifts_of"]

# The compiled kernel's own algorithm for one cell (native/black76.h, native/revalue.h), additions and multiplications,
# a fused one as two: moved forward, strike and distance 8, exponential 34, two normal tails 78, value and gain 12.
_FLOPS_A_CELL: Final = 132
_VOLS: Final = (1.0, 0.75, 1.25, 1.5)


def option_contracts() -> Contracts:
    """Return the columns of the 2,000 options."""
    market = market_of(DERIBIT)
    assets = tuple(market.snapshot.assets)
    priced = price(market.snapshot.listings, (*assets, "USD"), ("",), market.snapshot, load_rulebook(DERIBIT), None)
    return priced.contracts.take(np.flatnonzero(priced.contracts.kind == OPTION))


def shifts_of(contracts: Contracts, scenarios: int) -> Shifts:
    """Return so many scenarios: moves of the spot up to 20 % either way, each with four vols."""
    options = contracts.iv[contracts.kind == OPTION]
    none = np.zeros(scenarios)
    spot = np.linspace(-0.2, 0.2, max(scenarios // len(_VOLS), 1))
    return Shifts(
        spot=np.resize(np.repeat(spot, len(_VOLS)), scenarios), rate=none, basis=none, time=none, peg=none,
        vols=options[:, None] * np.asarray(_VOLS), vol_of=np.arange(scenarios) % len(_VOLS),
    )  # fmt: skip


def run(setting: Setting) -> Iterator[Result]:
    """Yield the one row."""
    contracts = option_contracts()
    shifts = shifts_of(contracts, 64)
    cells = len(contracts) * 64
    ours = on_threads(1, lambda: revalue(contracts, shifts, in_settlement=True, discount=False).gain)
    others = _others(contracts, shifts)
    money = (contracts.multiplier * np.where(contracts.inverse, 1.0, contracts.forward))[:, None]
    # their normal distributions are not ours: what is the same to 1e-12 of the forward is the same price
    same = {name: check_same(f"revalue, {name}", ours(), call(), money) for name, call in others.items()}
    taken = take_turns({"ours": ours, **others}, setting.repetitions * 3, setting.enough)
    seconds = taken.pop("ours")
    limits = setting.limits.get(1)
    least = _FLOPS_A_CELL * cells / (2 * limits.multiply_adds) if limits else None
    yield result(
        "revalue", 1, seconds,
        peers=taken, limit=("multiply-adds", least) if least else None,
        cells=cells, flops_a_cell=_FLOPS_A_CELL, seconds_a_cell=seconds / cells, differences=same,
    )  # fmt: skip


def _others(c: Contracts, shifts: Shifts) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {"NumPy engine": lambda: _by_numpy(c, shifts)}
    special = peers.module("scipy.special")
    if special is not None:
        found["SciPy ndtr"] = lambda: _by_scipy(c, shifts, special.ndtr)
    quantlib = peers.module("QuantLib")
    if quantlib is not None:
        found["QuantLib blackFormula"] = lambda: _by_quantlib(c, shifts, quantlib)
    return found


def _by_numpy(c: Contracts, shifts: Shifts) -> Floats:
    kernel, threads = serving()
    kernels.use_kernel("numpy")
    gain = revalue(c, shifts, in_settlement=True, discount=False).gain
    kernels.use_kernel(kernel, threads)
    return gain


def _by_scipy(c: Contracts, shifts: Shifts, ndtr: Any) -> Floats:  # noqa: ANN401
    """Return gains by vectorised SciPy, with logarithms and deviations taken out of the cells as the kernel does."""
    sign = np.where(c.call, 1.0, -1.0)[:, None]
    strike, weight = c.strike[:, None], c.multiplier[:, None]

    def value(move: Floats, s: Floats) -> Floats:
        forward = c.forward[:, None] * move
        d1 = (np.log(c.forward / c.strike)[:, None] + np.log(move)) / s + 0.5 * s
        worth = sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * (d1 - s)))
        return np.asarray(weight * worth / np.where(c.inverse[:, None], forward, 1.0))

    root = np.sqrt(c.years)[:, None]
    shocked = value(1.0 + shifts.spot[None, :], (shifts.vols * root)[:, shifts.vol_of])
    return shocked - value(np.ones((1, 1)), c.iv[:, None] * root)


def _by_quantlib(c: Contracts, shifts: Shifts, quantlib: Any) -> Floats:  # noqa: ANN401
    """Return gains by a loop over QuantLib's Black formula."""
    kinds = [quantlib.Option.Call if call else quantlib.Option.Put for call in c.call.tolist()]
    s = shifts.vols * np.sqrt(c.years)[:, None]
    moves = list(zip((1.0 + shifts.spot).tolist(), shifts.vol_of.tolist(), strict=True))
    formula = quantlib.blackFormula
    values = [
        [formula(kind, strike, forward * move, deviations[vol]) for move, vol in moves]
        for kind, strike, forward, deviations in zip(
            kinds, c.strike.tolist(), c.forward.tolist(), s.tolist(), strict=True
        )
    ]
    forward = np.where(c.inverse[:, None], c.forward[:, None] * (1.0 + shifts.spot), 1.0)
    today = revalue(c, replace(_still(shifts), vols=c.iv[:, None]), in_settlement=True, discount=False).today
    return np.asarray(c.multiplier[:, None] * np.asarray(values) / forward - today[:, None])


def _still(shifts: Shifts) -> Shifts:
    none = np.zeros(1)
    return replace(shifts, spot=none, rate=none, basis=none, time=none, peg=none, vol_of=np.zeros(1, dtype=np.int64))
