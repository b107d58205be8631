"""Lines of [values] and [charges]: which legs, at which level, and a formula or a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from crossmargin.margin.locate import Path
from crossmargin.margin.model import (
    LEVELS,
    Custom,
    CustomKind,
    Either,
    Formula,
    Line,
    MaxLoss,
    Pair,
    Pairing,
    Parameter,
    Scan,
    Variants,
    WorstSide,
)
from crossmargin.margin.parameters import optional, parameter, parameters, slopes, variants
from crossmargin.margin.reading import PROVENANCE, Reader, is_line, suggestion
from crossmargin.margin.vocabulary import WORDS

__all__ = ["Kinds", "read_lines"]

Kinds: TypeAlias = Mapping[str, CustomKind]
"""Kinds from outside, by name. Only asked for a name that is none of ours: looking them up costs time."""

_LINE: Final = frozenset({"level", "of", "is", "kind", "where", "reported_only", *PROVENANCE})
_MEASURES: Final = ("worst", "expected_shortfall", "value_at_risk", "mean", "row")
_BETWEEN: Final = ("asset", "bucket", "expiry", "instrument", "quote_asset")


def read_lines(reader: Reader, section: Literal["values", "charges"], extra: Kinds) -> dict[str, Line]:
    """The lines of a section, in the file's order."""
    found: dict[str, Line] = {}
    for key, value in reader.table((section,)).items():
        if key in PROVENANCE and not is_line(value):
            continue
        found[reader.identifier((section, key))] = _line(reader, section, key, extra)
    return found


def _line(reader: Reader, section: Literal["values", "charges"], name: str, extra: Kinds) -> Line:
    """One line."""
    at = (section, name)
    table = reader.table(at, required=True)
    if ("is" in table) == ("kind" in table):
        raise reader.error('a line is either a formula (`is = "..."`) or of a kind (`kind = "..."`)', at)
    level = reader.choice((*at, "level"), LEVELS, "leg")
    haircut = isinstance(table.get("haircut"), bool)
    taken = _LINE | ({"haircut"} if haircut else set())
    if "is" in table:
        kind, spec, own = "is", _formula(reader, (*at, "is")), parameters(reader, at, besides=taken)
    else:
        kind = reader.text((*at, "kind"))
        if kind not in _KINDS:
            kind = reader.choice((*at, "kind"), [*_KINDS, *extra])
        spec, own = _kind(reader, at, kind, taken, extra)
        _check_level(reader, at, kind, level, _KINDS[kind][2] if kind in _KINDS else extra[kind].levels)
    return Line(
        name=name,
        section=section,
        level=level,
        of=tuple(_conjunction(reader, at, words) for words in reader.words((*at, "of"))),
        kind=kind,
        spec=spec,
        parameters=own,
        haircut=haircut and reader.flag((*at, "haircut")),
        note=reader.get((*at, "note")),
    )


def _formula(reader: Reader, at: Path) -> Formula | Variants:
    """A line's formula, or one for each requirement."""
    if not isinstance(reader.get(at), Mapping):
        return reader.formula(at)
    found = variants(reader, at)
    for requirement, part in found.by_requirement.items():
        if not isinstance(part, Formula):
            raise reader.error("`is` holds formulas: give the number a name beside it", (*at, requirement))
    return found


def _conjunction(reader: Reader, at: Path, text: str) -> frozenset[str]:
    """The words of one entry of `of`."""
    known = [*WORDS, *reader.table(("tags",))]
    for word in text.split():
        if word not in known:
            advice = f"there are {', '.join(known)}; declare others in [tags]"
            raise reader.error(f"unknown word {word!r}{suggestion(word, known)}; {advice}", (*at, "of"))
    return frozenset(text.split())


def _kind(reader: Reader, at: Path, kind: str, taken: frozenset[str], extra: Kinds) -> tuple[Any, dict[str, Parameter]]:
    """What a kind is told, and the line's own numbers beside it."""
    if kind not in _KINDS:
        table = {key: value for key, value in reader.table(at).items() if key not in taken}
        try:
            return Custom(extra[kind], extra[kind].read(table)), {}
        except ValueError as error:
            raise reader.error(f"`{kind}`: {error}", at) from None
    read, keys, _ = _KINDS[kind]
    return read(reader, at), parameters(reader, at, besides=taken | keys)


def _check_level(reader: Reader, at: Path, kind: str, level: str, levels: tuple[str, ...]) -> None:
    """A kind stands only at levels where it means something."""
    if level not in levels:
        raise reader.error(f"`{kind}` stands at {' or '.join(levels)}, not at {level}: set `level`", at)


def _scan(reader: Reader, at: Path) -> Scan:
    measure = reader.choice((*at, "measure"), _MEASURES, "worst")
    confidence = optional(reader, (*at, "confidence"))
    if (confidence is not None) != (measure in {"expected_shortfall", "value_at_risk"}):
        advice = "`confidence` goes with expected_shortfall and value_at_risk, and only with them"
        raise reader.error(advice, (*at, "measure"))
    scenarios = reader.text((*at, "scenarios"))
    sets = reader.table(("scenarios",))
    if scenarios not in sets:
        near = suggestion(scenarios, sets)
        raise reader.error(f"no scenario set {scenarios!r}{near}; add it to [scenarios]", (*at, "scenarios"))
    _check_row(reader, at, measure)
    return Scan(
        scenarios=scenarios,
        measure=measure,
        exposure=reader.choice((*at, "exposure"), ("pnl", "delta"), "pnl"),
        confidence=confidence,
        weight=optional(reader, (*at, "weight")),
        close_out=slopes(reader, (*at, "close_out")),
        fold=slopes(reader, (*at, "fold")),
    )


