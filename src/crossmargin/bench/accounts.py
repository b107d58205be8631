"""Accounts of the benchmark, made from a seed as columns, and laid out some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.account import Account, Book, Position
from crossmargin.account.book import BalanceColumns, OrderColumns, PositionColumns
from crossmargin.instruments import InstrumentKind
from crossmargin.margin.program.compact import compact_books
from crossmargin.units import exact

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.bench.market import Market
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.compact import CompactBook

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["LEGS", "accounts_of", "compact_accounts", "first_book", "make_book"]

LEGS: Final = 20
_AT_A_TIME: Final = 200_000  # accounts that are made together
_SPREAD: Final = 0.8  # of the logarithm of how many legs an account has
_MONEY: Final = {"BTC": 2.0, "ETH": 60.0}  # what an account has of a coin; of a dollar coin:
_DOLLARS: Final = 250_000.0


def make_book(market: Market, accounts: int, seed: int, legs: float = LEGS, first: int = 0) -> Book:
    """Return accounts named from `first` on, with about so many positions each, in some of the market's underlyings.

    How many is lognormal; which underlyings are drawn by their share of accounts, which contracts with the first of a
    list the most popular; no account holds a contract twice.
    """
    rng = np.random.default_rng(seed)
    fewer = min(1.0, legs / sum(market.held_by))  # no more underlyings than legs
    held = rng.random((accounts, len(market.symbols))) < np.asarray(market.held_by) * fewer
    held[~held.any(axis=1), 0] = True
    account, symbol = _drawn(market, held, legs, rng)
    return Book(
        account_ids=tuple(f"a{number}" for number in range(first, first + accounts)),
        account_class=np.zeros(accounts, dtype=np.int64),
        classes=("",),
        symbols=tuple(name for some in market.symbols for name in some),
        assets=tuple(dict.fromkeys(market.settled_in)),
        pools=("",),
        positions=_positions(market, account, symbol, rng),
        balances=_balances(market, held),
        orders=OrderColumns(*(np.zeros(0, dtype=kind) for kind in (np.int64, np.int64, float, float, bool))),
        inputs={},
        failures={},
    )


def _drawn(market: Market, held: npt.NDArray[np.bool_], legs: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return account and contract of each position: one in each underlying held, the others spread over them."""
    owner, underlying = np.nonzero(held)
    groups = held.sum(axis=1)
    listed = np.asarray([len(some) for some in market.symbols])
    offset = np.cumsum(listed) - listed
    # what is drawn twice counts once: a little more is drawn
    more = np.maximum(legs * 1.07 - groups.mean(), 0.0) * np.exp(rng.normal(-(_SPREAD**2) / 2, _SPREAD, held.shape[0]))
    others = np.repeat(np.arange(held.shape[0]), np.minimum(np.rint(more), listed.sum()).astype(np.int64))
    group = (np.cumsum(groups) - groups)[others] + (rng.random(others.shape[0]) * groups[others]).astype(np.int64)
    of = np.concatenate([np.arange(owner.shape[0]), group])
    rank = (rng.random(of.shape[0]) ** 1.6 * listed[underlying[of]]).astype(np.int64)
    key = np.sort(owner[of] * listed.sum() + offset[underlying[of]] + rank)
    key = key[np.flatnonzero(np.diff(key, prepend=-1))]
    return key // listed.sum(), key % listed.sum()


def _positions(market: Market, account: Ints, symbol: Ints, rng: np.random.Generator) -> PositionColumns:
    """Return positions of some thousand dollars each, long or short; margined ones entered near the mark."""
    listings = [market.snapshot.listings[name] for some in market.symbols for name in some]
    margined = np.asarray([listing.kind != InstrumentKind.OPTION for listing in listings])
    mark = np.asarray([listing.mark_price for listing in listings], dtype=np.float64)
    dollars = [
        listing.multiplier if listing.contract == "inverse" and listing.kind != "option"
        else listing.multiplier * (listing.index_price or 0.0)
        for listing in listings
    ]  # fmt: skip
    unit = 10.0 ** np.rint(np.log10(1_000.0 / np.asarray(dollars)))  # contracts of about a thousand dollars
    count = account.shape[0]
    quantity = rng.integers(1, 10, count) * rng.choice([-1.0, 1.0], count) * unit[symbol]
    entry = np.where(margined[symbol], mark[symbol] * (1 + 0.03 * np.clip(rng.standard_normal(count), -3, 3)), np.nan)
    zeros = np.zeros(count, dtype=np.int64)
    return PositionColumns(
        account=account, symbol=symbol, quantity=quantity, entry_price=entry, side=zeros, pool=zeros,
        isolated=np.zeros(count, dtype=bool), leverage=np.full(count, np.nan), accrued_funding=np.zeros(count),
    )  # fmt: skip


def _balances(market: Market, held: npt.NDArray[np.bool_]) -> BalanceColumns:
    """Return an amount of every asset that the account's contracts pay in."""
    assets = list(dict.fromkeys(market.settled_in))
    code = np.asarray([assets.index(name) for name in market.settled_in])
    used = np.zeros((held.shape[0], len(assets)), dtype=bool)
    for underlying, asset in enumerate(code.tolist()):
        used[:, asset] |= held[:, underlying]
    account, asset = np.nonzero(used)
    amount = np.asarray([_MONEY.get(name, _DOLLARS) for name in assets])[asset]
    return BalanceColumns(account, asset, amount, np.zeros(account.shape[0]), np.full(account.shape[0], -1))


def first_book(market: Market, accounts: int, legs: float = LEGS, seed: int = 1) -> Book:
    """Return the first accounts of those that :func:`compact_accounts` lays out, as many as it takes together."""
    return make_book(market, min(_AT_A_TIME, accounts), seed, legs)


def compact_accounts(
    market: Market, rulebook: Rulebook, accounts: int, legs: float = LEGS, seed: int = 1
) -> CompactBook:
    """Return so many accounts laid out for a rulebook; the books on the way are dropped one by one."""
    books = (
        make_book(market, min(_AT_A_TIME, accounts - first), seed + first, legs, first)
        for first in range(0, accounts, _AT_A_TIME)
    )
    return compact_books(books, market.snapshot, rulebook)


def accounts_of(book: Book, count: int) -> list[Account]:
    """Return the first accounts of a book as values, as a file would give them."""
    p, b = book.positions, book.balances
    first, last = (np.searchsorted(p.account, np.arange(count) + n).tolist() for n in (0, 1))
    low, high = (np.searchsorted(b.account, np.arange(count) + n).tolist() for n in (0, 1))
    return [
        Account(
            id=book.account_ids[i],
            positions=tuple(_position(book, row) for row in range(first[i], last[i])),
            balances={book.assets[b.asset[row]]: exact(float(b.amount[row])) for row in range(low[i], high[i])},
        )
        for i in range(count)
    ]


def _position(book: Book, row: int) -> Position:
    p = book.positions
    entry = float(p.entry_price[row])
    return Position(
        instrument=book.symbols[p.symbol[row]],
        quantity=exact(float(p.quantity[row])),
        entry_price=None if np.isnan(entry) else exact(entry),
    )
