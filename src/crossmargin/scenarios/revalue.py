"""What each contract is worth, and gains, under each scenario: arrays in, arrays out.

A linear leg gains multiplier (mark' - mark); an inverse perpetual or future gains multiplier (1/mark - 1/mark') coin;
an option is Black-76 on the shocked forward, vol, time and rate, divided by the forward where it is coin-settled.
Gains do not depend on entry prices, so one row [scenarios] serves every account that holds the contract.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from crossmargin import kernels
from crossmargin.pricing.black76 import price as black76
from crossmargin.pricing.greeks import greeks
from crossmargin.scenarios.contracts import ASSET, FUTURE, OPTION, SPOT, Contracts

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shifts:
    """Moves [scenarios]: relative spot (or [contracts, scenarios]), basis and peg, absolute rate, `time` in years.

    `vols` [options, names] shocked vols and `vol_of` [scenarios] which one holds.
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
    option = contracts.kind == OPTION
    options = option.nonzero()[0]
    cells = np.empty((2, len(contracts), shifts.vol_of.shape[0]))
    gain, shocked = cells[0], cells[1]
    today = np.zeros(len(contracts))
    if options.size:
        _options(contracts, options, shifts, cells, today, in_settlement=in_settlement, discount=discount)
    if options.size < len(contracts):
        others = np.flatnonzero(~option)
        spot = _rows(1.0 + shifts.spot, others)
        shocked[others] = 0.0
        gain[others] = _linear_gain(contracts.take(others), spot, shifts, in_settlement=in_settlement)
    return Valuation(gain, shocked, today)


def _options(
    c: Contracts, o: Ints, shifts: Shifts, cells: Floats, today: Floats, *, in_settlement: bool, discount: bool
) -> None:
    """Fill the options' rows of `cells` (gain, value) and `today`."""
    weight = c.multiplier if in_settlement else c.multiplier * c.settle_rate
    given = kernels.OptionScenarios(
        columns=(c.forward, c.strike, c.iv, c.years, c.rate, c.fixed_forward, weight),
        flags=(c.call, c.inverse, None, None) if in_settlement else (c.call, c.inverse, c.coin_settled, c.linked),
        contract=o,
        vols=shifts.vols,
        vol_of=shifts.vol_of,
        moves=(shifts.rate, shifts.basis, shifts.time, shifts.peg),
        spot=shifts.spot,
    )
    left = kernels.revalue_options(given, cells, today, discount=discount)
    if not left.size:
        return
    o, some = o[left], replace(shifts, vols=shifts.vols[left])
    rate = 1.0 if in_settlement else c.settle_rate[o]
    spot = _rows(1.0 + shifts.spot, o)
    coin_move = 1.0 if in_settlement else _coin_move(c.take(o), spot, shifts)
    today[o] = rate * model_value(c, o, discount=discount)
    cells[1, o] = np.asarray(rate)[..., None] * coin_move * _shocked_options(c, o, spot, some, discount=discount)
    cells[0, o] = cells[1, o] - today[o, None]


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
        spot = _rows(1.0 + shifts.spot, o)
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
    rate = np.maximum(c.rate[o, None] + shifts.rate, 0.0)
    factor = np.exp(-rate * left) if discount else np.ones(())
    value = black76(forward, c.strike[o, None], vol, left, c.call[o, None], factor)
    return np.asarray(c.multiplier[o, None] * value / np.where(c.inverse[o, None], forward, 1.0))


def _shocked_terms(c: Contracts, o: Ints, spot: Floats, shifts: Shifts) -> tuple[Floats, Floats, Floats]:
    """Return the forwards, vols and years that options are valued at, [options, scenarios]."""
    years = c.years[o, None]
    basis = 1.0 + shifts.basis * years
    fixed = c.fixed_forward[o, None]  # the part of the settlement average that is already known does not move
    forward = (c.forward[o, None] - fixed) * spot * basis + fixed
    return np.asarray(forward), shifts.vols[:, shifts.vol_of], np.asarray(np.maximum(years - shifts.time, 0.0))


def _linear_gain(c: Contracts, spot: Floats, shifts: Shifts, *, in_settlement: bool) -> Floats:
    """Return the gains of balances, spot, perpetuals and futures."""
    years = np.where(c.kind == FUTURE, c.years, 0.0)[:, None]
    move = spot * (1.0 + shifts.basis * years)
    mark = np.where(c.kind == ASSET, 1.0, c.mark)[:, None]  # a balance has no gain of this sort
    with np.errstate(divide="ignore"):
        coin = (1.0 - 1.0 / move) / mark
    # spot is paid for in its quote asset: its gain in quote units is converted at the settlement rate
    to_settle = np.where(c.kind == SPOT, c.quote_rate / c.settle_rate, 1.0)[:, None]
    linear = mark * (move - 1.0) * to_settle
    gain = np.where(c.kind[:, None] == ASSET, 0.0, c.multiplier[:, None] * np.where(c.inverse[:, None], coin, linear))
    if in_settlement:
        return np.asarray(gain)
    coin_move = _coin_move(c, spot, shifts)
    held = np.where(c.kind == ASSET, c.mark, 0.0)[:, None] * (coin_move - 1.0)
    return np.asarray(gain * coin_move * c.settle_rate[:, None] + held)


def _coin_move(c: Contracts, spot: Floats, shifts: Shifts) -> Floats:
    """Return by what factor each contract's settlement asset (a balance: itself) moves under each scenario."""
    move = np.where(c.coin_settled[:, None], spot, 1.0)
    return np.asarray(np.where(c.linked[:, None], move * (1.0 + shifts.peg), move))


def _rows(values: Floats, rows: Ints) -> Floats:
    """Return rows [rows, scenarios] of moves that are [contracts, scenarios], or [scenarios] for all."""
    return values[rows] if values.ndim > 1 else np.broadcast_to(values, (rows.shape[0], values.shape[0]))
