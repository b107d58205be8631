"""The `pairing` kind, recorded: amounts by key as columns of pools, matched by the rule that stands with the kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.frames import Frame
from crossmargin.margin.kinds.pairing import PAIRED_KEY, match_pair, pair_charges
from crossmargin.margin.program.columns import Column
from crossmargin.margin.program.nodes import NotRecordableError, Op, Table, Terms
from crossmargin.margin.tables import contract_keys
from crossmargin.margin.vocabulary import MEASURES

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.model import Line, Pairing
    from crossmargin.margin.program.recording import Recording

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["record_pairing"]


def record_pairing(recording: Recording, line: Line, requirement: str, _key: tuple[str, str]) -> Column:
    """Return the line on all rows of its level."""
    spec: Pairing = line.spec
    level = "account" if spec.between == "bucket" else line.level
    frame = recording.frame(level, line.of, charged=line.section == "charges")
    amounts = _amounts(recording, line, requirement, frame)
    worth = _worths(recording, spec, requirement)
    total: Any = 0.0
    for pair in spec.pairs:
        matched = match_pair(recording.functions, spec, pair, amounts)
        parts = pair_charges(recording, line, requirement, frame, pair, matched, worth)
        for name, part in zip(pair.of if line.level != level else pair.of[:1] * len(parts), parts, strict=True):
            own = part if line.level == level else _of_bucket(recording, part, name)
            total = total + own
    return recording.masked(total, frame) if line.level == level else total


def _amounts(recording: Recording, line: Line, requirement: str, frame: Frame) -> dict[str, Any]:
    """Return the amount of each key by row of the frame; of a tier its long and its short side."""
    spec: Pairing = line.spec
    level = spec.between if spec.between in {"expiry", "bucket"} else "leg"
    amount = _netted(recording, spec, requirement, frame, level)
    codes, names = _codes(recording, spec, level)
    most = recording.functions["max"]
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for pair in spec.pairs for name in pair.of):
        mine = codes == (names.index(name) if name in names else -1)
        sides = (most(amount, 0.0), most(-amount, 0.0)) if spec.tiers else (amount,)
        parts = tuple(_summed(recording, side, mine, frame) for side in sides)
        found[name] = parts if spec.tiers else parts[0]
    return found


def _netted(recording: Recording, spec: Pairing, requirement: str, frame: Frame, level: str) -> Column:
    """Return the amounts on all rows of the level where they are netted."""
    if spec.exposure in MEASURES:
        measure = recording.measures[spec.exposure]
        if not isinstance(measure, Column):
            raise NotRecordableError("a measure that no leg has")  # there are no instruments
        return recording.on_level(measure[frame.legs].scattered(), "leg", level)
    other = recording.lines[spec.exposure]
    return recording.on_level(recording.line(other.name, requirement), other.level, level)


def _codes(recording: Recording, spec: Pairing, level: str) -> tuple[Ints, tuple[str, ...]]:
    """Return the key of each row of a level, and the names of keys."""
    resolved = recording.resolved
    legs = recording.spaces["leg"].every if level == "leg" else resolved.levels[level].first_leg
    if spec.tiers:
        days = np.nan_to_num(np.asarray(recording.measures["days"])[legs])  # without expiry: in the first tier
        return np.searchsorted(list(spec.tiers.values()), days), tuple(spec.tiers)
    by_contract, names = contract_keys(resolved, PAIRED_KEY.get(spec.between, spec.between))
    return by_contract[resolved.legs.contract[legs]], names


def _summed(recording: Recording, column: Column, mine: Flags, frame: Frame) -> Column:
    """Return some rows of a column summed onto the frame's rows."""
    level = column.space.level
    if isinstance(column.node, Terms):
        chosen = Column(column.space, Terms({n: np.where(mine, c, 0.0) for n, c in column.node.by.items()}))
    else:
        inside, zero = Table(level, mine.astype(np.float64)), Table(level, np.zeros(()))
        chosen = Column(column.space, Op("select", level, (inside, column.node, zero)))
    return recording.on_level(chosen, level, frame.level)[frame.rows]


def _worths(recording: Recording, spec: Pairing, requirement: str) -> dict[str, Any]:
    """Return what one unit of each bucket stands for, by pool; 0 where a pool does not hold it."""
    if spec.worth is None:
        return {}
    line = recording.lines[spec.worth]
    column = recording.on_level(recording.line(spec.worth, requirement), line.level, "bucket")
    every = recording.account_frame()
    names = dict.fromkeys(name for pair in spec.pairs for name in pair.of)
    return {name: _summed(recording, column, _bucket(recording, name), every) for name in names}


def _bucket(recording: Recording, name: str) -> Flags:
    codes, names = contract_keys(recording.resolved, "bucket")
    legs = recording.resolved.levels["bucket"].first_leg
    return np.asarray(codes[recording.resolved.legs.contract[legs]] == (names.index(name) if name in names else -1))


def _of_bucket(recording: Recording, part: Column, name: str) -> Column:
    """Return a pool's figure on the rows of one bucket, 0 on those of others."""
    lifted = recording.on_level(Column(part.space, part.node), "account", "bucket")
    inside = Table("bucket", _bucket(recording, name).astype(np.float64))
    return Column(lifted.space, Op("select", "bucket", (inside, lifted.node, Table("bucket", np.zeros(())))))
