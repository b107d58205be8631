"""A rulebook's scenario set as arrays: moves, shocked vols and weights of every contract, and what it gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.expression import Means, Name
from crossmargin.margin.functions import TierColumn
from crossmargin.margin.model import Block, Constant, Keyed, Tiers, Variants
from crossmargin.margin.tables import contract_keys, entry_codes, keyed_value
from crossmargin.scenarios import (
    OPTION,
    Axes,
    Shifts,
    Valuation,
    axes_product,
    concatenate_axes,
    revalue,
    shifted_deltas,
)
from crossmargin.scenarios.axes import scenario_name
from crossmargin.units import DAYS_PER_YEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.model import Parameter, Rulebook
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_SAME = "same"


@dataclass(frozen=True)  # no slots: names are kept once they are asked for
class Cells:
    """A scenario set on contracts: `valuation` rows already weighted, where each block stands.

    `lacking` says, by contract, what should be supplied of it and is not: who holds it is to be refused.
    """

    axes: Axes
    spot: Floats
    weight: Floats
    valuation: Valuation
    today: Floats
    blocks: tuple[tuple[slice, Block], ...]
    lacking: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of scenarios."""
        return len(self.axes)

    def of(self, contracts: Ints) -> Cells:
        """Return the same scenarios on some of the contracts."""
        whole, kept = self.valuation, enumerate(contracts.tolist())
        part = Valuation(whole.gain[contracts], whole.shocked[contracts], whole.today[contracts])
        lacks = {place: self.lacking[contract] for place, contract in kept if contract in self.lacking}
        columns = self.spot[contracts], self.weight[contracts], part, self.today[contracts]
        return Cells(self.axes, *columns, self.blocks, lacks)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The scenarios' readable names."""
        return _scenario_names(self.axes, self.spot, self.blocks)


@dataclass(frozen=True, slots=True)
class _Laid:
    """A scenario set on contracts before anything is repriced: what moves, and what each row counts for."""

    axes: Axes
    spot: Floats
    weight: Floats
    slices: tuple[tuple[slice, Block], ...]
    lacking: dict[int, str]


def scenario_cells(
    resolved: Resolved, rulebook: Rulebook, names: Sequence[str], *, deltas: bool = False
) -> dict[str, Cells]:
    """Return the gains [contracts, scenarios] of scenario sets by name, in settlement or snapshot reporting asset.

    All are repriced in one pass: what is the contracts' own is laid out once. With `deltas`, deltas in units of the
    underlying stand in the place of gains.
    """
    reader = _ContractNames(resolved, rulebook)
    sets = [_laid_out(rulebook.scenarios[name], resolved, reader) for name in names]
    joined = concatenate_axes([one.axes for one in sets])
    spot = np.concatenate([one.spot for one in sets], axis=1)
    shifts = Shifts(spot, joined.rate, joined.basis, joined.time, joined.peg, *reader.vols(joined))
    if deltas:
        found = shifted_deltas(resolved.contracts, shifts, in_settlement=resolved.in_settlement)
        every = Valuation(found, np.zeros_like(found), np.zeros(found.shape[0]))
    else:
        every = revalue(resolved.contracts, shifts, in_settlement=resolved.in_settlement, discount=rulebook.discount)
    out, start = {}, 0
    for name, one in zip(names, sets, strict=True):
        mine = slice(start, start + len(one.axes))
        plain = Valuation(every.gain[:, mine], every.shocked[:, mine], every.today)
        plain, lacking = _with_rows(resolved, plain, one, name, deltas=deltas)
        weighted = _weighted(plain, one.weight)
        out[name] = Cells(one.axes, one.spot, one.weight, weighted, plain.today, one.slices, lacking)
        start = mine.stop
    return out


def _weighted(plain: Valuation, weight: Floats) -> Valuation:
    if (weight == 1.0).all():
        return plain
    return Valuation(plain.gain * weight, plain.shocked * weight, plain.today)


def _laid_out(blocks: tuple[Block, ...], resolved: Resolved, reader: _ContractNames) -> _Laid:
    """Return a set's moves and weights, block after block."""
    parts = [_supplied(block, resolved) or _product(block) for block in blocks]
    shape = len(resolved.contracts), sum(map(len, parts))
    spots, weights = np.empty(shape), np.empty(shape)
    slices, start = [], 0
    lacking: dict[int, str] = {}
    for block, part in zip(blocks, parts, strict=True):
        mine = slice(start, start + len(part))
        if block.supplied is not None and block.rows is None:
            spots[:, mine], lacks = _supplied_moves(block, resolved)
            lacking |= lacks
        else:
            spots[:, mine] = part.spot[None, :] * reader.scale(block, part)
        weights[:, mine] = reader.weight(block, part, spots[:, mine])
        slices.append((mine, block))
        start = mine.stop
    return _Laid(concatenate_axes(parts), spots, weights, tuple(slices), lacking)


