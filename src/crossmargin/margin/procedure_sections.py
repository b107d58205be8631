"""The sections that say what happens to an account that falls short, from the bands to the price guards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from crossmargin.margin.model import Formula
from crossmargin.margin.parameters import optional, parameters
from crossmargin.margin.procedure import (
    BAND_STAGES,
    KINDS_OF_STEP,
    MARKET,
    PAYERS,
    REMAINDERS,
    ROUNDINGS,
    RULES,
    Band,
    Fund,
    Halt,
    Liquidation,
    Payment,
    Procedure,
    Step,
)
from crossmargin.margin.procedure_prices import read_prices
from crossmargin.margin.reading import PROVENANCE, Reader, suggestion
from crossmargin.margin.sections import tags
from crossmargin.margin.vocabulary import WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin.locate import Path

__all__ = ["read_procedure"]

_TRIGGER: Final = "adjusted_equity < maintenance"
_LIQUIDATION: Final = (
    *("trigger", "target", "until", "cadence", "lockout", "pin", "realised", "loss", "loss_lock"),
    *("parameters", "lines", "inputs", "steps"),
)
_STEP: Final = (
    *("name", "do", "of", "holder", "rank", "when", "amount", "price", "to", "fees", "fees_in"),
    *("over", "pairs", "clearing", "window", "window_of"),
)
_PAYMENT: Final = ("pay", "rule", "when", "rank", "weight", "cap", "price", "keep", "rounding", "remainder")
_FUND: Final = ("target", "inflow", "skin", "assessment", "assets")
_HALTED: Final = ("risk", "liquidation")
_PAIRED: Final = ("close",)  # kinds that may take two opposite legs at once


def read_procedure(reader: Reader, name: str) -> Procedure:
    """The procedure of a document; where it says nothing, below maintenance, without steps.

    Raises
    ------
    RulebookError
        With file, line and what to do.
    """
    return Procedure(
        name=name,
        bands=tuple(_band(reader, at) for at in reader.tables(("bands",))),
        liquidation=_liquidation(reader),
        waterfall=tuple(_payment(reader, at) for at in reader.tables(("waterfall",))),
        fund=_fund(reader),
        halts=tuple(_halt(reader, at) for at in reader.tables(("halt",))),
        prices=read_prices(reader),
        parameters=parameters(reader, ("parameters",)),
        tags=tags(reader),
    )


def _band(reader: Reader, at: Path) -> Band:
    """One band: a bound of the coverage ratio, or a condition."""
    reader.closed(at, ("below", "then", "when", "until", "deadline", "cure"))
    table = reader.table(at)
    if ("below" in table) == ("when" in table):
        raise reader.error('a band says `below = 1.2` or `when = "coverage_ratio < 1.2"`, one of the two', at)
    if "when" in table:
        then = reader.choice((*at, "then"), BAND_STAGES)
        return Band(then, reader.formula((*at, "when"), comparison=True), None, *_band_ends(reader, at))
    below = reader.number((*at, "below"))
    stated = Reader({"when": f"coverage_ratio < {below!r}"}, None).formula(("when",), comparison=True)
    return Band(reader.text((*at, "then")), stated, below, *_band_ends(reader, at))


def _band_ends(reader: Reader, at: Path) -> tuple[Formula | None, Any, str | None]:
    """How a band ends: by its condition, after its deadline, or cured."""
    cure = reader.choice((*at, "cure"), _requirements(reader)) if "cure" in reader.table(at) else None
    return _condition(reader, (*at, "until")), optional(reader, (*at, "deadline")), cure


def _requirements(reader: Reader) -> list[str]:
    return [key for key in reader.table(("requirement",)) if key not in PROVENANCE]


def _liquidation(reader: Reader) -> Liquidation:
    """The trigger, how far a liquidation goes, its own numbers and lines, and its steps."""
    at = ("liquidation",)
    own = parameters(reader, at, besides=frozenset(_LIQUIDATION))
    below = parameters(reader, (*at, "parameters"))
    for name in below.keys() & own.keys():
        raise reader.error(f"`{name}` stands in [liquidation] and in its `parameters`: keep one", (*at, name))
    table = reader.table(at)
    target = reader.choice((*at, "target"), _requirements(reader)) if "target" in table else None
    stated = reader if "trigger" in table else Reader({"liquidation": {"trigger": _TRIGGER}}, None)
    return Liquidation(
        trigger=stated.formula((*at, "trigger"), comparison=True),
        target=target,
        until=_condition(reader, (*at, "until")),
        cadence=optional(reader, (*at, "cadence")),
        lockout=reader.flag((*at, "lockout")),
        pin=reader.choice((*at, "pin"), ("scenario",)) if "pin" in table else None,
        realised=cast("Any", reader.choice((*at, "realised"), ("wallet", "basis"), "wallet")),
        loss=_formula(reader, (*at, "loss")),
        loss_lock=cast("Any", reader.choice((*at, "loss_lock"), ("any", "fund"))) if "loss_lock" in table else None,
        parameters={**own, **below},
        lines={name: _line(reader, (*at, "lines", name)) for name in _names(reader, (*at, "lines"))},
        inputs={name: _input(reader, (*at, "inputs", name)) for name in _names(reader, (*at, "inputs"))},
        steps=_steps(reader, (*at, "steps")),
    )


def _names(reader: Reader, at: Path) -> list[str]:
    return [key for key in reader.table(at) if key not in PROVENANCE]


def _line(reader: Reader, at: Path) -> Formula:
    reader.identifier(at)
    return reader.formula(at)


def _input(reader: Reader, at: Path) -> float | None:
    """What a name is where nobody states it; `needed` must be stated, and "inf" is no limit."""
    reader.identifier(at)
    found = reader.get(at)
    if found == "needed":
        return None
    if found in ("inf", float("inf")):
        return float("inf")
    return reader.number(at)


def _steps(reader: Reader, at: Path) -> tuple[Step, ...]:
    steps: list[Step] = []
    for path in reader.tables(at):
        steps.append(_step(reader, path))
        if [step.name for step in steps].count(steps[-1].name) > 1:
            raise reader.error(f"two steps are called {steps[-1].name!r}: give each its own name", (*path, "name"))
    return tuple(steps)


def _step(reader: Reader, at: Path) -> Step:
    """One step."""
    reader.closed(at, _STEP)
    do = reader.choice((*at, "do"), KINDS_OF_STEP)
    pairs = reader.flag((*at, "pairs"))
    if pairs and do not in _PAIRED:
        raise reader.error(f"`pairs` goes with {' and '.join(_PAIRED)}, not with {do}", (*at, "pairs"))
    if "fees_in" in reader.table(at) and do != "exchange":
        raise reader.error(f"`fees_in` goes with exchange, not with {do}", (*at, "fees_in"))
    return Step(
        name=reader.text((*at, "name"), f"{do} {at[-1]}"),
        do=cast("Any", do),
        of=tuple(_conjunction(reader, (*at, "of"), words) for words in reader.words((*at, "of"))),
        holder=reader.text((*at, "holder")) if "holder" in reader.table(at) else None,
        rank=_formula(reader, (*at, "rank")),
        when=_condition(reader, (*at, "when")),
        amount=_formula(reader, (*at, "amount")),
        price=_formula(reader, (*at, "price")),
        to=reader.text((*at, "to"), MARKET),
        fees={key: reader.formula((*at, "fees", key)) for key in _names(reader, (*at, "fees"))},
        fees_in=cast("Any", reader.choice((*at, "fees_in"), ("collateral", "debt"), "collateral")),
        over=cast("Any", reader.choice((*at, "over"), ("leg", "account"), "account" if do == "share" else "leg")),
        pairs=pairs,
        clearing=cast("Any", reader.choice((*at, "clearing"), ("first", "uniform"), "first")),
        window=optional(reader, (*at, "window")),
        window_of=cast("Any", reader.choice((*at, "window_of"), ("case", "market"), "case")),
    )


def _conjunction(reader: Reader, at: Path, text: str) -> frozenset[str]:
    known = [*WORDS, *reader.table(("tags",))]
    for word in text.split():
        if word not in known:
            raise reader.error(f"unknown word {word!r}{suggestion(word, known)}; there are {', '.join(known)}", at)
    return frozenset(text.split())


def _payment(reader: Reader, at: Path) -> Payment:
    """One layer of the waterfall."""
    reader.closed(at, _PAYMENT)
    return Payment(
        pay=reader.choice((*at, "pay"), PAYERS),
        rule=cast("Any", reader.choice((*at, "rule"), RULES, "queue")),
        when=_condition(reader, (*at, "when")),
        rank=_formula(reader, (*at, "rank")),
        weight=_formula(reader, (*at, "weight")),
        cap=_formula(reader, (*at, "cap")),
        price=_formula(reader, (*at, "price")),
        keep=_formula(reader, (*at, "keep")),
        rounding=cast("Any", reader.choice((*at, "rounding"), ROUNDINGS, "loss")),
        remainder=cast("Any", reader.choice((*at, "remainder"), REMAINDERS, "largest")),
    )


def _fund(reader: Reader) -> Fund:
    at = ("fund",)
    reader.closed(at, _FUND)
    haircuts = {asset: reader.number((*at, "assets", asset)) for asset in _names(reader, (*at, "assets"))}
    for asset, share in haircuts.items():
        if not 0 <= share <= 1:
            raise reader.error("the share that a sale would cost lies in [0, 1]", (*at, "assets", asset))
    stated: Mapping[str, Formula | None] = {key: _formula(reader, (*at, key)) for key in _FUND[:-1]}
    return Fund(**stated, haircuts=haircuts)


def _halt(reader: Reader, at: Path) -> Halt:
    reader.closed(at, ("when", "until", "what", "window", "wait"))
    what = reader.words((*at, "what"))
    for word in what:
        if word not in _HALTED:
            raise reader.error(f"unknown word {word!r}{suggestion(word, _HALTED)}; there are risk, liquidation", at)
    if not what:
        raise reader.error('say what stops: what = ["risk", "liquidation"]', at)
    halt = Halt(
        when=reader.formula((*at, "when"), comparison=True),
        until=_condition(reader, (*at, "until")),
        what=what,
        window=_seconds(reader, (*at, "window")),
        wait=_seconds(reader, (*at, "wait")),
    )
    if halt.wait is not None and "liquidation" not in what:
        raise reader.error("`wait` is how long liquidation stands still, and only risk does here", (*at, "wait"))
    return halt


def _seconds(reader: Reader, at: Path) -> float | None:
    if reader.get(at) is None:
        return None
    number = reader.number(at)
    if number <= 0:
        raise reader.error(f"seconds above 0 are needed here, not {number:g}", at)
    return number


def _formula(reader: Reader, at: Path) -> Formula | None:
    """A formula, which may be a plain number; None where the document says nothing."""
    found = reader.get(at)
    if found is None:
        return None
    if isinstance(found, int | float) and not isinstance(found, bool):
        return Reader({"number": repr(reader.number(at))}, None).formula(("number",))
    return reader.formula(at)


def _condition(reader: Reader, at: Path) -> Formula | None:
    return None if reader.get(at) is None else reader.formula(at, comparison=True)
