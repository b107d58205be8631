"""Greeks and implied vols of 2,000 options through the Python functions, beside those of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.bench import peers
from crossmargin.bench.result import check_same, result
from crossmargin.bench.timing import on_threads, take_turns
from crossmargin.bench.works.revalue import option_contracts
from crossmargin.pricing import greeks, implied_vol, price

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]
    Peer = tuple[Callable[[], Any], Callable[[], Any]]

__all__ = ["run"]

_ROUNDING = 2.0**-53


def run(setting: Setting) -> Iterator[Result]:
    """Yield the one row: its seconds are those of all Greeks and of all implied vols together."""
    c = option_contracts()
    values = np.asarray(price(c.forward, c.strike, c.iv, c.years, c.call))
    greek = on_threads(1, lambda: greeks(c.forward, c.strike, c.iv, c.years, c.call))
    implied = on_threads(1, lambda: implied_vol(values, c.forward, c.strike, c.years, c.call).vol)
    others = _others(c, values)
    error, attainable = _errors(c, values, np.asarray(implied()))
    for name, (delta, vols) in others.items():
        check_same(f"delta, {name}", greek().delta, np.asarray(delta()), 1.0, 1e-8)
        known = np.asarray(vols())
        check_same(f"implied vol, {name}", c.iv[attainable], known[attainable], c.iv[attainable], 1e-5)
    contenders: dict[str, Callable[[], object]] = {"greeks": greek, "iv": implied}
    for name, (delta, vols) in others.items():
        contenders |= {f"{name}: greeks": delta, f"{name}: iv": vols}
    taken = take_turns(contenders, setting.repetitions * 3, setting.enough)
    seconds = taken["greeks"] + taken["iv"]
    both = {name: taken[f"{name}: greeks"] + taken[f"{name}: iv"] for name in others}
    yield result(
        "greeks_iv", 1, seconds, peers=both, parts=taken, options=len(c), iv_largest_relative_error=error,
        iv_attainable=int(attainable.sum()),
    )  # fmt: skip


def _errors(c: Contracts, values: Floats, vols: Floats) -> tuple[float, npt.NDArray[np.bool_]]:
    """Return the largest relative error where a price's own rounding leaves 1e-12 of the vol attainable, and where."""
    vega = greeks(c.forward, c.strike, c.iv, c.years, c.call).vega
    attainable = np.asarray(_ROUNDING * values < 1e-13 * vega * c.iv)
    return float((abs(vols - c.iv) / c.iv)[attainable].max()), attainable


def _others(c: Contracts, values: Floats) -> dict[str, Peer]:
    """Return for each peer that is here what gives its deltas (with its other Greeks) and its implied vols."""
    shown = {"scipy": "SciPy ndtr and brentq", "QuantLib": "QuantLib, Li-RS", "py_vollib": "vollib"}
    kinds = (
        (_by_scipy, "scipy"),
        (_by_quantlib, "QuantLib"),
        (_by_vollib, "py_vollib"),
        (_by_nautilus, "nautilus_trader"),
    )
    missing = peers.absent()
    return {shown.get(name, name): make(c, values) for make, name in kinds if name not in missing}


def _rows(c: Contracts, values: Floats) -> list[tuple[float, float, float, float, bool, float]]:
    columns = (c.forward, c.strike, c.iv, c.years, c.call, values)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _by_scipy(c: Contracts, values: Floats) -> Peer:
    """Return vectorised Greeks with `ndtr`, and Brent's method option by option."""
    ndtr = peers.module("scipy.special").ndtr  # type: ignore[union-attr]
    brent = peers.module("scipy.optimize").brentq  # type: ignore[union-attr]
    sign, root = np.where(c.call, 1.0, -1.0), np.sqrt(c.years)

    def greek() -> Floats:
        s = c.iv * root
        d1 = np.log(c.forward / c.strike) / s + 0.5 * s
        d2 = d1 - s
        density = np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi)
        delta, vega = sign * ndtr(sign * d1), c.forward * density * root
        _ = (
            delta * c.forward - sign * c.strike * ndtr(sign * d2),
            density / (c.forward * s),
            -vega * c.iv / (2 * c.years),
        )
        _ = -density * d2 / c.iv, vega * d1 * d2 / c.iv, density * d2 / (2 * c.years)
        return np.asarray(delta)

    def value(vol: float, forward: float, strike: float, years: float, side: float) -> float:
        s = vol * years**0.5
        d1 = np.log(forward / strike) / s + 0.5 * s
        return float(side * (forward * ndtr(side * d1) - strike * ndtr(side * (d1 - s))))

    def implied(f: float, k: float, years: float, call: bool, worth: float) -> float:  # noqa: FBT001  # a column
        side = 1.0 if call else -1.0
        return float(brent(lambda vol: value(vol, f, k, years, side) - worth, 1e-4, 20.0, xtol=1e-14))

    return greek, lambda: [implied(f, k, years, call, worth) for f, k, _, years, call, worth in _rows(c, values)]


def _by_quantlib(c: Contracts, values: Floats) -> Peer:
    ql = peers.module("QuantLib")
    assert ql is not None
    rows = _rows(c, values)

    def greek(f: float, k: float, vol: float, years: float, call: bool) -> float:  # noqa: FBT001  # a column
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, k)
        found = ql.BlackCalculator(payoff, f, vol * years**0.5, 1.0)
        _ = found.gammaForward(), found.vega(years), found.theta(f, years), found.rho(years)
        return float(found.deltaForward())

    def implied(f: float, k: float, call: bool, worth: float) -> float:  # noqa: FBT001  # a column
        kind = ql.Option.Call if call else ql.Option.Put
        return float(ql.blackFormulaImpliedStdDevLiRS(kind, k, f, worth, 1.0, 0.0, ql.nullDouble(), 1.0, 1e-12, 1000))

    root = np.sqrt(c.years)
    return (
        lambda: [greek(f, k, vol, years, call) for f, k, vol, years, call, _ in rows],
        lambda: np.asarray([implied(f, k, call, worth) for f, k, _, _, call, worth in rows]) / root,
    )


def _by_vollib(c: Contracts, values: Floats) -> Peer:
    analytical = peers.module("vollib.black.greeks.analytical")
    solver = peers.module("vollib.black.implied_volatility")
    assert analytical is not None
    assert solver is not None
    rows = [(f, k, vol, years, "c" if call else "p", worth) for f, k, vol, years, call, worth in _rows(c, values)]
    rest = (analytical.gamma, analytical.vega, analytical.theta, analytical.rho)

    def greek(f: float, k: float, vol: float, years: float, flag: str) -> float:
        for other in rest:
            other(flag, f, k, years, 0.0, vol)
        return float(analytical.delta(flag, f, k, years, 0.0, vol))

    return (
        lambda: [greek(f, k, vol, years, flag) for f, k, vol, years, flag, _ in rows],
        lambda: [solver.implied_volatility(worth, f, k, 0.0, years, flag) for f, k, _, years, flag, worth in rows],
    )


def _by_nautilus(c: Contracts, values: Floats) -> Peer:
    rust = peers.module("nautilus_trader.core.nautilus_pyo3")
    assert rust is not None
    rows = _rows(c, values)
    return (
        lambda: [rust.black_scholes_greeks(f, 0.0, 0.0, vol, call, k, t, 1.0).delta for f, k, vol, t, call, _ in rows],
        lambda: [rust.imply_vol(f, 0.0, 0.0, call, k, t, worth) for f, k, _, t, call, worth in rows],
    )