def _product(block: Block) -> Axes:
    return axes_product(block.spot, block.vol, block.rate, block.basis, block.time, block.peg)


def _with_rows(
    resolved: Resolved, plain: Valuation, laid: _Laid, name: str, *, deltas: bool
) -> tuple[Valuation, dict[int, str]]:
    """Return the valuation with supplied rows in their places, and what contracts lack (their rows are 0)."""
    lacking = dict(laid.lacking)
    gain, shocked = plain.gain, plain.shocked
    for where, block in laid.slices:
        if block.rows is None:
            continue
        rows, lacks = _supplied_rows(block, resolved, name)
        lacking |= lacks
        money = 1.0 if deltas or resolved.in_settlement else resolved.contracts.settle_rate[:, None]
        gain, shocked = gain.copy(), shocked.copy()
        gain[:, where], shocked[:, where] = rows * money, 0.0
        gain[list(lacks), where] = 0.0
    return Valuation(gain, shocked, plain.today), lacking


def _supplied_rows(block: Block, resolved: Resolved, name: str) -> tuple[Floats, dict[int, str]]:
    """Return the rows [contracts, taken] of a calibration table by instrument, and why some contracts have none."""
    table = resolved.calibration.get(block.supplied or "")
    if not isinstance(table, Mapping):
        message = f"the rulebook reads rows by instrument {block.supplied!r}; add them to snapshot.calibration"
        raise InputError(FailureReason.MISSING_CALIBRATION, message)
    take = np.asarray(block.take or range(1, (block.rows or 0) + 1), dtype=np.int64) - 1
    out = np.zeros((len(resolved.contracts), take.shape[0]))
    lacks = {}
    for contract, code in enumerate(resolved.contracts.symbol.tolist()):
        symbol = resolved.names.symbols[code]
        row = table.get(symbol)
        found = None if row is None else _numbers(row)
        if found is not None and found.shape == (block.rows,):
            out[contract] = found[take]
        elif row is not None:
            lacks[contract] = f"calibration {block.supplied!r} of {symbol} is not a list of {block.rows} numbers"
        else:
            wanted = f"which scenario set {name!r} needs; add it to calibration"
            lacks[contract] = f"no row is supplied for {symbol}, {wanted}"
    return out, lacks


