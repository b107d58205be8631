"""The section [prices]: which raw quotes count, what stands of them, what too few lead to. Frozen data and its reader.

Defaults stand in [prices]; [prices.kind.K], [prices.asset.A] and [prices.instrument.I] state what differs, key by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from crossmargin.margin.reading import PROVENANCE
from crossmargin.margin.vocabulary import KINDS

if TYPE_CHECKING:
    from crossmargin.margin.locate import Path
    from crossmargin.margin.reading import Reader

__all__ = ["PriceRule", "Prices", "StableRule", "read_prices"]

Mark: TypeAlias = Literal["last", "twap", "ewma"]
MARKS: Final = ("last", "twap", "ewma")
_BROAD: Final = 3  # from so many feeds on, one of them can be outvoted
_STABLE: Final = ("growth", "delay", "delays", "delay_growth", "shortest", "longest")
_RULE: Final = (
    *("feeds", "minimum", "combine", "stale_after", "wait", "confidence_interval", "confidence", "band"),
    *("mark", "half_life", "twap_window", "halts", "stable"),
)
_OVERRIDES: Final = ("kind", "asset", "instrument")


@dataclass(frozen=True, slots=True)
class StableRule:
    """A price that follows slowly, held back further where it is far from what the price was a day ago.

    Parameters
    ----------
    growth
        How much it may move in a second, as a fraction of itself.
    delay, delays
        Seconds of one interval, and how many intervals old the delayed price is.
    delay_growth
        How much the delayed price may move from one interval to the next, as a fraction.
    shortest, longest
        Seconds: it is not moved again sooner, and no more of them count at once.
    """

    growth: float
    delay: float
    delays: int
    delay_growth: float
    shortest: float = 0.0
    longest: float = inf


@dataclass(frozen=True, slots=True)
class PriceRule:
    """How the quotes of one asset or instrument become the price that stands.

    Parameters
    ----------
    feeds
        Which feeds count, with their weights; empty: all of them, equally.
    minimum
        How many must be live. With fewer nothing moves.
    stale_after
        Seconds after which a quote does not count; None: never.
    wait
        Seconds that liquidation waits from when too few are live; infinite: until enough are back.
    confidence_interval
        The widest interval that counts, as a fraction of the price; None: any.
    confidence
        The least confidence that counts, in [0, 1]; None: any.
    band
        How far the price may move in a second, as a fraction; what goes further is cut to it. None: any.
    mark
        What stands: the last median, its time-weighted mean over `twap_window`, or its exponential one.
    half_life, twap_window
        Seconds of both means. `twap_window` also gives the figure `twap`.
    stable
        Gives the figure `stable_price`.
    halts
        Whether too few feeds stop the underlying, or this one price alone.
    """

    feeds: Mapping[str, float] = field(default_factory=dict)
    minimum: int = 1
    stale_after: float | None = None
    wait: float = 0.0
    confidence_interval: float | None = None
    confidence: float | None = None
    band: float | None = None
    mark: Mark = "last"
    half_life: float | None = None
    twap_window: float | None = None
    stable: StableRule | None = None
    halts: bool = True

    @property
    def outvotes(self) -> bool:
        """Whether so many feeds are asked for that no single one decides."""
        return self.minimum >= _BROAD


@dataclass(frozen=True, slots=True)
class Prices:
    """The rule of every price: what is stated for the asset or instrument, else for its kind, else the default."""

    default: PriceRule
    kinds: Mapping[str, PriceRule] = field(default_factory=dict)
    assets: Mapping[str, PriceRule] = field(default_factory=dict)
    instruments: Mapping[str, PriceRule] = field(default_factory=dict)

    def rule(self, name: str, kind: str) -> PriceRule:
        """Return the rule of an asset (kind `asset`) or an instrument."""
        own = self.assets if kind == "asset" else self.instruments
        return own.get(name) or self.kinds.get(kind) or self.default


def read_prices(reader: Reader) -> Prices | None:
    """The price guards of a document; None where it says nothing.

    Raises
    ------
    RulebookError
        With file, line and what to do.
    """
    at: Path = ("prices",)
    if reader.get(at) is None:
        return None
    reader.closed(at, (*_RULE, *_OVERRIDES))
    for kind in _stated(reader, (*at, "kind")):
        if kind not in KINDS:
            raise reader.error(f"no kind of price; there are {', '.join(KINDS)}", (*at, "kind", kind))
    kinds = {kind: _override(reader, (*at, "kind", kind)) for kind in _stated(reader, (*at, "kind"))}
    return Prices(
        default=_rule(reader, (at,)),
        kinds=kinds,
        assets={name: _override(reader, (*at, "asset", name)) for name in _stated(reader, (*at, "asset"))},
        instruments={n: _override(reader, (*at, "instrument", n)) for n in _stated(reader, (*at, "instrument"))},
    )


def _stated(reader: Reader, at: Path) -> list[str]:
    return [key for key in reader.table(at) if key not in PROVENANCE]


def _override(reader: Reader, at: Path) -> PriceRule:
    reader.closed(at, _RULE)
    return _rule(reader, (at, ("prices",)))


def _rule(reader: Reader, tables: tuple[Path, ...]) -> PriceRule:
    """One rule: each key from the first table that states it."""

    def place(key: str) -> Path:
        return next(((*at, key) for at in tables if reader.get((*at, key)) is not None), (*tables[0], key))

    reader.choice(place("combine"), ("median",), "median")
    rule = PriceRule(
        feeds=_feeds(reader, place("feeds")),
        minimum=_whole(reader, place("minimum"), 1),
        stale_after=_above_zero(reader, place("stale_after")),
        wait=inf if reader.get(place("wait")) == "inf" else _seconds(reader, place("wait")),
        confidence_interval=_share(reader, place("confidence_interval")),
        confidence=_share(reader, place("confidence")),
        band=_above_zero(reader, place("band")),
        mark=cast("Any", reader.choice(place("mark"), MARKS, "last")),
        half_life=_above_zero(reader, place("half_life")),
        twap_window=_above_zero(reader, place("twap_window")),
        stable=_stable(reader, place("stable")),
        halts=reader.flag(place("halts")) if reader.get(place("halts")) is not None else True,
    )
    _check(reader, rule, place)
    return rule


def _check(reader: Reader, rule: PriceRule, place: Any) -> None:  # noqa: ANN401 - a function from key to path
    """Refuse keys that contradict each other."""
    if rule.feeds and rule.minimum > len(rule.feeds):
        raise reader.error(f"{len(rule.feeds)} feeds count, so {rule.minimum} are never live", place("minimum"))
    if rule.feeds and rule.outvotes and 2 * max(rule.feeds.values()) >= sum(rule.feeds.values()):
        raise reader.error("one feed weighs as much as all others together: it alone would decide", place("feeds"))
    for mark, key in (("ewma", "half_life"), ("twap", "twap_window")):
        if rule.mark == mark and getattr(rule, key) is None:
            raise reader.error(f'mark = "{mark}" needs `{key}` in seconds', place("mark"))
    if rule.half_life is not None and rule.mark != "ewma":
        raise reader.error('unused: `half_life` goes with mark = "ewma"', place("half_life"))
    if rule.wait and rule.stale_after is None and rule.minimum == 1:
        raise reader.error("unused: one feed of any age is enough, so nothing is ever waited for", place("wait"))


def _feeds(reader: Reader, at: Path) -> Mapping[str, float]:
    """Feeds as a list, or as a table of weights."""
    found = reader.get(at)
    if not isinstance(found, Mapping):
        words = reader.words(at)
        if len(set(words)) < len(words):
            raise reader.error("a feed stands twice: name each once", at)
        if found is not None and not words:
            raise reader.error("no feed counts then: leave the key out to take all", at)
        return dict.fromkeys(words, 1.0)
    weights = {name: reader.number((*at, name)) for name in _stated(reader, at)}
    for name, weight in weights.items():
        if weight <= 0:
            raise reader.error("a weight is above 0", (*at, name))
    return weights


def _stable(reader: Reader, at: Path) -> StableRule | None:
    if reader.get(at) is None:
        return None
    reader.closed(at, _STABLE)
    for key in ("growth", "delay", "delay_growth"):
        reader.number((*at, key))  # needed
    rule = StableRule(
        growth=_above_zero(reader, (*at, "growth")) or 0.0,
        delay=_above_zero(reader, (*at, "delay")) or 0.0,
        delays=_whole(reader, (*at, "delays"), 1),
        delay_growth=_above_zero(reader, (*at, "delay_growth")) or 0.0,
        shortest=_seconds(reader, (*at, "shortest")),
        longest=_above_zero(reader, (*at, "longest")) or inf,
    )
    if rule.shortest > rule.longest:
        raise reader.error("`shortest` lies above `longest`", (*at, "shortest"))
    if rule.delays > _MOST_DELAYS:
        raise reader.error(f"at most {_MOST_DELAYS} intervals are remembered", (*at, "delays"))
    return rule


_MOST_DELAYS: Final = 100


def _whole(reader: Reader, at: Path, default: int) -> int:
    number = reader.number(at, float(default))
    if number < 1 or number != int(number):
        raise reader.error(f"a whole number of at least 1 is needed here, not {number:g}", at)
    return int(number)


def _above_zero(reader: Reader, at: Path) -> float | None:
    if reader.get(at) is None:
        return None
    number = reader.number(at)
    if number <= 0:
        raise reader.error(f"a number above 0 is needed here, not {number:g}", at)
    return number


def _seconds(reader: Reader, at: Path) -> float:
    number = reader.number(at, 0.0)
    if number < 0:
        raise reader.error(f"seconds are at or above 0, not {number:g}", at)
    return number


def _share(reader: Reader, at: Path) -> float | None:
    if reader.get(at) is None:
        return None
    number = reader.number(at)
    if not 0 < number <= 1:
        raise reader.error(f"a fraction above 0 and at most 1 is needed here, not {number:g}", at)
    return number
