"""The `pairing` kind: opposite amounts matched in listed order, a rate on every matched unit.

Amounts are a measure, or a line, netted by what `between` says. Expiries are netted each on its own and then fall into
tiers, whose long and short sides are matched, a tier's own among them. Buckets are matched across a pool; with `worth`
the rate is a share of what matched units stand for, and at bucket level each bucket has its own part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from crossmargin.margin.expression import Name
from crossmargin.margin.functions import TierColumn
from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.levels import on_level
from crossmargin.margin.model import Formula
from crossmargin.margin.tables import contract_keys
from crossmargin.margin.tape import plain, scatter, segment_sum, take
from crossmargin.margin.vocabulary import MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.model import Line, Pair, Pairing, Parameter, Rulebook

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

Functions: TypeAlias = Mapping[str, Callable[..., Any]]
PAIRED_KEY = {"asset": "settlement_asset"}  # a contract's asset is what it settles in, a balance's is itself


class Match(NamedTuple):
    """One pair by row: the figures before it was matched, and what it is charged: with `worth` by key."""

    figures: dict[str, Floats]
    parts: tuple[Floats, ...]


class Matches(NamedTuple):
    """What a pairing keeps: the rows on which it matched (a pool's, for buckets), and each pair."""

    frame: Frame
    pairs: tuple[Match, ...]


class _Netted(NamedTuple):
    """Amounts netted row by row: where each row stands in the frame (-1: nowhere), and the code of its key."""

    amount: Any
    place: Ints
    code: Ints
    names: tuple[str, ...]


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    spec: Pairing = line.spec
    level = "account" if spec.between == "bucket" else line.level
    frame = evaluation.frame(level, line.of, charged=line.section == "charges")
    amounts = _amounts(evaluation, line, requirement, frame)
    worth = _worths(evaluation, spec, requirement, frame)
    matches, charges = [], []
    for pair in spec.pairs:
        figures = _figures(spec, pair, amounts, worth)
        matched = match_pair(evaluation.functions, spec, pair, amounts)
        parts = pair_charges(evaluation, line, requirement, frame, pair, matched, worth)
        charges.append((pair, parts))
        matches.append(Match(figures, tuple(plain(part) for part in parts)))
    evaluation.details[key] = Matches(frame, tuple(matches))
    if line.level == level:
        total = sum((part for _, parts in charges for part in parts), np.zeros(frame.rows.shape[0]))
        return scatter(total, frame.rows, evaluation.row_count(level))
    return _by_bucket(evaluation, frame, charges)


def _figures(spec: Pairing, pair: Pair, amounts: dict[str, Any], worth: dict[str, Any]) -> dict[str, Floats]:
    """Return what is about to be matched, under the names that an explanation uses."""
    found = {}
    for word, name in zip(("first", "second"), pair.of, strict=True):
        if spec.tiers:
            found[f"{word}_long"], found[f"{word}_short"] = (plain(side) for side in amounts[name])
        else:
            found[word] = plain(amounts[name])
        if spec.worth is not None:
            found[f"{word}_worth"] = plain(worth[name])
    return found


def match_pair(f: Functions, spec: Pairing, pair: Pair, amounts: dict[str, Any]) -> Any:  # noqa: ANN401 - plain, traced, recorded
    """Return the matched units of a pair, in units of its first key, and leave the rest in `amounts`."""
    one, other = pair.of
    if not spec.tiers:
        first, second = amounts[one], amounts[other]
        opposite = f["less"](first * second, 0.0)
        matched = f["when"](opposite, f["min"](f["abs"](first), f["abs"](second) * (1.0 / pair.ratio)), 0.0)
        amounts[one] = first - matched * _sign(f, first)
        amounts[other] = second - matched * (_sign(f, second) * pair.ratio)
        return matched
    if one == other:
        long, short = amounts[one]
        matched = f["min"](long, short)
        amounts[one] = (long - matched, short - matched)
        return matched
    (long, short), (other_long, other_short) = amounts[one], amounts[other]
    up, down = (f["min"](a, b * (1.0 / pair.ratio)) for a, b in ((long, other_short), (short, other_long)))
    amounts[one] = (long - up, short - down)
    amounts[other] = (other_long - down * pair.ratio, other_short - up * pair.ratio)
    return up + down


def _sign(f: Functions, x: Any) -> Any:  # noqa: ANN401 - as above
    return f["when"](f["greater"](x, 0.0), 1.0, f["when"](f["less"](x, 0.0), -1.0, 0.0))


def pair_charges(
    evaluation: Evaluation,
    line: Line,
    requirement: str,
    frame: Frame,
    pair: Pair,
    matched: Any,  # noqa: ANN401 - plain, traced, recorded
    worth: Mapping[str, Any],
) -> tuple[Any, ...]:
    """Return what matched units are charged: one amount, or with `worth` one for each key."""
    rate = evaluation.parameter(pair.rate, frame, requirement, line.parameters)
    charge = evaluation.functions["marginal"](rate, matched) if isinstance(rate, TierColumn) else matched * rate
    if line.spec.worth is None:
        return (charge,)
    return charge * worth[pair.of[0]], charge * pair.ratio * worth[pair.of[1]]


def _amounts(evaluation: Evaluation, line: Line, requirement: str, frame: Frame) -> dict[str, Any]:
    """Return the amount of each key by row of the frame; of a tier its long and its short side."""
    spec: Pairing = line.spec
    netted = _netted(evaluation, spec, requirement, frame)
    rows, f = frame.rows.shape[0], evaluation.functions
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for pair in spec.pairs for name in pair.of):
        wanted = netted.names.index(name) if name in netted.names else -1
        mine = np.flatnonzero((netted.code == wanted) & (netted.place >= 0))
        amount, place = take(netted.amount, mine), netted.place[mine]
        if spec.tiers:
            found[name] = tuple(segment_sum(f["max"](side, 0.0), place, rows) for side in (amount, -amount))
        else:
            found[name] = segment_sum(amount, place, rows)
    return found