def _numbers(row: object) -> Floats | None:
    """Return what is supplied as numbers, None where it is anything else."""
    try:
        found = np.asarray(row, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if np.isfinite(found).all() else None


def _scenario_names(axes: Axes, spot: Floats, slices: tuple[tuple[slice, Block], ...]) -> tuple[str, ...]:
    """Return readable names; a move that differs between contracts (a table by bucket) is named by its share."""
    out = []
    supplied = {
        where.start + place: f"{block.supplied} {row}"
        for where, block in slices
        if block.rows is not None
        for place, row in enumerate(block.take or range(1, block.rows + 1))
    }
    for s in range(len(axes)):
        if s in supplied:
            out.append(supplied[s])
            continue
        moves = spot[:, s]
        same = moves.size == 0 or bool(np.all(moves == moves[0]))
        move = (float(moves[0]) if moves.size else float(axes.spot[s])) if same else None
        label = scenario_name(move, axes.vol[s], *(float(a[s]) for a in (axes.rate, axes.basis, axes.time, axes.peg)))
        out.append(label if same else label.replace("own move", f"{axes.spot[s]:+.4g} x own range"))
    return tuple(out)


def _supplied(block: Block, resolved: Resolved) -> Axes | None:
    if block.supplied is None:
        return None
    if block.rows is not None:
        count = len(block.take) or block.rows
        return Axes(np.zeros(count), (_SAME,) * count, *(np.zeros(count) for _ in range(4)))
    count = next(iter(_returns(block, resolved)[0].values())).shape[0]
    zeros = np.zeros(count)
    return Axes(np.arange(count, dtype=np.float64), (_SAME,) * count, zeros, zeros, zeros, zeros)


def _returns(block: Block, resolved: Resolved) -> tuple[dict[str, Floats], dict[str, str]]:
    """Return the moves of a calibration table by bucket, and what is wrong with those that are none."""
    table = resolved.calibration.get(block.supplied or "")
    if not isinstance(table, dict) or not table:
        message = f"the rulebook reads supplied moves {block.supplied!r}; add them to snapshot.calibration"
        raise InputError(FailureReason.MISSING_CALIBRATION, message)
    rows, flawed = {}, {}
    for bucket, moves in table.items():
        found = _numbers(moves)
        if found is not None and found.ndim == 1 and found.size and (found > -1.0).all():  # no price falls to 0
            rows[bucket] = found
        else:
            wanted = "a list of moves, each a number above -1"
            flawed[bucket] = f"calibration {block.supplied!r} of {bucket} is not {wanted}"
    if not rows:
        raise InputError(FailureReason.MISSING_CALIBRATION, next(iter(flawed.values())))
    if len({row.shape[0] for row in rows.values()}) != 1:
        message = f"the moves of calibration {block.supplied!r} differ in length between buckets"
        raise InputError(FailureReason.MISSING_CALIBRATION, message)
    return rows, flawed


def _supplied_moves(block: Block, resolved: Resolved) -> tuple[Floats, dict[int, str]]:
    """Return the moves [contracts, supplied], and why some contracts have none: theirs stand at 0."""
    rows, flawed = _returns(block, resolved)
    still = np.zeros(next(iter(rows.values())).shape[0])
    found, lacks = [], {}
    for contract, code in enumerate(resolved.contracts.bucket.tolist()):
        bucket = resolved.names.buckets[code]
        found.append(rows.get(bucket, still))
        if bucket in flawed or (bucket not in rows and bucket != resolved.reporting_asset):
            lacks[contract] = flawed.get(bucket, f"calibration {block.supplied!r} has no moves of {bucket}")
    return np.asarray(found).reshape(len(found), still.shape[0]), lacks


class _ContractNames:
    """What formulas of [shocks], `scale` and `weight` may read: contract columns, axes, shared numbers."""

    def __init__(self, resolved: Resolved, rulebook: Rulebook) -> None:
        self.resolved = resolved
        self.rulebook = rulebook
        c = resolved.contracts
        self.every = np.arange(len(c))
        self.options = np.flatnonzero(c.kind == OPTION)

    def scale(self, block: Block, axes: Axes) -> Any:  # noqa: ANN401 - a number or [contracts, 1]
        if block.scale is None:
            return 1.0
        return self.value(block.scale, self.every, self._axis_columns(axes, axes.spot[None, :]))

    def weight(self, block: Block, axes: Axes, spot: Floats) -> Any:  # noqa: ANN401 - a number or columns
        if block.weight is None:
            return 1.0
        if isinstance(block.weight, tuple):
            if len(block.weight) != len(axes):
                message = f"{len(block.weight)} weights of {len(axes)} supplied moves {block.supplied!r}: one for each"
                raise InputError(FailureReason.MISSING_CALIBRATION, message)
            return np.asarray(block.weight)[None, :]
        return self.value(block.weight, self.every, self._axis_columns(axes, spot))

    def vols(self, axes: Axes) -> tuple[Floats, Ints]:
        """Return shocked vols [options, names] and which of them each scenario uses."""
        used = list(dict.fromkeys(axes.vol))
        c = self.resolved.contracts
        iv = c.iv[self.options]
        columns = []
        for name in used:
            if name == _SAME:
                columns.append(iv)
            else:
                shocked = self.value(self.rulebook.shocks.vol[name], self.options, {})
                columns.append(np.broadcast_to(np.asarray(shocked).reshape(-1), iv.shape))
        position = {name: i for i, name in enumerate(used)}
        return np.stack(columns, axis=1), np.asarray([position[name] for name in axes.vol], dtype=np.int64)

    def _axis_columns(self, axes: Axes, spot: Floats) -> dict[str, Floats]:
        rest = {name: getattr(axes, name)[None, :] for name in ("rate", "basis", "time", "peg")}
        return {"spot": np.broadcast_to(spot, (spot.shape[0], len(axes))), **rest}

    def value(self, parameter: Parameter, rows: Ints, axes: Mapping[str, Floats]) -> Any:  # noqa: ANN401 - numbers, columns, tiers
        if isinstance(parameter, Constant):
            return parameter.value
        if isinstance(parameter, Tiers):
            return TierColumn((parameter,))
        if isinstance(parameter, Keyed):
            return self._keyed(parameter, rows, axes)
        if isinstance(parameter, Variants):
            message = "scenarios are shared by all requirements: a number here cannot vary by requirement"
            raise InputError(FailureReason.INVALID_RULEBOOK, message)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return parameter.value(Means(lambda name: self.name(name, rows, axes)))

    def name(self, name: Name, rows: Ints, axes: Mapping[str, Floats]) -> Any:  # noqa: ANN401 - as above
        shared = self.rulebook.shocks.parameters
        for table in (shared, self.rulebook.parameters):
            if name.name in table and not (name.name in axes and table is not shared):
                return self.value(table[name.name], rows, axes)
        if name.name in axes:
            return axes[name.name]
        return self._column(name.name, rows)[:, None]

    def _column(self, name: str, rows: Ints) -> Floats:
        c = self.resolved.contracts
        if name == "days":
            return np.asarray(c.years[rows] * DAYS_PER_YEAR)
        return np.asarray(getattr(c, name)[rows])

    def _keyed(self, table: Keyed, rows: Ints, axes: Mapping[str, Floats]) -> Any:  # noqa: ANN401 - as above
        keys, names = contract_keys(self.resolved, table.by)
        codes = entry_codes(table, keys[rows], names)
        found = keyed_value(table, codes, lambda entry: self.value(entry, rows, axes))
        # a row without an entry stays NaN here: it is refused when a selected leg asks, not before
        return found if isinstance(found, TierColumn) else found[:, None]
