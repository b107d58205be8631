"""Price guards: which raw quotes count, and what price stands. Pure: the same memory and quotes give the same answer.

The price is the middle one of all live feeds' last words, so that one bad feed of three or more moves it no further
than to the next honest one. What goes beyond the band is cut to it, not refused: a refused price stands still just when
the market runs away, and it would be refused again and again; a cut one follows as fast as the band lets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from crossmargin.clearing import means
from crossmargin.clearing.commands import Quote
from crossmargin.clearing.events import Event, Posted, Priced
from crossmargin.clearing.heard import FINE, Heard, Said
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.scales import to_text
from crossmargin.units import later

if TYPE_CHECKING:
    from crossmargin.clearing.state import State
    from crossmargin.margin.procedure_prices import PriceRule

MOST_FEEDS: Final = 100  # of one price

Verdict = str
"""Why a feed's word does not count."""

_Ordered = TypeVar("_Ordered", bound=Any)
_NOTHING: Final = Heard()
_FINE_DIGITS: Final = 6  # of FINE


@dataclass(frozen=True, slots=True)
class Guarded:
    """One price's rule, with what is needed to read and write it.

    Parameters
    ----------
    digits
        Of the price's scale.
    windows
        Seconds of the windows that are remembered.
    """

    rule: PriceRule
    digits: int
    windows: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the guards let through, what they remember from here on, and what they found.

    Parameters
    ----------
    quotes
        By name, the quotes that stand now.
    memory
        By name, the memory that changed.
    verdicts
        By name and feed, why a word that came now does not count.
    """

    quotes: Mapping[str, Quote]
    memory: Mapping[str, Heard]
    verdicts: Mapping[str, Mapping[str, Verdict]]


def accept(
    document: Callable[[str], Guarded],
    memory: Mapping[str, Heard],
    quotes: Mapping[str, Mapping[str, Quote]],
    as_of: datetime,
) -> Accepted:
    """Return which quotes stand.

    Parameters
    ----------
    document
        The rule of each name.
    memory
        What was remembered, by name.
    quotes
        Raw quotes, by feed and name.
    as_of
        When they came.
    """
    offered: dict[str, dict[str, Quote]] = {}
    for feed in sorted(quotes):
        for name, quote in quotes[feed].items():
            offered.setdefault(name, {})[feed] = quote
    standing, remembered, verdicts = {}, {}, {}
    for name in sorted(offered):
        heard, told = _listen(document(name).rule, memory.get(name, _NOTHING), offered[name], as_of)
        stands, remembered[name] = _stand(document(name), heard, as_of)
        if stands is not None:
            why = "".join(f"; {feed} {problem}" for feed, problem in told.items())
            standing[name] = msgspec.structs.replace(stands, quality=stands.quality + why)
        if told:
            verdicts[name] = told
    return Accepted(standing, remembered, verdicts)


def counted(state: State, events: Sequence[Event]) -> tuple[Priced, ...]:
    """Return the event that remembers what cases closed by these events; none where no window looks back at it."""
    closed: dict[str, int] = {}
    for event in events:
        if isinstance(event, Posted) and event.case is not None:
            for _, purse, asset, amount in event.rows:
                if purse == HELD and amount > 0:
                    closed[asset] = closed.get(asset, 0) + amount
    if not closed:
        return ()
    assert state.as_of is not None
    heard = {name: _last(state, events, name) for name in sorted(closed)}
    memory = {n: _after_closing(one, closed[n], state.as_of) for n, one in heard.items() if one.windows}
    return (Priced({}, memory),) if memory else ()


def _last(state: State, events: Sequence[Event], name: str) -> Heard:
    """Return what is remembered of a name after events."""
    fresh = [event.memory[name] for event in events if isinstance(event, Priced) and name in event.memory]
    return fresh[-1] if fresh else state.heard.get(name, _NOTHING)


def _after_closing(heard: Heard, contracts: int, as_of: datetime) -> Heard:
    assert heard.price is not None
    parts = {key: means.with_price(heard, float(key), heard.price, as_of) for key in heard.windows}
    return msgspec.structs.replace(heard, windows=parts, seen=as_of, closed=heard.closed + contracts)


def live(rule: PriceRule, heard: Heard, as_of: datetime) -> dict[str, Said]:
    """Return the words that count at a time, by feed."""
    if rule.stale_after is None:
        return dict(heard.feeds)
    oldest = later(as_of, -rule.stale_after)
    return {feed: said for feed, said in heard.feeds.items() if said.at >= oldest}


def enough(rule: PriceRule, feeds: Iterable[str]) -> bool:
    """Return whether these live feeds may move the price.

    Where a document asks for three or more, none of them may weigh as much as all others together.
    """
    weights = [rule.feeds.get(feed, 1.0) for feed in feeds]
    if len(weights) < rule.minimum:
        return False
    return not rule.outvotes or 2 * max(weights) < sum(weights)


def _listen(
    rule: PriceRule, heard: Heard, offered: Mapping[str, Quote], as_of: datetime
) -> tuple[Heard, dict[str, Verdict]]:
    """Return the memory with each feed's newest word; a feed that says it is not sure counts no longer."""
    feeds, told = live(rule, heard, as_of), {}
    for feed, quote in offered.items():
        at = as_of if quote.observed_at is None else min(quote.observed_at, as_of)
        last = feeds.get(feed)
        problem = _problem(rule, feed, quote, at, as_of)
        if last is not None and last.at > at:
            problem = "older than its last"
        elif problem is None and last is None and len(feeds) >= MOST_FEEDS:
            problem = f"beyond {MOST_FEEDS} feeds"
        elif problem is None:
            feeds[feed] = Said(quote.price, at, dict(sorted(quote.figures.items())))
        else:
            feeds.pop(feed, None)
        if problem is not None:
            told[feed] = problem
    return msgspec.structs.replace(heard, feeds=dict(sorted(feeds.items()))), told


