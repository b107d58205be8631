"""A small venue for tests: scales, contracts of every form, accounts, and the commands that set it up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from crossmargin.clearing import Figures, House, MemoryJournal, Rules
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import (
    Holder,
    RulebookTerms,
    Section,
    digest_of,
    document_of,
)
from crossmargin.clearing.contracts import Asset, Contract, Terms, terms_of
from crossmargin.instruments import ContractKind, Instrument, InstrumentKind, OptionType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.state import State

START = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRY = datetime(2026, 3, 27, 8, tzinfo=UTC)
ASSETS = {
    "USD": Asset(digits=6),
    "USDC": Asset(digits=6, interest=True),
    "BTC": Asset(digits=8, price_digits=2),
    "ETH": Asset(digits=18, price_digits=2),
}


def contract(symbol: str, kind: str = "perpetual", form: str = "linear", **terms: Any) -> Contract:  # noqa: ANN401
    given = {"underlying": "BTC", "quote_asset": "USD", "settlement_asset": "USDC", **terms}
    digits = {"quantity_digits": given.pop("quantity_digits", 3), "price_digits": given.pop("price_digits", 1)}
    premium_paid = given.pop("premium_paid", True)
    instrument = Instrument(symbol=symbol, kind=InstrumentKind(kind), contract=ContractKind(form), **given)
    return Contract(instrument=instrument, premium_paid=premium_paid, **digits)


LINEAR = contract("BTC-PERP")
INVERSE = contract("BTC-USD", form="inverse", settlement_asset="BTC", multiplier=10.0, quantity_digits=0)
QUANTO = contract("ETH-QUANTO", form="quanto", underlying="ETH", settlement_asset="BTC", multiplier=1e-6)
ETHER = contract("ETH-PERP", underlying="ETH", multiplier=0.1)
FUTURE = contract("BTC-MAR", kind="future", expiry=EXPIRY)
INVERSE_FUTURE = contract(
    "BTC-USD-MAR",
    kind="future",
    form="inverse",
    settlement_asset="BTC",
    multiplier=10.0,
    quantity_digits=0,
    expiry=EXPIRY,
)
CALL = contract("BTC-MAR-60000-C", kind="option", strike=60_000.0, option_type=OptionType.CALL, expiry=EXPIRY)
COIN_PUT = contract(
    "BTC-USD-MAR-60000-P",
    kind="option",
    form="inverse",
    settlement_asset="BTC",
    strike=60_000.0,
    option_type=OptionType.PUT,
    expiry=EXPIRY,
    price_digits=4,
)
SPOT = contract("BTC/USDC", kind="spot")
CONTRACTS = (LINEAR, INVERSE, QUANTO, ETHER, FUTURE, INVERSE_FUTURE, CALL, COIN_PUT, SPOT)
ACCOUNTS = {"alice": Holder(pools=("hedge",)), "bob": Holder(), "carol": Holder()}


def terms(one: Contract) -> Terms:
    return terms_of(one, ASSETS)


class Desk:
    """One source of commands that counts and lets a second pass each time."""

    def __init__(self, house: House, source: str = "desk") -> None:
        self.house, self.source = house, source
        self.sequence = house.state.sources.get(source, 0)
        self.as_of = house.state.as_of or START

    def named(self) -> dict[str, Any]:
        self.sequence += 1
        self.as_of += timedelta(seconds=1)
        return {"source": self.source, "sequence": self.sequence, "as_of": self.as_of}

    def send(self, kind: type, **fields: Any) -> Any:  # noqa: ANN401 - the events, whose kind the caller knows
        """Return the one event that a command led to."""
        return self.send_all([kind(**self.named(), **fields)])[-1]

    def send_all(self, commands: Iterable[c.Command]) -> list[Any]:
        answers = self.house.handle_all(commands)
        assert all(answer.not_taken is None for answer in answers), answers
        return [record.event for answer in answers for record in answer.records]

    def configure(self, section: Section, content: object) -> Any:  # noqa: ANN401
        document = document_of(section, content)
        return self.send(c.Configure, section=section, document=document, digest=digest_of(document))


def plenty(_state: State, holdings: Mapping[str, Holdings], /) -> dict[str, tuple[Figures, ...]]:
    """A margin engine that finds everybody rich, for tests of what does not depend on it."""
    rich = Figures("", 1e9, 1e9, 1e9, 1e9, triggered=False, adjusted_equity=1e9, initial=0.0, maintenance=0.0)
    return {owner: (msgspec.structs.replace(rich, pool=owner),) for owner in holdings}


RICH = Rules(plenty, "rich")


def open_house(rules: Rules = RICH, journal: Any = None) -> Desk:  # noqa: ANN401 - any journal
    """A desk at a house with the venue above set up."""
    desk = Desk(House(journal or MemoryJournal(), rules))
    desk.configure(Section.ASSETS, ASSETS)
    desk.configure(Section.INSTRUMENTS, {one.instrument.symbol: one for one in CONTRACTS})
    desk.configure(Section.ACCOUNTS, ACCOUNTS)
    desk.configure(Section.RULEBOOK, RulebookTerms(name="test", digest=rules.digest))
    return desk
