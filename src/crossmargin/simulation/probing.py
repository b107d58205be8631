"""Which contracts a rulebook can margin, and in which dollar: found by asking the engine, one position each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from crossmargin.clearing import House, MemoryJournal, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Section, digest_of, document_of
from crossmargin.clearing.contracts import terms_of, trade_money
from crossmargin.clearing.ledger import HELD, WALLET
from crossmargin.errors import FailureReason, InputError
from crossmargin.simulation.market import Market, Venue, listed

if TYPE_CHECKING:
    from crossmargin.margin import Rulebook

__all__ = ["BEGIN", "feeds_of", "margined"]

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_FEEDS: Final = ("one", "three", "two")
_DOLLARS: Final = ("USDC", "USDT", "USD")


def margined(rulebook: Rulebook) -> tuple[Venue, list[str]]:
    """Return the venue, and its contracts that a rulebook asks something for, in the dollar that knows most of them.

    Raises
    ------
    InputError
        UNSUPPORTED: it knows none of them.
    """
    found = [(venue, _names(rulebook, venue)) for venue in (listed(dollar, BEGIN) for dollar in _DOLLARS)]
    best = max(found, key=lambda one: len(one[1]))
    if not best[1]:
        message = (
            f"{rulebook.name} margins none of the simulated contracts: perpetuals, a future and options on BTC, ETH"
        )
        raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message)
    return best


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


def _names(rulebook: Rulebook, venue: Venue) -> list[str]:
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
    return [name for name in venue.contracts if _is_margined(house, venue, name)]


def _is_margined(house: House, venue: Venue, name: str) -> bool:
    """Return whether a position of a lots is assessed, and something is required for it, long or short."""
    contract = venue.contracts[name]
    terms = terms_of(contract, dict(venue.assets))
    lots = 10**contract.quantity_digits
    money = trade_money(terms, lots, house.state.marks[name].price)
    required = 0.0
    for sign in (1, -1):
        received = (money if terms.inverse else -money) * sign
        holdings = {(WALLET, venue.dollar): 10**12, (WALLET, "BTC"): 10**9, (HELD, name): sign * lots}
        if terms.payment == "margined":
            holdings[terms.basis, terms.settlement] = received
        try:
            report = house.rules.assess(house.state, {"probe": holdings})["probe"]
        except InputError:  # it needs the price of an asset that this venue does not have
            return False
        if not isinstance(report, tuple):
            return False
        required += sum(one.maintenance for one in report)
    return required > 0