def _problem(rule: PriceRule, feed: str, quote: Quote, at: datetime, as_of: datetime) -> Verdict | None:
    if rule.feeds and feed not in rule.feeds:
        return "no feed of the document"
    if rule.stale_after is not None and at < later(as_of, -rule.stale_after):
        return "stale"
    if rule.confidence_interval is not None and (quote.interval or 0) > rule.confidence_interval * quote.price:
        return "interval too wide"
    if rule.confidence is not None and float(quote.figures.get("confidence", "1")) < rule.confidence:
        return "confidence too low"
    return None


def _stand(guarded: Guarded, heard: Heard, as_of: datetime) -> tuple[Quote | None, Heard]:
    """Return the price that stands now, and the memory with it; nothing moves where too few feeds are live."""
    rule = guarded.rule
    words = live(rule, heard, as_of)
    if not enough(rule, words):
        return None, heard
    median = _middle([(said.price, rule.feeds.get(feed, 1.0)) for feed, said in words.items()])
    after = _moved(guarded, heard, _cut(rule, heard, median, as_of), as_of)
    assert after.price is not None
    figures = _figures(rule, words)
    smooth = _smooth(rule, after, as_of)
    if rule.twap_window is not None:
        figures["twap"] = _fine_text(_mean(rule.twap_window, after, as_of), guarded.digits)
    if after.stable is not None:
        figures["stable_price"] = _fine_text(after.stable.price, guarded.digits)
    observed = sorted(said.at for said in words.values())[(len(words) - 1) // 2]
    quality = f"median of {len(words)}" + ("" if after.price == median else ", cut")
    return Quote(price=smooth, observed_at=observed, figures=dict(sorted(figures.items())), quality=quality), after


def _middle(weighted: Iterable[tuple[_Ordered, float]]) -> _Ordered:
    """Return the smallest value that, with all below it, has half of the weight: of an even number the lower middle."""
    ordered = sorted(weighted, key=lambda one: one[0])
    half, below = sum(weight for _, weight in ordered) / 2, 0.0
    for value, weight in ordered:
        below += weight
        if below >= half:
            return value
    return ordered[-1][0]


def _cut(rule: PriceRule, heard: Heard, price: int, as_of: datetime) -> int:
    if rule.band is None or heard.price is None or heard.at is None:
        return price
    return means.within_band(heard.price, (as_of - heard.at).total_seconds(), price, rule.band)


def _moved(guarded: Guarded, heard: Heard, price: int, as_of: datetime) -> Heard:
    """Return the memory after a price: means over the time that the last one stood, and the price from now on."""
    rule = guarded.rule
    windows = {means.key(window): means.with_price(heard, window, price, as_of) for window in guarded.windows}
    level, stable = heard.level, heard.stable
    if rule.mark == "ewma":
        assert rule.half_life is not None
        known = level is not None and heard.price is not None and heard.at is not None
        elapsed = (as_of - heard.at).total_seconds() if heard.at is not None else 0.0
        level = means.ewma(level or 0, heard.price or 0, elapsed, rule.half_life) if known else price * FINE
    if rule.stable is not None:
        stable = (
            means.begun(rule.stable, price, as_of)
            if stable is None
            else means.followed(rule.stable, stable, price, as_of)
        )
    return Heard(heard.feeds, price, as_of, level, stable, windows, as_of, heard.closed)


def _mean(window: float, heard: Heard, as_of: datetime) -> int:
    assert heard.price is not None
    return means.mean(heard.windows[means.key(window)], heard.price, window, as_of)


def _smooth(rule: PriceRule, heard: Heard, as_of: datetime) -> int:
    """Return the mark: the last price or one of its means, to the nearest unit."""
    assert heard.price is not None
    if rule.mark == "last":
        return heard.price
    if rule.mark == "ewma":
        assert heard.level is not None
        return (heard.level + FINE // 2) // FINE
    assert rule.twap_window is not None
    return (_mean(rule.twap_window, heard, as_of) + FINE // 2) // FINE


def _figures(rule: PriceRule, words: Mapping[str, Said]) -> dict[str, str]:
    """Return the middle of every other figure that enough of the live feeds give."""
    given: dict[str, dict[str, str]] = {}
    for feed, said in words.items():
        for figure, text in said.figures.items():
            given.setdefault(figure, {})[feed] = text
    return {
        figure: _middle([((Decimal(text), text), rule.feeds.get(feed, 1.0)) for feed, text in by_feed.items()])[1]
        for figure, by_feed in given.items()
        if enough(rule, by_feed)
    }


def _fine_text(price: int, digits: int) -> str:
    """Return a price in parts of a unit as a decimal string."""
    return to_text(price, digits + _FINE_DIGITS)