def _check_row(reader: Reader, at: Path, measure: str) -> None:
    """A row is summed with its sign: nothing bends it on the way, and it is no charge."""
    if measure != "row":
        if reader.get((*at, "exposure")) == "delta":
            raise reader.error('deltas are no losses: `exposure = "delta"` goes with `measure = "row"`', at)
        return
    if at[0] != "values":
        raise reader.error("`row` is signed, and a charge is not: put the line in [values]", (*at, "measure"))
    blocks = reader.tables(("scenarios", reader.text((*at, "scenarios"))))
    if {"fold", "close_out"} & set(reader.table(at)) or any("fold" in reader.table(block) for block in blocks):
        raise reader.error("`row` sums what is there: it takes no fold and no close_out", (*at, "measure"))


def _pairing(reader: Reader, at: Path) -> Pairing:
    pairs = tuple(_pair(reader, path) for path in reader.tables((*at, "pairs")))
    if not pairs:
        raise reader.error('`pairs` lists what is matched: [{ of = ["A", "B"], rate = 0.1 }]', at)
    between = reader.choice((*at, "between"), _BETWEEN)
    worth = reader.text((*at, "worth")) if reader.get((*at, "worth")) is not None else None
    found = Pairing(between, reader.text((*at, "exposure"), "delta"), pairs, _tiers(reader, at, between), worth)
    _check_pairs(reader, at, found)
    return found


def _tiers(reader: Reader, at: Path, between: str) -> dict[str, float]:
    """Ranges of days by name, ascending; the last one is endless."""
    table = reader.table((*at, "tiers"))
    if (between == "expiry") != bool(table):
        advice = '`between = "expiry"` matches tiers, and nothing else does: tiers = { near = 35, far = "inf" }'
        raise reader.error(advice, (*at, "between"))
    names = [key for key in table if key not in PROVENANCE]
    endless = ("inf", float("inf"))
    days = [float("inf") if table[key] in endless else reader.number((*at, "tiers", key)) for key in names]
    if days != sorted(set(days)) or (days and days[-1] != float("inf")):
        raise reader.error('tiers ascend by their last day to expiry, and the last one is "inf"', (*at, "tiers"))
    return dict(zip(names, days, strict=True))


def _check_pairs(reader: Reader, at: Path, spec: Pairing) -> None:
    """Tiers of pairs are declared, a tier meets itself one to one, and only buckets have a worth."""
    for number, pair in enumerate(spec.pairs):
        path = (*at, "pairs", str(number), "of")
        for name in pair.of:
            if spec.tiers and name not in spec.tiers:
                raise reader.error(f"no tier {name!r}{suggestion(name, spec.tiers)}; add it to `tiers`", path)
        if pair.of[0] == pair.of[1] and (not spec.tiers or pair.ratio != 1):
            raise reader.error("only a tier of expiries is matched with itself, one to one", path)
    by_bucket = spec.between == "bucket" and reader.get((*at, "level")) == "bucket"
    if (by_bucket and spec.worth is None) or (spec.worth is not None and spec.between != "bucket"):
        advice = '`worth` names a line by bucket, goes with `between = "bucket"`, and is needed there at bucket level'
        raise reader.error(advice, at)


def _pair(reader: Reader, at: Path) -> Pair:
    reader.closed(at, ("of", "rate", "ratio"))
    match reader.words((*at, "of")):
        case (first, second):
            return Pair((first, second), parameter(reader, (*at, "rate")), reader.number((*at, "ratio"), 1.0))
    raise reader.error("`of` names the two keys of a pair", at)


def _either(reader: Reader, at: Path) -> Either:
    worths = ("balance", "asset_worth", "liability_worth")
    balance, asset_worth, liability_worth = (parameter(reader, (*at, key)) for key in worths)
    asset_price, liability_price = (optional(reader, (*at, f"{side}_price")) for side in ("asset", "liability"))
    return Either(balance, asset_worth, liability_worth, asset_price, liability_price)


def _worst_side(reader: Reader, at: Path) -> WorstSide:
    return WorstSide(reader.text((*at, "line")))


def _max_loss(_reader: Reader, _at: Path) -> MaxLoss:
    return MaxLoss()


# How a kind is read, which keys are its own, and where it may stand.
_KINDS: Final[Mapping[str, tuple[Callable[[Reader, Path], Any], frozenset[str], tuple[str, ...]]]] = {
    "scan": (
        _scan,
        frozenset({"scenarios", "measure", "exposure", "confidence", "weight", "close_out", "fold"}),
        ("expiry", "bucket", "account"),
    ),
    "max_loss": (_max_loss, frozenset(), ("expiry",)),
    "pairing": (_pairing, frozenset({"between", "exposure", "pairs", "tiers", "worth"}), ("bucket", "account")),
    "either": (
        _either,
        frozenset({"balance", "asset_worth", "liability_worth", "asset_price", "liability_price"}),
        ("account",),
    ),
    "worst_side": (_worst_side, frozenset({"line"}), LEVELS),
}
