"""Accounts that are short, made from a seed, on two coins: options, a perpetual, futures, and what trading costs.

Sizes are lognormal, options mostly sold; the cash is set so that maintenance is missed by 3 to 15 %.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import sqrt
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from crossmargin.account import Account, Book, Position
from crossmargin.bench.market import coin_market
from crossmargin.instruments import InstrumentKind
from crossmargin.liquidation import Costs, Engine, Impact
from crossmargin.margin import assess_book
from crossmargin.sources import load_rulebook
from crossmargin.units import exact

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin import Rulebook
    from crossmargin.market import Listing, Snapshot

COINS: Final = ("BTC", "ETH")
CASH: Final = "USDC"
_PROBE: Final = Decimal(10_000)
_DAYS: Final = 365.0
# half spreads: of the price of a perpetual and a future, of an option's premium, and at least so much of its index
SPREAD: Final = {"perpetual": 0.0001, "future": 0.0003, "option": 0.02}
LEAST_SPREAD: Final = 0.0002
# a day's volume in units of the coin: of the perpetual, a future, all that is traded of one option
VOLUME: Final = {"BTC": (400_000.0, 4_000.0, 60.0), "ETH": (4_000_000.0, 40_000.0, 900.0)}
FACTOR: Final = 0.7  # of the square-root law
FEE: Final = 0.0004


def market() -> Snapshot:
    """BTC and ETH, all settled in dollars."""
    whole = coin_market(inverse=()).snapshot
    kept = {name: one for name, one in whole.listings.items() if one.underlying in COINS}
    return msgspec.structs.replace(whole, listings=kept)


def lots(snapshot: Snapshot) -> dict[str, Fraction]:
    """The smallest number of contracts that trade."""
    return {
        name: Fraction(1, 10 if one.kind == InstrumentKind.OPTION else 1000) for name, one in snapshot.listings.items()
    }


def impacts(snapshot: Snapshot) -> Costs:
    """What trading costs: the square-root law on a stated day's volume; an option's volatility is its delta's."""
    return Costs({name: _impact(listing) for name, listing in snapshot.listings.items()}, FEE)


def _impact(listing: Listing) -> Impact:
    mark, index = listing.mark_price or 0.0, listing.index_price or 0.0
    perpetual, future, option = VOLUME[listing.underlying]
    if listing.kind == InstrumentKind.OPTION:
        spread = max(SPREAD["option"] * mark, LEAST_SPREAD * index)
        daily = (listing.mark_iv or 0.6) / sqrt(_DAYS) * index * 0.5
        return Impact(spread, FACTOR * daily, option)
    daily = {"BTC": 0.5, "ETH": 0.65}[listing.underlying] / sqrt(_DAYS) * mark
    return Impact(SPREAD[listing.kind] * mark, FACTOR * daily, perpetual if listing.kind == "perpetual" else future)


def accounts(snapshot: Snapshot, rulebook: Rulebook, count: int, seed: int, positions: int = 50) -> list[Account]:
    """Accounts of so many positions, each short of maintenance by 3 to 15 %."""
    rng = np.random.default_rng(seed)
    drawn = [_drawn(snapshot, f"a{number}", positions, rng) for number in range(count)]
    return short(drawn, snapshot, rulebook, rng.uniform(0.03, 0.15, count))


def _drawn(snapshot: Snapshot, name: str, positions: int, rng: np.random.Generator) -> Account:
    listings = list(snapshot.listings.values())
    linear = [one for one in listings if one.kind != InstrumentKind.OPTION]
    options = [one for one in listings if one.kind == InstrumentKind.OPTION]
    few = min(len(linear), max(2, positions // 12))
    chosen = [linear[i] for i in rng.choice(len(linear), few, replace=False)]
    chosen += [options[i] for i in rng.choice(len(options), positions - few, replace=False)]
    return Account(id=name, balances={CASH: Decimal(0)}, positions=tuple(_position(one, rng) for one in chosen))


def _position(listing: Listing, rng: np.random.Generator) -> Position:
    option = listing.kind == InstrumentKind.OPTION
    coins = (1.0 if listing.underlying == "BTC" else 20.0) * rng.lognormal(1.0 if option else 2.0, 0.8)
    side = -1.0 if rng.random() < (0.6 if option else 0.5) else 1.0
    lot = 0.1 if option else 0.001
    quantity = exact(side * max(round(coins / lot), 1) * lot)
    entry = (listing.mark_price or 0.0) * (1 + 0.02 * rng.standard_normal())
    return Position(
        instrument=listing.symbol, quantity=round(quantity, 3), entry_price=None if option else exact(entry)
    )


def short(
    drawn: list[Account],
    snapshot: Snapshot,
    rulebook: Rulebook,
    by: npt.NDArray[np.float64],
    asset: str = CASH,
    digits: int = 2,
) -> list[Account]:
    """The same accounts with as much cash, of so many digits, as leaves them short by these shares of maintenance."""
    cash = np.zeros(len(drawn))
    for _ in range(12):
        held = [_with(one, exact(float(amount)), asset) for one, amount in zip(drawn, cash.tolist(), strict=True)]
        more = [
            _with(one, exact(float(amount)) + _PROBE, asset) for one, amount in zip(drawn, cash.tolist(), strict=True)
        ]
        gaps = [_gap(accounts, snapshot, rulebook, by) for accounts in (held, more)]
        cash -= gaps[0] * float(_PROBE) / (gaps[1] - gaps[0])
    held = [exact(round(amount, digits)) for amount in cash.tolist()]
    return [_with(one, amount, asset) for one, amount in zip(drawn, held, strict=True)]


def _gap(
    held: list[Account], snapshot: Snapshot, rulebook: Rulebook, by: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    report = assess_book(Book.from_accounts(held), snapshot, rulebook, max_quote_age_seconds=None)
    assert not report.failures, report.failures
    adjusted, required = (report.account_sum(c) for c in (report.unit_adjusted_maintenance, report.unit_maintenance))
    return np.asarray(adjusted - (1 - by) * required)


def _with(account: Account, amount: Decimal, asset: str) -> Account:
    return msgspec.structs.replace(account, balances={asset: amount})


def exactly(number: Decimal) -> Fraction:
    """An amount as a fraction."""
    return Fraction(number)


def cases(count: int, seed: int = 7, positions: int = 50) -> list[tuple[Engine, Costs]]:
    """So many accounts of so many positions under Deribit's portfolio margin, with what trading costs."""
    rulebook, snapshot = load_rulebook("deribit-portfolio"), market()
    made = accounts(snapshot, rulebook, count, seed, positions)
    costs, smallest = impacts(snapshot), lots(snapshot)
    return [(Engine(one, lambda _elapsed: snapshot, rulebook, lots=smallest), costs) for one in made]