def _netted(evaluation: Evaluation, spec: Pairing, requirement: str, frame: Frame) -> _Netted:
    resolved = evaluation.resolved
    level = spec.between if spec.between in {"expiry", "bucket"} else "leg"
    legs = np.arange(evaluation.row_count("leg")) if level == "leg" else resolved.levels[level].first_leg
    if spec.exposure in MEASURES:
        chosen = scatter(take(evaluation.measures[spec.exposure], frame.legs), frame.legs, evaluation.row_count("leg"))
        amount = on_level(resolved, chosen, "leg", level)
    else:
        other = evaluation.lines[spec.exposure]
        amount = on_level(resolved, evaluation.line(other.name, requirement), other.level, level)
    place = _place(evaluation, frame)[resolved.levels[frame.level].row_of_leg[legs]]
    if spec.tiers:
        days = np.nan_to_num(np.asarray(evaluation.measures["days"])[legs])  # without expiry: in the first tier
        return _Netted(amount, place, np.searchsorted(list(spec.tiers.values()), days), tuple(spec.tiers))
    codes, names = contract_keys(resolved, PAIRED_KEY.get(spec.between, spec.between))
    return _Netted(amount, place, codes[resolved.legs.contract[legs]], names)


def _place(evaluation: Evaluation, frame: Frame) -> Ints:
    """Return the position in a frame of each row of its level; -1 where the frame leaves it out."""
    place = np.full(evaluation.row_count(frame.level), -1, dtype=np.int64)
    place[frame.rows] = np.arange(frame.rows.shape[0])
    return place


def _worths(evaluation: Evaluation, spec: Pairing, requirement: str, frame: Frame) -> dict[str, Any]:
    """Return what one unit of each bucket stands for, by row of the frame; 0 where a pool does not hold it."""
    if spec.worth is None:
        return {}
    column = on_level(
        evaluation.resolved, evaluation.line(spec.worth, requirement), evaluation.lines[spec.worth].level, "bucket"
    )
    found = {}
    for name in dict.fromkeys(name for pair in spec.pairs for name in pair.of):
        rows, place = _buckets(evaluation, frame, name)
        found[name] = scatter(take(column, rows), place, frame.rows.shape[0])
    return found


def _buckets(evaluation: Evaluation, frame: Frame, name: str) -> tuple[Ints, Ints]:
    """Return the rows of one bucket, and where the pool of each stands in a frame of pools."""
    levels, (codes, names) = evaluation.resolved.levels["bucket"], contract_keys(evaluation.resolved, "bucket")
    place = _place(evaluation, frame)[levels.unit]
    wanted = names.index(name) if name in names else -1
    mine = codes[evaluation.resolved.legs.contract[levels.first_leg]] == wanted
    rows = np.flatnonzero(mine & (place >= 0))
    return rows, place[rows]


def _by_bucket(evaluation: Evaluation, frame: Frame, charges: list[tuple[Pair, tuple[Any, ...]]]) -> Any:  # noqa: ANN401 - plain or traced
    """Return each bucket's own part of every pair it stands in."""
    count = evaluation.row_count("bucket")
    total: Any = np.zeros(count)
    for pair, parts in charges:
        for name, part in zip(pair.of, parts, strict=True):
            rows, place = _buckets(evaluation, frame, name)
            total = total + scatter(take(part, place), rows, count)
    return total


def _parameters(_rulebook: Rulebook, line: Line) -> Iterable[Parameter]:
    spec: Pairing = line.spec
    yield from (pair.rate for pair in spec.pairs)
    for name in (spec.exposure, spec.worth):
        if name is not None and name not in MEASURES:
            yield Formula(name, Name(name))  # a line: it may vary itself


PAIRING = Kind(_compute, _parameters)
