"""What a bankruptcy costs the machine where thousands hold the other side: from the price to the closed case."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.clearing_parts import Feed, percentile, plenty, shown, timed
from crossmargin import load_rulebook
from crossmargin.clearing import House, MemoryJournal, Rules
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, RulebookTerms, Section
from crossmargin.clearing.contracts import Asset
from crossmargin.clearing.events import Posted, Stage, Staged
from crossmargin.clearing.procedure import Outside, rules_with_procedure
from crossmargin.clearing.rules import middle_quotes

if TYPE_CHECKING:
    from crossmargin.clearing.house import Answer

BANKRUPT = "alice"
BOUGHT, FALLEN = 60_000, 30_000
EACH = 100  # thousandths of a contract that each of the others has sold
DEPOSIT = 1_500 * 10**6  # of alice for each of them: gone at 45,000


@dataclass(frozen=True, slots=True)
class Loss:
    """How a loss is borne, under which rulebook; `cause` is that of the postings that make it."""

    name: str
    rulebook: str
    cause: str


LOSSES = (
    Loss("auto-deleveraging in a queue", "okx-portfolio", "waterfall: adl"),
    Loss("auto-deleveraging to one leverage", "reference", "waterfall: adl"),
    Loss("a loss shared by deposits", "derive-portfolio", "waterfall: deposits"),
)


def losses(sizes: tuple[int, ...]) -> None:
    """Time each way for some numbers of accounts on the other side."""
    for loss in LOSSES:
        for others in sizes:
            _print(loss, others, *_closed(loss, others))


def _print(loss: Loss, others: int, seconds: float, answer: Answer) -> None:
    events = [record.event for record in answer.records]
    assert any(isinstance(one, Staged) and one.stage == Stage.CLOSED for one in events), "the case is not closed"
    bear = sum(isinstance(one, Posted) and one.cause == loss.cause for one in events)
    assert bear > others // 3, f"only {bear} of {others} bear the loss"
    name = f"{loss.name} ({loss.rulebook}): {others:,} on the other side, {bear:,} bear it"
    beside = f"{len(events):,} records, {1e6 * seconds / others:,.0f} us for each on the other side"
    shown(name, [1e3 * seconds], "ms to closed", beside)


def fills(rulebook: str, sizes: tuple[int, ...], count: int) -> None:
    """Time fills of a house with a procedure: judged, tried on a draft, looked at by the bands, kept in memory."""
    for others in sizes:
        made, feed = _house(rulebook, others)
        took = []
        for n in range(count):
            names = {"buyer": f"user{n % others}", "seller": "book", "instrument": "BTC-PERP"}
            trade = c.Trade(**feed.named(), **names, quantity=1, price=BOUGHT * 10)
            took.append(1e6 * timed(lambda: made.handle(trade)))  # noqa: B023 - called at once
        name = f"fill -> requirement and the procedure's bands; {rulebook}, {others:,} accounts"
        shown(name, took, "us p50", f"p99 {percentile(took):,.0f}")


def _closed(loss: Loss, others: int) -> tuple[float, Answer]:
    made, feed = _house(loss.rulebook, others)
    gc.collect()
    begun = time.perf_counter()
    answer = made.handle(_prices(feed, FALLEN))
    return time.perf_counter() - begun, answer


def _house(rulebook: str, others: int) -> tuple[House, Feed]:
    """A house in which everybody has sold to one."""
    rules = rules_with_procedure(load_rulebook(rulebook), Outside(taker="book"), guard=middle_quotes)
    feed, journal = Feed(1), MemoryJournal()
    quiet = House(journal, Rules(plenty, rules.digest))  # the same house, by whom nobody is judged
    quiet.handle_all([*_market(feed, others, rules.digest), *_sold(feed, others)])
    made = House(journal, rules)
    made.handle(_prices(feed, BOUGHT))
    return made, feed


def _market(feed: Feed, others: int, digest: str) -> list[c.Command]:
    names = (BANKRUPT, *(f"user{n}" for n in range(others)))
    assets = {"USDC": Asset(digits=6), "BTC": Asset(digits=8, price_digits=2)}
    amounts = (others * DEPOSIT, *(10**9 * (3 + n % 17) for n in range(others)))
    return [
        feed.configure(Section.ASSETS, assets),
        feed.configure(Section.INSTRUMENTS, {"BTC-PERP": feed.contracts["BTC-PERP"]}),
        feed.configure(Section.ACCOUNTS, {name: Holder() for name in names}),
        feed.configure(Section.RULEBOOK, RulebookTerms(name="bench", digest=digest)),
        *(
            c.Deposit(**feed.named(), owner=name, asset="USDC", amount=amount)
            for name, amount in zip(names, amounts, strict=True)
        ),
    ]


def _sold(feed: Feed, others: int) -> list[c.Command]:
    price = BOUGHT * 10
    return [
        c.Trade(**feed.named(), buyer=BANKRUPT, seller=f"user{n}", instrument="BTC-PERP", quantity=EACH, price=price)
        for n in range(others)
    ]


def _prices(feed: Feed, price: int) -> c.Command:
    quotes = {
        "USDC": c.Quote(price=10**8), "BTC": c.Quote(price=price * 100), "BTC-PERP": c.Quote(price=price * 10),
    }  # fmt: skip
    return c.Prices(**feed.named(), quotes={"feed": quotes})
