"""Which contracts a rulebook can margin, or which loans, and in which dollar: found by asking the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from crossmargin.clearing import House, MemoryJournal, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Section, digest_of, document_of
from crossmargin.clearing.contracts import terms_of, trade_money
from crossmargin.clearing.ledger import HELD, WALLET
from crossmargin.errors import FailureReason, InputError
from crossmargin.simulation.market import COINS, Market, Venue, listed

if TYPE_CHECKING:
    from crossmargin.clearing import Figures
    from crossmargin.clearing.ledger import Holdings
    from crossmargin.margin import Rulebook

__all__ = ["BEGIN", "feeds_of", "margined"]

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_FEEDS: Final = ("one", "three", "two")
_DOLLARS: Final = ("USDC", "USDT", "USD")


def margined(rulebook: Rulebook) -> tuple[Venue, list[str]]:
    """Return the venue, and its contracts that a rulebook asks something for, in the dollar that knows most of them.

    Where it knows none, it may lend: then there are no contracts, and people borrow one asset against another.

    Raises
    ------
    InputError
        UNKNOWN_INSTRUMENT: it knows none of them, and lends nothing.
    """
    houses = [(venue, _house(rulebook, venue)) for venue in (listed(dollar, BEGIN) for dollar in _DOLLARS)]
    found = [(venue, [name for name in venue.contracts if _is_margined(house, venue, name)]) for venue, house in houses]
    best = max(found, key=lambda one: len(one[1]))
    if best[1]:
        return best
    lending = next((venue for venue, house in houses if _lends(house, venue)), None)
    if lending is None:
        message = (
            f"{rulebook.name} margins none of the simulated contracts (perpetuals, a future and options on BTC, ETH)"
        )
        raise InputError(FailureReason.UNKNOWN_INSTRUMENT, f"{message}, and lends none of the coins")
    return lending, []


def feeds_of(rulebook: Rulebook) -> tuple[str, ...]:
    """Return the feeds of a simulated market: three, and those that the rulebook's price guards name."""
    prices = rulebook.procedure.prices
    if prices is None:
        return _FEEDS
    rules = (
        prices.default,
        *(rule for part in (prices.kinds, prices.assets, prices.instruments) for rule in part.values()),
    )
    return tuple(sorted({*_FEEDS, *(feed for rule in rules for feed in rule.feeds)}))


def _house(rulebook: Rulebook, venue: Venue) -> House:
    rules = rules_of(rulebook)
    house = House(MemoryJournal(), rules)
    documents = ((Section.ASSETS, venue.assets), (Section.INSTRUMENTS, venue.contracts))
    for number, (section, content) in enumerate(documents, start=1):
        document = document_of(section, content)
        digest = digest_of(document)
        house.handle(
            c.Configure(source="probe", sequence=number, as_of=BEGIN, section=section, document=document, digest=digest)
        )
    quotes = Market(venue, iter(())).quotes(BEGIN, list(venue.contracts))
    told = dict.fromkeys(feeds_of(rulebook), quotes)
    house.handle(c.Prices(source="probe", sequence=3, as_of=BEGIN, quotes=told))
    return house


def _lends(house: House, venue: Venue) -> bool:
    """Return whether some coin backs a debt of dollars: something is required for it, and headroom is left."""
    found = (_assessed(house, {(WALLET, coin): 10**10, (WALLET, venue.dollar): -(10**9)}) for coin in COINS)
    return any(_required(report) > 0 and _headroom(report) > 0 for report in found)


def _assessed(house: House, holdings: Holdings) -> tuple[Figures, ...]:
    """Return the pools of what holds so much; none where it is not assessed."""
    try:
        report = house.rules.assess(house.state, {"probe": holdings})["probe"]
    except InputError:  # it needs the price of an asset that this venue does not have, or calibration
        return ()
    return report if isinstance(report, tuple) else ()


def _required(report: tuple[Figures, ...]) -> float:
    return sum(one.maintenance for one in report)


def _headroom(report: tuple[Figures, ...]) -> float:
    return sum(one.maintenance_headroom for one in report)


def _is_margined(house: House, venue: Venue, name: str) -> bool:
    """Return whether a position of a lot is assessed and asks for something, long or short.

    What is asked for is a requirement, or a weight that takes headroom at once.
    """
    contract = venue.contracts[name]
    terms = terms_of(contract, dict(venue.assets))
    lots = 10**contract.quantity_digits
    money = trade_money(terms, lots, house.state.marks[name].price)
    purses: Holdings = {(WALLET, venue.dollar): 10**12, (WALLET, "BTC"): 10**9}
    without, asked = _headroom(_assessed(house, purses)), False
    for sign in (1, -1):
        received = (money if terms.inverse else -money) * sign
        holdings = {**purses, (HELD, name): sign * lots}
        if terms.payment == "margined":
            holdings[terms.basis, terms.settlement] = received
        report = _assessed(house, holdings)
        if not report:
            return False
        asked |= _required(report) > 0 or (len(report) == 1 and _headroom(report) < without)
    return asked
