"""The implied-vol surface of one underlying: marks as given, total variance between them, arbitrage flagged.

Coordinates are the log-moneyness k = ln(K/F) of the expiry's own forward and the time T in years; total
variance w = vol^2 T is interpolated. Within an expiry by PCHIP (Fritsch and Carlson 1980, slopes of Fritsch
and Butland 1984): it passes through every mark, never leaves the range of two neighbours, so w stays
positive, and has a continuous slope, where straight lines would put a kink, and so a lump of probability,
at each mark. Beyond the outermost marks the vol is flat. Between expiries w is linear in T at constant k,
hence never falls where the marks do not; beyond the first and the last expiry the vol is flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp
from operator import itemgetter
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from crossmargin.errors import FailureReason, InputError
from crossmargin.pricing import black76

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_LEAST_FOR_CURVATURE: Final = 3


class ArbitrageKind(StrEnum):
    """What a set of marks allows. Closed."""

    CALENDAR = "calendar"
    """Total variance falls from one expiry to the next at the same log-moneyness."""
    MONOTONICITY = "monotonicity"
    """The call price rises with the strike, or falls faster than the strike rises."""
    BUTTERFLY = "butterfly"
    """The call price is not convex in the strike."""
    PARITY = "parity"
    """Two marks of one expiry and strike differ: a put and a call disagree. Their mean is used."""


@dataclass(frozen=True, slots=True)
class ArbitrageFinding:
    """One violation: where, and how large, always positive.

    The unit of `magnitude`: total variance (calendar), fraction of the forward (butterfly), price per unit of
    strike (monotonicity), vol (parity).
    """

    kind: ArbitrageKind
    years: float
    log_moneyness: float
    strike: float | None
    """None where the surface was built without forwards."""
    magnitude: float


@dataclass(frozen=True, slots=True, eq=False)
class Smile:
    """The marks of one expiry, ascending in k; `variances` are squared vols, `slopes` derivatives by k."""

    years: float
    forward: float | None
    log_moneyness: FloatArray
    variances: FloatArray
    slopes: FloatArray

    def variance(self, k: FloatArray) -> FloatArray:
        """Return the squared vol at log-moneyness k, of the shape of k; flat beyond the outermost marks."""
        nodes, values = self.log_moneyness, self.variances
        if nodes.size == 1:
            return np.where(np.isnan(k), np.nan, values[0])
        left = np.clip(np.searchsorted(nodes, k, side="right") - 1, 0, nodes.size - 2)
        width = nodes[left + 1] - nodes[left]
        u = np.clip((k - nodes[left]) / width, 0.0, 1.0)
        rise = values[left + 1] - values[left]
        first, second = width * self.slopes[left], width * self.slopes[left + 1]
        inside = values[left] + u * (
            first + u * (3.0 * rise - 2.0 * first - second + u * (first + second - 2.0 * rise))
        )
        return np.where(u == 1.0, values[left + 1], inside)


@dataclass(frozen=True, slots=True, eq=False)
class VolSurface:
    """Smiles by expiry, ascending in time. Make it with `build`."""

    smiles: tuple[Smile, ...]
    parity: tuple[ArbitrageFinding, ...] = ()

    @classmethod
    def build(
        cls,
        years: Sequence[float],
        log_moneyness: Sequence[npt.ArrayLike],
        vols: Sequence[npt.ArrayLike],
        *,
        forwards: Sequence[float] | None = None,
        underlying: str = "",
    ) -> Self:
        """Return the surface through the given marks.

        Parameters
        ----------
        years
            Times to expiry (ACT/365), positive, each once, in any order.
        log_moneyness, vols
            One array per expiry, of one length, in any order: k = ln(K/F) and the annualised vol (a positive
            fraction). A put and a call of one strike may both be given.
        forwards
            One per expiry, positive; only so that findings can name strikes.
        underlying
            Name for messages.

        Raises
        ------
        InputError
            MISSING_VOL where there is no mark, or a vol is not positive and finite; INVALID_PRICE where a
            time, k or forward is not usable, an expiry comes twice, or lengths differ.
        """
        place = f"volatility surface{underlying and ' of ' + underlying}"
        known: list[float | None] = [None] * len(years) if forwards is None else [float(f) for f in forwards]
        if len({len(years), len(log_moneyness), len(vols), len(known)}) != 1:
            message = "expected one array of log-moneyness, one of vols and one forward for each expiry"
            raise InputError(FailureReason.INVALID_PRICE, f"{place}: {message}")
        if len(set(years)) < len(years):
            message = f"expected each expiry once, found {sorted(years)}"
            raise InputError(FailureReason.INVALID_PRICE, f"{place}: {message}")
        if not years:
            raise InputError(FailureReason.MISSING_VOL, f"{place}: expected at least one expiry, found none")
        smiles: list[Smile] = []
        findings: list[ArbitrageFinding] = []
        for t, k, vol, forward in sorted(zip(years, log_moneyness, vols, known, strict=True), key=itemgetter(0)):
            marks = _marks(f"{place}, expiry in {t} years", t, k, vol, forward)
            smile, differing = _smile(float(t), forward, *marks)
            smiles.append(smile)
            findings += differing
        return cls(tuple(smiles), tuple(findings))

    @property
    def years(self) -> FloatArray:
        """Return the times to expiry, ascending, in years."""
        return np.array([smile.years for smile in self.smiles])

    def vol(self, log_moneyness: npt.ArrayLike, years: npt.ArrayLike) -> FloatArray:
        """Return the annualised vol, a positive fraction, at k = ln(K/F) and time T; exact at the marks.

        Broadcasts. NaN where k is NaN or T is NaN or negative.
        """
        k, t = np.broadcast_arrays(np.asarray(log_moneyness, dtype=np.float64), np.asarray(years, dtype=np.float64))
        expiries = self.years
        right = np.searchsorted(expiries, t, side="left")
        left = np.maximum(right - 1, 0)
        right = np.minimum(right, expiries.size - 1)
        left = np.where(t <= expiries[0], 0, left)
        near, far = self._variance(k, left), self._variance(k, right)
        start, end = expiries[left], expiries[right]
        share = np.where(end > start, (t - start) / np.where(end > start, end - start, 1.0), 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            between = ((1.0 - share) * near * start + share * far * end) / t
            variance = np.where((end > start) & (t < end), between, far)
            return np.where(t >= 0.0, np.sqrt(variance), np.nan)

    def _variance(self, k: FloatArray, which: npt.NDArray[np.intp]) -> FloatArray:
        """Return the squared vol at k of the smile that `which` numbers, element by element."""
        result = np.empty(k.shape)
        for number in np.unique(which):
            chosen = which == number
            result[chosen] = self.smiles[number].variance(k[chosen])
        return result

    def arbitrage_violations(self, tolerance: float = 1e-10) -> list[ArbitrageFinding]:
        """Return what the marks allow to be locked in, expiry by expiry; empty where nothing was found.

        Only marks are judged, never extrapolated values: a calendar pair is compared at the marks of either
        expiry that lie within both smiles. What is at most `tolerance` (in the finding's unit) is rounding.
        """
        findings = [finding for finding in self.parity if finding.magnitude > tolerance]
        for near, far in zip(self.smiles[:-1], self.smiles[1:], strict=True):
            findings += _calendar(near, far, tolerance)
        for smile in self.smiles:
            findings += _vertical(smile, tolerance)
        return findings


def _marks(
    place: str, years: float, log_moneyness: npt.ArrayLike, vols: npt.ArrayLike, forward: float | None
) -> tuple[FloatArray, FloatArray]:
    """Return log-moneyness and vols of one expiry as arrays of one length, or refuse nonsense."""
    k, vol = (np.array(column, dtype=np.float64, ndmin=1) for column in (log_moneyness, vols))
    if not vol.size:
        raise InputError(FailureReason.MISSING_VOL, f"{place}: expected at least one mark, found none")
    if k.ndim != 1 or k.shape != vol.shape:
        message = f"{place}: expected as many strikes as vols, found {k.shape} and {vol.shape}"
        raise InputError(FailureReason.INVALID_PRICE, message)
    for name, number in (("time to expiry", years), ("forward", 1.0 if forward is None else forward)):
        if not (np.isfinite(number) and number > 0.0):
            raise InputError(FailureReason.INVALID_PRICE, f"{place}: expected a positive {name}, found {number}")
    if not np.all(np.isfinite(k)):
        message = f"{place}: expected finite log-moneyness, found {k[~np.isfinite(k)][0]}"
        raise InputError(FailureReason.INVALID_PRICE, message)
    bad = ~(np.isfinite(vol) & (vol > 0.0))
    if np.any(bad):
        message = f"{place}: expected a positive vol, found {vol[bad][0]} at log-moneyness {k[bad][0]}"
        raise InputError(FailureReason.MISSING_VOL, message)
    return k, vol


def _smile(years: float, forward: float | None, k: FloatArray, vol: FloatArray) -> tuple[Smile, list[ArbitrageFinding]]:
    """Return the smile of one expiry, marks of one strike merged, and where they differed."""
    nodes, group, count = np.unique(k, return_inverse=True, return_counts=True)
    low, high = np.full(nodes.size, np.inf), np.zeros(nodes.size)
    np.minimum.at(low, group, vol)
    np.maximum.at(high, group, vol)
    merged = np.where(low == high, low, np.bincount(group, vol) / count)
    variances = merged * merged
    smile = Smile(years, forward, nodes, variances, _pchip_slopes(nodes, variances))
    for column in (nodes, variances, smile.slopes):
        column.flags.writeable = False
    differing = np.flatnonzero(high > low)
    return smile, [_finding(ArbitrageKind.PARITY, smile, nodes[i], high[i] - low[i]) for i in differing]


def _finding(kind: ArbitrageKind, smile: Smile, k: float, magnitude: float) -> ArbitrageFinding:
    strike = None if smile.forward is None else smile.forward * exp(k)
    return ArbitrageFinding(kind, smile.years, float(k), strike, float(magnitude))


def _pchip_slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the slopes of the shape-preserving cubic: 0 at a turn, else a weighted harmonic mean."""
    if x.size < _LEAST_FOR_CURVATURE:
        return np.full(x.size, (y[-1] - y[0]) / (x[-1] - x[0]) if x.size > 1 else 0.0)
    width = np.diff(x)
    secant = np.diff(y) / width
    before, after = 2.0 * width[1:] + width[:-1], width[1:] + 2.0 * width[:-1]
    same = secant[:-1] * secant[1:] > 0.0
    left, right = np.where(same, secant[:-1], 1.0), np.where(same, secant[1:], 1.0)
    inner = np.where(same, (before + after) / (before / left + after / right), 0.0)
    first = _end_slope(width[0], width[1], secant[0], secant[1])
    last = _end_slope(width[-1], width[-2], secant[-1], secant[-2])
    return np.concatenate(([first], inner, [last]))


def _end_slope(width: float, next_width: float, secant: float, next_secant: float) -> float:
    """Return the one-sided three-point slope, bent so that the end interval stays monotone."""
    slope = ((2.0 * width + next_width) * secant - width * next_secant) / (width + next_width)
    if slope * secant <= 0.0:
        return 0.0
    if secant * next_secant <= 0.0 and abs(slope) > 3.0 * abs(secant):
        return 3.0 * secant
    return slope


def _calendar(near: Smile, far: Smile, tolerance: float) -> list[ArbitrageFinding]:
    """Return where total variance falls from `near` to `far`, at the marks of either within both."""
    k = np.union1d(near.log_moneyness, far.log_moneyness)
    start = max(near.log_moneyness[0], far.log_moneyness[0])
    end = min(near.log_moneyness[-1], far.log_moneyness[-1])
    k = k[(k >= start) & (k <= end)]
    fall = near.years * near.variance(k) - far.years * far.variance(k)
    return [_finding(ArbitrageKind.CALENDAR, far, k[i], fall[i]) for i in np.flatnonzero(fall > tolerance)]


def _vertical(smile: Smile, tolerance: float) -> list[ArbitrageFinding]:
    """Return where call prices, per unit of forward, are not falling and convex in the strike."""
    x = np.exp(smile.log_moneyness)
    calls = black76.price(1.0, x, np.sqrt(smile.variances), smile.years, call=True)
    # The call struck at zero is worth the forward: it holds the first slope within -1.
    x, calls = np.concatenate(([0.0], x)), np.concatenate(([1.0], calls))
    slope = np.diff(calls) / np.diff(x)
    share = np.diff(x)[:-1] / (x[2:] - x[:-2])
    above_chord = calls[1:-1] - ((1.0 - share) * calls[:-2] + share * calls[2:])
    checks = (
        (ArbitrageKind.MONOTONICITY, np.maximum(slope, -1.0 - slope)),
        (ArbitrageKind.BUTTERFLY, above_chord),
    )
    return [
        _finding(kind, smile, smile.log_moneyness[i], magnitude[i])
        for kind, magnitude in checks
        for i in np.flatnonzero(magnitude > tolerance)
    ]
