"""What each contract is worth, and gains, under each scenario: arrays in, arrays out.

A linear leg gains multiplier (mark' - mark); an inverse perpetual or future gains multiplier (1/mark - 1/mark') coin;
an option is Black-76 on the shocked forward, vol, time and rate, divided by the forward where it is coin-settled.
Gains do not depend on entry prices, so one row [scenarios] serves every account that holds the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.pricing.black76 import price as black76
from crossmargin.pricing.greeks import greeks
from crossmargin.scenarios.contracts import ASSET, FUTURE, OPTION, SPOT, Contracts

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shifts:
    """Moves [contracts, scenarios] (or [scenarios], which broadcasts): relative spot, basis and peg, absolute rate.

    `time` in years [scenarios]; `vols` [options, names] shocked vols and `vol_of` [scenarios] which one holds.
    """

    spot: Floats
    rate: Floats
    basis: Floats
    time: Floats
    peg: Floats
    vols: Floats
    vol_of: Ints


@dataclass(frozen=True, slots=True)
class Valuation:
    """Per contract and scenario, in the settlement asset or in the snapshot's reporting asset (see `revalue`).

    `gain` [contracts, scenarios]; `shocked` and `today` are option values (0 elsewhere), for close-out rules.
    """

    gain: Floats
    shocked: Floats
    today: Floats


def revalue(contracts: Contracts, shifts: Shifts, *, in_settlement: bool, discount: bool) -> Valuation:
    """Return gains of one contract under each scenario.

    Parameters
    ----------
    in_settlement
        True: in units of the settlement asset. False: in the snapshot's reporting asset, the settlement coin's own
        price moving with the shock.
    discount
        Whether option values are discounted by exp(-max(rate, 0) years).
    """
    spot = np.broadcast_to(1.0 + shifts.spot, (len(contracts), shifts.vol_of.shape[0]))
    coin_move = _coin_move(contracts, spot, shifts)
    today = np.zeros(len(contracts))
    shocked = np.zeros(spot.shape)
    options = np.flatnonzero(contracts.kind == OPTION)
    if options.size:
        today[options] = model_value(contracts, options, discount=discount)
        shocked[options] = _shocked_options(contracts, options, spot[options], shifts, discount=discount)
    gain = _linear_gain(contracts, spot, shifts)
    if in_settlement:
        return Valuation(gain + shocked - today[:, None], shocked, today)
    rate = contracts.settle_rate[:, None]
    shocked = shocked * coin_move * rate
    today = today * contracts.settle_rate
    held = np.where(contracts.kind == ASSET, contracts.mark, 0.0)[:, None] * (coin_move - 1.0)
    return Valuation(gain * coin_move * rate + shocked - today[:, None] + held, shocked, today)


def shifted_deltas(contracts: Contracts, shifts: Shifts, *, in_settlement: bool) -> Floats:
    """Return the delta of one contract under each scenario, units of the underlying [contracts, scenarios].

    By the shocked forward and undiscounted, as the measure `delta` is today; where the settlement asset is the money,
    an inverse option's is premium-adjusted. What is no option keeps its delta wherever the price goes.
    """
    c = contracts
    units = c.units_per_contract * np.where(c.kind == ASSET, c.mark / c.root_rate, 1.0)
    out = np.repeat(np.asarray(units)[:, None], shifts.vol_of.shape[0], axis=1)
    o = np.flatnonzero(c.kind == OPTION)
    if o.size:
        spot = np.broadcast_to(1.0 + shifts.spot, out.shape)[o]
        forward, vol, left = _shocked_terms(c, o, spot, shifts)
        found = greeks(forward, c.strike[o, None], vol, left, c.call[o, None])
        premium = np.where(c.inverse[o, None] & in_settlement, found.value / forward, 0.0)
        out[o] = c.multiplier[o, None] * (found.delta - premium)
    return out


def model_value(contracts: Contracts, options: Ints, *, discount: bool) -> Floats:
    """Return the model value of one contract of each option today, settlement asset, [options]."""
    c, o = contracts, options
    factor = np.exp(-np.maximum(c.rate[o], 0.0) * c.years[o]) if discount else 1.0
    value = black76(c.forward[o], c.strike[o], c.iv[o], c.years[o], c.call[o], factor)
    return np.asarray(c.multiplier[o] * value / np.where(c.inverse[o], c.forward[o], 1.0))


def _shocked_options(c: Contracts, o: Ints, spot: Floats, shifts: Shifts, *, discount: bool) -> Floats:
    forward, vol, left = _shocked_terms(c, o, spot, shifts)
    rate = np.maximum(c.rate[o, None] + _rows(shifts.rate, o), 0.0)
    factor = np.exp(-rate * left) if discount else np.ones(())
    value = black76(forward, c.strike[o, None], vol, left, c.call[o, None], factor)
    return np.asarray(c.multiplier[o, None] * value / np.where(c.inverse[o, None], forward, 1.0))


def _shocked_terms(c: Contracts, o: Ints, spot: Floats, shifts: Shifts) -> tuple[Floats, Floats, Floats]:
    """Return the forwards, vols and years that options are valued at, [options, scenarios]."""
    years = c.years[o, None]
    basis = 1.0 + _rows(shifts.basis, o) * years
    fixed = c.fixed_forward[o, None]  # the part of the settlement average that is already known does not move
    forward = (c.forward[o, None] - fixed) * spot * basis + fixed
    return np.asarray(forward), shifts.vols[:, shifts.vol_of], np.asarray(np.maximum(years - shifts.time, 0.0))


def _linear_gain(c: Contracts, spot: Floats, shifts: Shifts) -> Floats:
    """Return the settlement-asset gain of spot, perpetuals and futures; 0 for options and balances."""
    gain = np.zeros(spot.shape)
    rows = np.flatnonzero((c.kind != OPTION) & (c.kind != ASSET))
    years = np.where(c.kind[rows] == FUTURE, c.years[rows], 0.0)[:, None]
    move = spot[rows] * (1.0 + _rows(shifts.basis, rows) * years)
    inverse = c.inverse[rows, None]
    with np.errstate(divide="ignore"):
        coin = (1.0 - 1.0 / move) / c.mark[rows, None]
    # spot is paid for in its quote asset: its gain in quote units is converted at the settlement rate
    to_settle = np.where(c.kind[rows] == SPOT, c.quote_rate[rows] / c.settle_rate[rows], 1.0)[:, None]
    linear = c.mark[rows, None] * (move - 1.0) * to_settle
    gain[rows] = c.multiplier[rows, None] * np.where(inverse, coin, linear)
    return gain


def _coin_move(c: Contracts, spot: Floats, shifts: Shifts) -> Floats:
    """Return by what factor each contract's settlement asset (a balance: itself) moves under each scenario."""
    move = np.where(c.coin_settled[:, None], spot, 1.0)
    return np.asarray(np.where(c.linked[:, None], move * (1.0 + shifts.peg), move))


def _rows(values: Floats, rows: Ints) -> Floats:
    """Return the rows of a [contracts, scenarios] array; [scenarios] arrays broadcast as they are."""
    return values[rows] if values.ndim > 1 else values
