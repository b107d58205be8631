"""The option kernels beside their peers and beside what the machine can do at most, in one run.

python benchmarks/options.py [--options N] [--scenarios N] [--repetitions N]

Contenders take turns, all on one thread; medians are printed, with the ratio to the compiled kernel. The limit of a
revaluation is its floating-point work over the fused multiply-adds that a core does on its registers, probed in the
same run. py_vollib takes part where it is installed. What is timed is what a caller calls: the Python functions.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import QuantLib
from scipy.special import ndtr

from benchmarks.kernels import medians, native, probe
from crossmargin import kernels
from crossmargin.pricing import greeks, implied_vol, price

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Of one cell, a fused multiply-add counted as two: exp 3 + 13 fused and 2 single, four polynomials 38 fused and 2
# single, the tails brought together 2 fused and 3 single (one a division), all else 20 single: sums, products, minima.
FLOPS = 2 * (16 + 38 + 2) + 27
SHOCKS = (0.7, 1.0, 1.3)


class Chain(NamedTuple):
    """Options [options], and moves of spot and numbers of the shocked vol [scenarios]."""

    forward: Floats
    strike: Floats
    vol: Floats
    years: Floats
    call: npt.NDArray[np.bool_]
    moves: Floats
    vol_of: npt.NDArray[np.int64]

    @property
    def terms(self) -> tuple[Floats, Floats, Floats, Floats, npt.NDArray[np.bool_]]:
        return self.forward, self.strike, self.vol, self.years, self.call

    def quotes(self) -> list[tuple[int, float, float, float, float]]:
        """Kind, strike, forward, deviation and time of each, as QuantLib wants them."""
        kinds = np.where(self.call, QuantLib.Option.Call, QuantLib.Option.Put).tolist()
        s = (self.vol * np.sqrt(self.years)).tolist()
        return list(zip(kinds, self.strike.tolist(), self.forward.tolist(), s, self.years.tolist(), strict=True))


def make_chain(options: int, scenarios: int) -> Chain:
    """Strikes within a deviation and a half of the forward."""
    rng = np.random.default_rng(1)
    years, vol = rng.uniform(0.01, 2.0, options), rng.uniform(0.3, 1.0, options)
    strike = 100.0 * np.exp(rng.uniform(-1.5, 1.5, options) * vol * np.sqrt(years))
    moves, vol_of = rng.uniform(-0.2, 0.2, scenarios), np.arange(scenarios) % len(SHOCKS)
    return Chain(np.full(options, 100.0), strike, vol, years, strike >= 100.0, moves, vol_of)


def show(title: str, taken: dict[str, float], limit: float | None = None) -> None:
    """Print milliseconds, the ratio to the first contender, and of compiled kernels the fraction of the limit."""
    print(f"\n{title}")
    first = next(iter(taken.values()))
    for name, seconds in taken.items():
        share = f"{limit / seconds:7.0%} of the limit" if limit and name == next(iter(taken)) else ""
        print(f"  {name:28} {seconds * 1e3:10.3f} ms {seconds / first:8.2f}x {share}")


def compiled(call: Callable[[], object]) -> dict[str, Callable[[], object]]:
    """The call by every compiled kernel, the best first, on one thread."""
    levels = [name for name in reversed(kernels.kernels_here()) if name != "numpy"]
    return {level: native(1, call, level) for level in levels}


def by_numpy(call: Callable[[], object]) -> Callable[[], object]:
    """Run `call` with the NumPy engine."""

    def run() -> object:
        kernels.use_kernel("numpy")
        return call()

    return run


def revaluation(chain: Chain, repetitions: int, flops_a_second: float) -> None:
    """Gains of every option in every scenario, in settlement: columns to table."""
    options, scenarios = chain.strike.shape[0], chain.moves.shape[0]
    nothing = np.zeros(options)
    sign = np.where(chain.call, 1.0, -1.0)
    terms = (chain.forward, chain.strike, chain.vol, chain.years, sign, nothing, nothing, nothing + 1.0)
    columns, rows = np.stack([*terms, nothing, nothing, nothing]), np.arange(options)
    vols, moves = chain.vol[:, None] * np.asarray(SHOCKS), np.zeros((4, scenarios))
    spot = np.repeat(chain.moves[None, :], options, axis=0)
    given = kernels.OptionScenarios(columns, rows, vols, chain.vol_of, moves, spot)
    cells, today = np.empty((2, options, scenarios)), np.empty(options)

    def fused() -> object:
        return kernels.revalue_options(given, cells, today, discount=False)

    def by_scipy() -> object:
        forward, k, root = chain.forward[:, None] * (1.0 + spot), chain.strike[:, None], np.sqrt(chain.years)[:, None]
        s = vols[:, chain.vol_of] * root
        d1, side = np.log(forward / k) / s + 0.5 * s, sign[:, None]
        return side * (forward * ndtr(side * d1) - k * ndtr(side * (d1 - s))) - today[:, None]

    def by_quantlib() -> object:
        ratios = list(zip((1.0 + chain.moves).tolist(), [SHOCKS[name] for name in chain.vol_of.tolist()], strict=True))
        return [
            [QuantLib.blackFormula(kind, k, f * u, s * v) for u, v in ratios] for kind, k, f, s, _ in chain.quotes()
        ]

    taken = medians({**compiled(fused), "SciPy ndtr": by_scipy}, repetitions)
    taken |= medians({"QuantLib blackFormula": by_quantlib}, 1)
    limit = FLOPS * options * scenarios / flops_a_second
    show(f"revaluation: {options:,} x {scenarios} (limit: {FLOPS} flops a cell)", taken, limit)


def sensitivities(chain: Chain, repetitions: int) -> None:
    """Nine Greeks of every option."""

    def ours() -> object:
        return greeks(*chain.terms)

    def by_quantlib() -> object:
        out = []
        for kind, k, f, s, t in chain.quotes():
            one = QuantLib.BlackCalculator(QuantLib.PlainVanillaPayoff(kind, k), f, s, 1.0)
            out.append((one.value(), one.deltaForward(), one.gammaForward(), one.vega(t), one.theta(f, t), one.rho(t)))
        return out

    taken = medians({**compiled(ours), "NumPy engine": by_numpy(ours)}, repetitions)
    show(f"Greeks of {chain.strike.shape[0]:,}", taken | medians({"QuantLib BlackCalculator": by_quantlib}, 3))


def vols(chain: Chain, repetitions: int) -> None:
    """Implied vol of every price."""
    prices = price(*chain.terms)

    def ours() -> object:
        return implied_vol(prices, chain.forward, chain.strike, chain.years, chain.call)

    def by_quantlib() -> object:
        solve = QuantLib.blackFormulaImpliedStdDev
        quoted = zip(chain.quotes(), prices.tolist(), strict=True)
        return [solve(kind, k, f, value, 1.0, 0.0, s, 1e-12, 100) for (kind, k, f, s, _), value in quoted]

    contenders = {**compiled(ours), "NumPy engine": by_numpy(ours)}
    slow: dict[str, Callable[[], object]] = {"QuantLib (guess given)": by_quantlib}
    if find_spec("py_vollib"):
        from py_vollib.black.implied_volatility import implied_volatility  # noqa: PLC0415  # where it is installed

        flags = np.where(chain.call, "c", "p").tolist()
        columns = (prices, chain.forward, chain.strike, np.zeros_like(prices), chain.years)
        rows = list(zip(*(column.tolist() for column in columns), flags, strict=True))
        slow["py_vollib"] = lambda: [implied_volatility(*row) for row in rows]
    taken = medians(contenders, repetitions) | medians(slow, 3)
    found = native(1, ours)()
    error = np.nanmax(abs(found.vol / chain.vol - 1.0))  # type: ignore[attr-defined]
    show(f"implied vol of {chain.strike.shape[0]:,} (greatest relative error {error:.1e})", taken)


def main() -> None:
    """Run every comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--options", type=int, default=2_000)
    parser.add_argument("--scenarios", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=41)
    given = parser.parse_args()
    multiply_adds = probe(9)[1]
    print(f"{kernels.kernel_name()}; one core does {2e-9 * multiply_adds:.1f} GFLOP/s")
    chain = make_chain(given.options, given.scenarios)
    revaluation(chain, given.repetitions, 2.0 * multiply_adds)
    sensitivities(chain, given.repetitions)
    vols(chain, given.repetitions)


if __name__ == "__main__":
    main()
