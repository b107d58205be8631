"""The sections of a document besides its lines and its procedure: sources, shocks, scenarios, tags, inputs."""

from __future__ import annotations

from datetime import date, datetime
from math import prod

from crossmargin.margin.locate import Path
from crossmargin.margin.model import (
    Block,
    Formula,
    Input,
    KnownDefect,
    Parameter,
    Shocks,
    Source,
    Tag,
)
from crossmargin.margin.parameters import optional, parameter, parameters, slopes
from crossmargin.margin.reading import PROVENANCE, Reader, suggestion
from crossmargin.margin.vocabulary import CONTRACTS, KINDS

__all__ = [
    "SECTIONS",
    "contracts",
    "effective_from",
    "inputs",
    "known_defects",
    "requirements",
    "scenarios",
    "scope",
    "shocks",
    "sources",
    "tags",
    "valuation",
]

SECTIONS = (
    "rulebook",
    "sources",
    "parameters",
    "valuation",
    "shocks",
    "scenarios",
    "pools",
    "tags",
    "inputs",
    "values",
    "charges",
    "equity",
    "requirement",
    "bands",
    "liquidation",
    "waterfall",
    "fund",
    "halt",
    "prices",
    "known_defects",
)

_STATUSES = ("exact", "retold", "inferred", "memory")
_AXES = ("spot", "rate", "basis", "time", "peg")


def effective_from(reader: Reader) -> date:
    """The day from which the document holds."""
    at = ("rulebook", "effective_from")
    found = reader.get(at)
    if not isinstance(found, date) or isinstance(found, datetime):
        raise reader.error("a date without quotes and without a time is needed here: 2025-06-01", at)
    return found


def scope(reader: Reader) -> frozenset[str]:
    """The instrument kinds that the document margins."""
    at = ("rulebook", "scope")
    words = reader.words(at)
    for word in words:
        if word not in KINDS:
            listed = ", ".join(KINDS)
            raise reader.error(f"unknown kind {word!r}{suggestion(word, KINDS)}; there are {listed}", at)
    if not words:
        raise reader.error(f"name the instrument kinds that the rulebook margins: {', '.join(KINDS)}", at)
    return frozenset(words)


def contracts(reader: Reader) -> frozenset[str]:
    """The forms of settlement that the document margins; linear and inverse where it does not say."""
    at = ("rulebook", "contracts")
    if reader.get(at) is None:
        return frozenset({"linear", "inverse"})
    words = reader.words(at)
    for word in words:
        if word not in CONTRACTS:
            listed = ", ".join(CONTRACTS)
            raise reader.error(f"unknown form {word!r}{suggestion(word, CONTRACTS)}; there are {listed}", at)
    return frozenset(words)


def sources(reader: Reader) -> dict[str, Source]:
    """The sources by key."""
    return {key: _source(reader, key) for key in reader.table(("sources",), required=True)}


def _source(reader: Reader, key: str) -> Source:
    at = ("sources", key)
    reader.table(at, required=True)
    reader.closed(at, ("title", "at", "seen", "status"))
    seen = reader.get((*at, "seen"))
    if seen is not None and not isinstance(seen, date):
        raise reader.error("a date without quotes is needed here: 2026-01-20", (*at, "seen"))
    status = reader.choice((*at, "status"), _STATUSES)
    place = reader.text((*at, "at")) if "at" in reader.table(at) else None
    return Source(key, reader.text((*at, "title")), place, seen, status)


def valuation(reader: Reader) -> dict[str, Formula]:
    """What a leg is worth, by instrument kind."""
    reader.closed(("valuation",), ("value", "discount"))
    reader.closed(("valuation", "value"), KINDS)
    stated = reader.table(("valuation", "value"))
    return {kind: reader.formula(("valuation", "value", kind)) for kind in stated if kind in KINDS}


def shocks(reader: Reader) -> Shocks:
    """Shocked vols with their helpers."""
    at = ("shocks", "vol")
    vols = {reader.identifier((*at, name)): reader.formula((*at, name)) for name in reader.table(at)}
    if "same" in vols:
        raise reader.error("`same` is the vol as it is: choose another name", (*at, "same"))
    return Shocks(vols, parameters(reader, ("shocks",), besides=frozenset({"vol"})))


def scenarios(reader: Reader) -> dict[str, tuple[Block, ...]]:
    """Scenario sets by name."""
    found: dict[str, tuple[Block, ...]] = {}
    for name in reader.table(("scenarios",)):
        if name in PROVENANCE:
            continue
        blocks = reader.tables(("scenarios", name))
        if not blocks:
            raise reader.error("a scenario set lists at least one block of axes", ("scenarios", name))
        found[name] = tuple(_block(reader, at) for at in blocks)
    return found


