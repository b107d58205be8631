"""The forward curve of one underlying: its index now, and what it trades at for later delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from crossmargin.errors import FailureReason, InputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ForwardCurve:
    """Forwards by time: the index at 0, then one node per delivery, times ascending. Make it with `build`.

    Between nodes ln(F/index) is linear in time; beyond the last node its annualised basis ln(F/index)/years
    is held. A curve without nodes is flat at the index.
    """

    years: FloatArray
    forwards: FloatArray
    underlying: str = ""

    @classmethod
    def build(
        cls,
        years: npt.ArrayLike = (),
        forwards: npt.ArrayLike = (),
        *,
        index: float,
        underlying: str = "",
    ) -> Self:
        """Return the curve through the index and the given forwards.

        Parameters
        ----------
        years, forwards
            One-dimensional, of one length, in any order: times to delivery (ACT/365, positive) and prices
            (positive). The same delivery may come twice if its price is the same.
        index
            Composite spot price in quote currency, positive.
        underlying
            Name for messages.

        Raises
        ------
        InputError
            INVALID_PRICE where a price or time is not positive and finite, or one delivery has two prices.
        """
        t = np.array(years, dtype=np.float64, ndmin=1)
        f = np.array(forwards, dtype=np.float64, ndmin=1)
        if t.ndim != 1 or t.shape != f.shape:
            raise _refusal(underlying, f"expected as many times as forwards, found {t.shape} and {f.shape}")
        for name, column in (
            ("index price", np.array([index], dtype=np.float64)),
            ("forward price", f),
            ("time to delivery in years", t),
        ):
            bad = ~(np.isfinite(column) & (column > 0.0))
            if np.any(bad):
                raise _refusal(underlying, f"expected a positive {name}, found {column[bad][0]}")
        nodes = dict(zip(t.tolist(), f.tolist(), strict=True))
        for time, forward in zip(t.tolist(), f.tolist(), strict=True):
            if nodes[time] != forward:
                message = f"delivery in {time} years has two forwards, {forward} and {nodes[time]}: give one"
                raise _refusal(underlying, message)
        times = sorted(nodes)
        forwards_in_order = [float(index), *(nodes[time] for time in times)]
        return cls(_frozen([0.0, *times]), _frozen(forwards_in_order), underlying)

    @property
    def index(self) -> float:
        """Return the composite spot price, in quote currency, positive."""
        return float(self.forwards[0])

    def forward(self, years: npt.ArrayLike) -> FloatArray:
        """Return the forward for delivery in `years`, in quote currency, positive; exact at nodes.

        Any shape, kept. NaN where a time is negative or NaN: what has been delivered has no forward.
        """
        t = np.asarray(years, dtype=np.float64)
        last = self.years.size - 1
        at = np.clip(np.searchsorted(self.years, t, side="right") - 1, 0, last)
        log_basis = np.log(self.forwards / self.index)
        slopes = np.zeros(self.years.size)
        slopes[:-1] = np.diff(log_basis) / np.diff(self.years)
        slopes[-1] = log_basis[-1] / self.years[-1] if last else 0.0
        # From the node to the left, so that the time of a node gives its forward to the last bit.
        return np.where(t >= 0.0, self.forwards[at] * np.exp(slopes[at] * (t - self.years[at])), np.nan)


def _frozen(values: list[float]) -> FloatArray:
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def _refusal(underlying: str, message: str) -> InputError:
    return InputError(FailureReason.INVALID_PRICE, f"forward curve{underlying and ' of ' + underlying}: {message}")
