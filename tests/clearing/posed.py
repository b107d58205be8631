"""A house posed as a published case says: scales of many digits, prices, and balances as they stood."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from crossmargin import Snapshot
from crossmargin.clearing import House, MemoryJournal, Outside, rules_with_procedure
from crossmargin.clearing import commands as c
from crossmargin.clearing.bridge import snapshot_of
from crossmargin.clearing.commands import ASSET_FIGURES, INSTRUMENT_FIGURES
from crossmargin.clearing.configuration import Holder, RulebookTerms, Section
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.clearing.events import Event, Posted, Record
from crossmargin.clearing.ledger import Row
from crossmargin.clearing.procedure.staging import opened
from crossmargin.clearing.procedure.view import Setting
from crossmargin.clearing.records import encode, make_batch
from crossmargin.clearing.state import State, fold
from crossmargin.instruments import Instrument
from crossmargin.margin import Rulebook
from tests.clearing.venue import Desk

DIGITS = 18
PRICE_DIGITS = 15


def units(number: object, digits: int = DIGITS) -> int:
    """A number at a scale, to the nearest unit."""
    exact = Fraction(number) if isinstance(number, Fraction) else Fraction(Decimal(repr(number)))
    scaled: Fraction = exact * 10**digits
    return round(scaled)


class Posed:
    """A house with a market, accounts and opening balances; `records` are what followed."""

    def __init__(
        self,
        rulebook: Rulebook,
        market: Snapshot,
        outside: Outside,
        owners: tuple[str, ...],
        *,
        quantity_digits: Mapping[str, int] | None = None,
        digits: int = DIGITS,
        holder: Mapping[str, Holder] | None = None,
        feeds: int = 1,
    ) -> None:
        self.rulebook, self.market, self.outside = rulebook, market, outside
        self.feeds = [f"feed {number}" for number in range(feeds)]  # a rulebook may want several that agree
        self.rules = rules_with_procedure(rulebook, outside)
        self.journal = MemoryJournal()
        self.desk = Desk(House(self.journal, self.rules))
        self.desk.as_of = market.as_of - timedelta(seconds=10)
        self.desk.configure(
            Section.ASSETS, {name: Asset(digits=digits, price_digits=PRICE_DIGITS) for name in market.assets}
        )
        lots = quantity_digits or {}
        listed = {
            name: Contract(
                instrument=Instrument(**{key: getattr(one, key) for key in Instrument.__struct_fields__}),
                quantity_digits=lots.get(name, DIGITS),
                price_digits=PRICE_DIGITS,
            )
            for name, one in market.listings.items()
        }
        self.desk.configure(Section.INSTRUMENTS, listed)
        self.desk.configure(Section.ACCOUNTS, {owner: (holder or {}).get(owner, Holder()) for owner in owners})
        terms = RulebookTerms(name="posed", digest=self.rules.digest, reporting_asset=market.reporting_asset)
        self.desk.configure(Section.RULEBOOK, terms)
        self.records: list[Record] = []

    @property
    def state(self) -> State:
        return self.desk.house.state

    def open(self, rows: list[Row], *, in_case: str | None = None) -> None:
        """Let balances stand as they did, and a case that runs already: records written into the journal by hand."""
        others: list[Row] = [("world", purse, asset, -amount) for _, purse, asset, amount in rows]
        self._write([Posted("opening", None, tuple(row for row in rows + others if row[3]))], 1)
        if in_case is not None:
            setting = Setting(self.state, snapshot_of(self.state), self.rulebook, self.outside)
            self._write(opened(setting, in_case, "it is being liquidated"), 2)

    def _write(self, events: list[Event], sequence: int) -> None:
        as_of = self.desk.as_of
        first = self.state.number + 1
        kept = [Record(first + i, "opening", sequence, as_of, "", "", event) for i, event in enumerate(events)]
        lines = [encode(record) for record in kept]
        self.journal.append([make_batch(self.desk.house.head, first, lines, {"opening": sequence})])
        self.desk = Desk(House(self.journal, self.rules))
        self.desk.as_of = as_of

    def quote(self, market: Snapshot | None = None) -> list[Any]:
        """Send the market's prices with its figures, and return the events that followed."""
        market = market or self.market
        quotes = {name: _quote(one, one.price, ASSET_FIGURES) for name, one in market.assets.items()}
        quotes |= {name: _quote(one, one.mark_price, INSTRUMENT_FIGURES) for name, one in market.listings.items()}
        return self.send(c.Prices, quotes=dict.fromkeys(self.feeds, quotes))

    def send(self, kind: type, **fields: Any) -> list[Any]:  # noqa: ANN401 - events
        answer = self.desk.house.handle(kind(**self.desk.named(), **fields))
        assert answer.not_taken is None, answer.not_taken
        self.records += answer.records
        return [record.event for record in answer.records]

    def everything(self) -> list[Record]:
        """Every record from the first."""
        decoder = msgspec.json.Decoder(Record)
        return [record for batch in self.journal.batches() for record in decoder.decode_lines(batch.records)]

    def until(self, number: int) -> State:
        """The state as it stood after a record."""
        state = State()
        for record in self.everything():
            if record.number <= number:
                fold(state, record)
        return state


def _quote(row: Any, price: float | None, known: frozenset[str]) -> c.Quote:  # noqa: ANN401 - a row of the market
    figures = {}
    for key in known:
        stated = getattr(row, key, None)
        if isinstance(stated, int | float):
            figures[key] = repr(float(stated)) if abs(stated) < 1e30 else "1e30"
    return (
        c.Quote(price=units(price), figures=figures)
        if price is None
        else c.Quote(price=units(float(price), PRICE_DIGITS), figures=figures)
    )