def _block(reader: Reader, at: Path) -> Block:
    """One block: the product of its axes."""
    reader.closed(at, (*_AXES, "vol", "scale", "weight", "fold", "supplied", "rows", "take"))
    table = reader.table(at)
    rows, take = _rows(reader, at)
    axes = {axis: _axis(reader, (*at, axis)) for axis in _AXES}
    if any(not -1.0 <= move <= 10.0 for move in axes["spot"]) and "scale" not in table:  # noqa: PLR2004
        raise reader.error("spot moves are fractions in [-1, 10], as 0.15 for 15 %", (*at, "spot"))
    vols = reader.words((*at, "vol")) or ("same",)
    known = ["same", *reader.table(("shocks", "vol"))]
    for vol in vols:
        if vol not in known:
            raise reader.error(f"no shocked vol {vol!r}{suggestion(vol, known)} in [shocks]", (*at, "vol"))
    _check_weights(reader, (*at, "weight"), len(take) or rows or prod(map(len, (*axes.values(), vols))))
    return Block(
        **axes,
        vol=vols,
        scale=optional(reader, (*at, "scale")),
        weight=_weight(reader, (*at, "weight")),
        fold=slopes(reader, (*at, "fold")),
        supplied=reader.text((*at, "supplied")) if "supplied" in table else None,
        rows=rows,
        take=take,
    )


def _rows(reader: Reader, at: Path) -> tuple[int | None, tuple[int, ...]]:
    """How many rows are supplied by instrument (None: moves by bucket), and which of them count."""
    table = reader.table(at)
    if "rows" not in table:
        if "take" in table:
            raise reader.error("`take` chooses among rows that are supplied by instrument: say `rows`", (*at, "take"))
        return None, ()
    besides = [key for key in table if key in {*_AXES, "vol", "scale"}]
    if "supplied" not in table or besides:
        advice = "`rows` goes with `supplied` and without axes: the rows are what contracts gain, whatever moved them"
        raise reader.error(advice, (*at, "rows"))
    rows = reader.number((*at, "rows"))
    take = _axis(reader, (*at, "take")) if "take" in table else ()
    if rows < 1 or any(row % 1 or not 1 <= row <= rows for row in (rows, *take)):
        raise reader.error("`rows` is a whole number above 0, and `take` lists some of 1 to `rows`", (*at, "rows"))
    return int(rows), tuple(int(row) for row in take)


def _axis(reader: Reader, at: Path) -> tuple[float, ...]:
    """The points of an axis; 0 alone when absent."""
    found = reader.get(at)
    if found is None:
        return (0.0,)
    if not isinstance(found, list) or not found:
        raise reader.error("an axis is a list of numbers", at)
    return tuple(reader.number((*at, str(number))) for number in range(len(found)))


def _check_weights(reader: Reader, at: Path, scenarios: int) -> None:
    """A list of weights has one for each scenario; of supplied moves nobody knows yet how many there will be."""
    found, block = reader.get(at), reader.table(at[:-1])
    counted = "supplied" not in block or "rows" in block
    if counted and isinstance(found, list) and len(found) != scenarios:
        raise reader.error(f"{len(found)} weights of {scenarios} scenarios: state one for each, or one for all", at)


def _weight(reader: Reader, at: Path) -> Parameter | tuple[float, ...] | None:
    """A weight for the block, or one for each of its rows."""
    found = reader.get(at)
    return _axis(reader, at) if isinstance(found, list) else optional(reader, at)


def tags(reader: Reader) -> dict[str, Tag]:
    """Words that the document declares for `of`."""
    found: dict[str, Tag] = {}
    for name in reader.table(("tags",)):
        at = ("tags", name)
        reader.closed(at, ("assets", "instruments", "underlyings"))
        lists = [frozenset(reader.words((*at, key))) for key in ("assets", "instruments", "underlyings")]
        found[reader.identifier(at)] = Tag(*lists)
    return found


def inputs(reader: Reader) -> dict[str, Input]:
    """Figures that come with the account."""
    found: dict[str, Input] = {}
    for name in reader.table(("inputs",)):
        if name in PROVENANCE:
            continue
        at = ("inputs", name)
        reader.closed(at, ("default", "unit"))
        number = reader.number((*at, "default"), 0.0)
        found[reader.identifier(at)] = Input(number, reader.text((*at, "unit"), "money"))
    return found


def requirements(reader: Reader) -> dict[str, Parameter]:
    """The requirements by name; maintenance and initial among them."""
    table = reader.table(("requirement",), required=True)
    for name in ("maintenance", "initial"):
        if name not in table:
            raise reader.error(f'[requirement] needs `{name} = "..."`', ("requirement",))
    stated = [key for key in table if key not in PROVENANCE]
    return {reader.identifier(("requirement", key)): reader.formula(("requirement", key)) for key in stated}


def known_defects(reader: Reader) -> tuple[KnownDefect, ...]:
    """Semantic errors that were live at the venue and are kept on purpose."""
    found: list[KnownDefect] = []
    for at in reader.tables(("known_defects",)):
        reader.closed(at, ("what",))
        source = reader.choice((*at, "source"), reader.table(("sources",)))
        found.append(KnownDefect(reader.text((*at, "what")), source))
    return tuple(found)


def adjusted(reader: Reader) -> Parameter:
    """The adjusted equity, or one for each requirement."""
    reader.closed(("equity",), ("adjusted",))
    if "adjusted" not in reader.table(("equity",)):
        raise reader.error('[equity] needs `adjusted = "..."`', ("equity",))
    return parameter(reader, ("equity", "adjusted"))
