"""What a running case remembers, as text in the state, and as the memory that a procedure's formulas read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

from crossmargin.errors import InputError
from crossmargin.liquidation import Case, Done, Leg, Pool
from crossmargin.liquidation.moves import buckets
from crossmargin.liquidation.pools import Figures
from crossmargin.margin.expression import Name, names
from crossmargin.margin.model import Formula, Keyed, Variants
from crossmargin.margin.procedure_checks import START

if TYPE_CHECKING:
    from crossmargin.clearing.procedure.view import Setting
    from crossmargin.clearing.state import Case as Kept
    from crossmargin.liquidation.scope import Scope
    from crossmargin.margin.model import Parameter
    from crossmargin.margin.procedure import Procedure

__all__ = ["Order", "Remembered", "begin", "now_of", "read_at_start", "recall", "told", "written"]

_DONE: Final = "done "
_POOL: Final = ""


class Order(NamedTuple):
    """An order of a case: its step, signed contracts wanted, those that answers have filled, and its limit as told."""

    step: str
    instrument: str
    wanted: int
    filled: int = 0
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A case between two commands: its memory for formulas, and what it waits for.

    Parameters
    ----------
    next_at
        Seconds since it began before which no further round starts.
    moves
        Moves made in the round that runs.
    band
        The stage whose deadline led here: the case then goes on until that band is left.
    offer
        The step that is offered to bidders, if any.
    orders
        Market orders that are out.
    sent
        Seconds since the case began at which they were sent.
    bids
        Sealed bids that wait: bidder, share, limit.
    """

    case: Case
    next_at: float = 0.0
    moves: int = 0
    band: str = ""
    offer: str = ""
    orders: tuple[Order, ...] = ()
    sent: float = 0.0
    bids: tuple[tuple[str, str, str], ...] = ()


def begin(start: Pool, scope: Scope, band: str) -> dict[str, str]:
    """Return the memory of a case that begins: the figures that the document reads as `NAME_start`."""
    wanted = sorted(read_at_start(scope.procedure), key=lambda name: (name.name, name.variant or ""))
    kept = {_POOL: _figures(scope, wanted, start.figures)}
    kept |= {leg.name: _figures(replace(scope, leg=leg), wanted, leg.figures) for leg in start.legs}
    hedges = any(step.do == "hedge" for step in scope.procedure.liquidation.steps)
    for bucket in buckets(start) if hedges else ():  # a hedge is asked for once for each underlying, by its name
        kept[bucket.name] = kept.get(bucket.name, {}) | _figures(replace(scope, leg=bucket), wanted, bucket.figures)
    known = {name: figures for name, figures in kept.items() if figures}
    memory = {"start": json.dumps(known, sort_keys=True), "band": band}
    return {key: text for key, text in memory.items() if text not in ("", "{}")}


def _figures(scope: Scope, wanted: list[Name], own: Mapping[str, object]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in wanted:
        key = name.name if name.variant is None else f"{name.name}.{name.variant}"
        if scope.leg is not None and key not in own:
            continue
        try:
            number = float(scope.named(key) if name.variant is None else _number(scope, name))
        except InputError:  # of a leg without it; whoever reads it is told so
            continue
        if isfinite(number):
            found[key] = number
    return found


def _number(scope: Scope, name: Name) -> float:
    found = scope.lookup(name)
    return float(found) if isinstance(found, float | Fraction) else 0.0


def read_at_start(procedure: Procedure) -> set[Name]:
    """Return every figure that a document reads as it was when the case began."""
    rule = procedure.liquidation
    trees = [formula for step in rule.steps for formula in _formulas(step)]
    trees += [*rule.lines.values(), *(f for p in rule.parameters.values() for f in _parts(p))]
    trees += [formula for formula in (rule.until, rule.loss, procedure.fund.inflow) if formula is not None]
    read = {name for tree in trees for name in names(tree.tree) if name.name.endswith(START)}
    out: set[Name] = set()
    for name in read:
        out |= _below(procedure, Name(name.name.removesuffix(START), name.variant))
    return out


def _below(procedure: Procedure, name: Name) -> set[Name]:
    """Return what a name stands on: itself where it is a figure, else the figures that its formula reads."""
    rule = procedure.liquidation
    if name.name in rule.lines:
        return {one for read in names(rule.lines[name.name].tree) for one in _below(procedure, read)}
    table = rule.parameters.get(name.name) or procedure.parameters.get(name.name)
    if table is not None:
        return {one for part in _parts(table) for read in names(part.tree) for one in _below(procedure, read)}
    return {name}


def _formulas(step: object) -> Iterator[Formula]:
    for key in ("rank", "when", "amount", "price"):
        found = getattr(step, key)
        if found is not None:
            yield found
    yield from getattr(step, "fees").values()  # noqa: B009 - a step, read by key as above


def _parts(parameter: Parameter) -> Iterator[Formula]:
    if isinstance(parameter, Formula):
        yield parameter
    elif isinstance(parameter, Variants):
        for part in parameter.by_requirement.values():
            yield from _parts(part)
    elif isinstance(parameter, Keyed):
        for part in parameter.entries.values():
            yield from _parts(part)


def now_of(setting: Setting, kept: Kept) -> float:
    """Return the seconds since a case began."""
    assert setting.state.as_of is not None
    return (setting.state.as_of - kept.started).total_seconds()


def recall(memory: Mapping[str, str], elapsed: float) -> Remembered:
    """Return what a case remembers; `elapsed` is in seconds since it began."""
    start = json.loads(memory.get("start", "{}"))
    legs = tuple(Leg(name, Figures(figures)) for name, figures in start.items() if name != _POOL)
    done = sorted((int(key.removeprefix(_DONE)), text) for key, text in memory.items() if key.startswith(_DONE))
    case = Case(
        start=Pool(Figures(start.get(_POOL, {})), legs),
        time=elapsed,
        opened=float(memory.get("opened", "0")),
        round=int(memory.get("round", "0")),
        done=tuple(_done(text) for _, text in done),
        position=int(memory.get("position", "0")),
        passed=frozenset(json.loads(memory.get("passed", "[]"))),
        offered=frozenset(json.loads(memory.get("offered", "[]"))),
    )
    orders = json.loads(memory.get("orders", "[]"))
    bids = tuple(tuple(json.loads(text)) for key, text in sorted(memory.items()) if key.startswith("bid ") and text)
    return Remembered(
        case=case,
        next_at=float(memory.get("next", "0")),
        moves=int(memory.get("moves", "0")),
        band=memory.get("band", ""),
        offer=memory.get("offer", ""),
        orders=tuple(Order(*order) for order in orders),
        sent=float(memory.get("sent", "0")),
        bids=bids,
    )


def written(orders: Iterable[Order]) -> str:
    """Return orders as a memory keeps them: of those at the market no limit."""
    return json.dumps([order[:4] if order.limit is None else order for order in orders])


def told(case: Case, moves: int, *made: Done) -> dict[str, str]:
    """Return what to add to the memory after moves: where the round stands, and the moves themselves."""
    where = {
        "round": str(case.round),
        "position": str(case.position),
        "passed": json.dumps(sorted(case.passed)),
        "moves": str(moves),
    }
    for number, move in enumerate(made, start=len(case.done)):
        texts = [repr(move.time), move.step, move.leg, move.do, str(move.amount), str(move.paid_in)]
        where[f"{_DONE}{number}"] = json.dumps(texts)
    return where


def _done(text: str) -> Done:
    time, step, leg, do, amount, paid_in = json.loads(text)
    return Done(float(time), step, leg, do, Fraction(amount), Fraction(paid_in))
