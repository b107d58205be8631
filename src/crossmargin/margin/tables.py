"""Keyed tables: which entry each row reads, and a refusal where no entry is meant for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from crossmargin.errors import FailureReason
from crossmargin.margin.functions import TierColumn
from crossmargin.margin.model import Constant, Keyed, Tiers
from crossmargin.margin.program.columns import RECORDED_FUNCTIONS, Column
from crossmargin.margin.tape import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.resolved import Resolved

    Ints = npt.NDArray[np.int64]

KIND_NAMES = ("spot", "perpetual", "future", "option", "asset")


def contract_keys(resolved: Resolved, by: str) -> tuple[Ints, tuple[str, ...]]:
    """Return each contract's code under a key, and the table of names it points into."""
    c, names = resolved.contracts, resolved.names
    if by == "bucket":
        return c.bucket, names.buckets
    if by == "instrument":
        return c.symbol, names.symbols
    if by == "kind":
        return c.kind, KIND_NAMES
    column = {"asset": c.own_asset, "settlement_asset": c.settle_asset, "quote_asset": c.quote_asset}[by]
    return column, names.assets


def entry_codes(table: Keyed, codes: Ints, names: tuple[str, ...]) -> Ints:
    """Return the entry of each code: position among the entries, len(entries) for the default, -1 for none."""
    position = {key: i for i, key in enumerate(table.entries)}
    other = len(position) if table.default is not None else -1
    of_name = np.asarray([position.get(name, other) for name in names], dtype=np.int64)
    return np.asarray(of_name[codes] if len(names) else codes)


def keyed_codes(evaluation: Evaluation, table: Keyed, frame: Frame) -> Ints:
    """Return which entry each row of a frame reads; rows whose key has none are refused."""
    resolved = evaluation.resolved
    if table.by == "class":
        keys = resolved.units.account_class[evaluation.unit_of_row(frame.level)[frame.rows]]
        codes, names = entry_codes(table, keys, resolved.names.classes), resolved.names.classes
    else:
        by_contract, names = contract_keys(resolved, table.by)
        contract = resolved.legs.contract[frame.legs]
        if frame.level != "leg":  # where each leg is a row of its own
            first = np.full(frame.rows.shape[0], -1, dtype=np.int64)  # an account may hold nothing
            first[frame.row_of[::-1]] = contract[::-1]
            _one_key_each(evaluation, table, frame, by_contract[contract], by_contract[first[frame.row_of]])
            contract = first
        codes = _entries(evaluation, table)[contract]
        keys = by_contract[contract] if (codes < 0).any() else codes
    for row in (codes < 0).nonzero()[0]:
        name, key = evaluation.rulebook.name, names[int(keys[row])] or "none"
        message = f"rulebook {name} has no figure for {table.by} {key} and no default"
        evaluation.refuse(frame, row.reshape(1), FailureReason.UNKNOWN_PARAMETER, message)
    return codes


def _entries(evaluation: Evaluation, table: Keyed) -> Ints:
    """Return the entry of each contract, as :func:`entry_codes` has it; the last is that of a row without any.

    That is the default, or the first where there is none: it stands beside nothing. Found once for all legs.
    """
    key = ("entries", id(table))
    if key not in evaluation.shared:
        found = entry_codes(table, *contract_keys(evaluation.resolved, table.by))
        evaluation.shared[key] = np.append(found, len(table.entries) if table.default is not None else 0)
    entries: Ints = evaluation.shared[key]
    return entries


def _one_key_each(evaluation: Evaluation, table: Keyed, frame: Frame, of_leg: Ints, first: Ints) -> None:
    if frame.level == table.by:
        return
    differs = of_leg != first
    if differs.any():
        units = evaluation.resolved.legs.unit[frame.legs[differs]]
        message = f"a table by {table.by} is read at {frame.level} level, where a row holds several"
        evaluation.fail(units, FailureReason.INCONSISTENT_ROW, message)


def keyed_value(table: Keyed, codes: Ints, value: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - a column or a tier table
    """Return each row's entry: a column of numbers, or a tier table for each row. Rows without one hold NaN."""
    if table.form is Tiers:
        return TierColumn(cast("tuple[Tiers, ...]", table.listed), np.maximum(codes, 0))
    if table.form is Constant:
        return np.asarray([*map(value, table.listed), np.nan])[codes]
    out: Any = np.full(codes.shape[0], np.nan)
    for position, entry in enumerate(table.listed):
        rows = codes == position
        if not rows.any():
            continue
        said = value(entry)
        if isinstance(said, Column) or isinstance(out, Column):
            out = RECORDED_FUNCTIONS["when"](rows, said, out)
        else:
            found = np.broadcast_to(plain(said), codes.shape)
            out = out.astype(found.dtype, copy=False)
            out[rows] = found[rows]
    return out
