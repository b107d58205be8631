"""Accounts that come to a live book: laid out alone, then moved in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from crossmargin.account import Book
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.program.compact import compact
from crossmargin.margin.program.live_legs import LiveLegs
from crossmargin.margin.program.live_targets import extend, row_in
from crossmargin.margin.program.universe import PoolClass
from crossmargin.margin.resolve import ISOLATED

if TYPE_CHECKING:
    from crossmargin.account import Account
    from crossmargin.margin.program.compact import CompactBook
    from crossmargin.margin.program.live_state import LiveState
    from crossmargin.market import Listing

__all__ = ["add_account"]


def add_account(state: LiveState, account: Account) -> list[int]:
    """Add an account at the end, or in the place it has where it was refused then; return its pools, to be computed."""
    number = state.numbers.get(account.id)
    refused = None if number is None else state.without.get(number)
    if number is not None and (refused is None or refused.reason == FailureReason.DUPLICATE_ACCOUNT):
        message = "an account of this id is in the book: choose another"
        raise InputError(FailureReason.DUPLICATE_ACCOUNT, message, account=account.id)
    snapshot = msgspec.structs.replace(state.snapshot, listings=_named(state, account))
    book = compact(Book.from_accounts([account]), snapshot, state.rulebook, max_quote_age_seconds=None)
    if book.failures:
        failure = book.failures[0]
        raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
    classes = _welcome(state, book)
    account_class = state.universe.account_classes.index(account.class_ or "")
    state.version += 1
    if number is None:
        number = state.pools.add_account(account_class)
        state.ids.append(account.id)
        state.numbers[account.id] = number
    else:
        state.pools.account_class[number] = account_class
        del state.without[number], state.failures[number]
    legs = LiveLegs(book.legs, by_side=state.legs.by_side)
    return [_moved_in(state, book, legs, number, pool, classes) for pool in range(len(book.legs))]


def _named(state: LiveState, account: Account) -> dict[str, Listing]:
    """Return the listings that an account names: the rest of a snapshot would only cost time."""
    names = {one.instrument for one in account.positions} | {one.instrument for one in account.orders}
    known = {**state.universe.listings, **state.snapshot.listings}
    return {name: known[name] for name in names if name in known}


def _welcome(state: LiveState, book: CompactBook) -> list[PoolClass]:
    """Let the universe know all that an account's own book knows; return that book's classes as they are here."""
    theirs, rows, keys = book.universe, book.universe.rows, list(book.universe.place)
    names = tuple(dict.fromkeys((*state.universe.account_classes, *theirs.account_classes)))
    classes = [
        PoolClass(reporting, names.index(theirs.account_classes[code]), isolated)
        for reporting, code, isolated in theirs.pools
    ]
    pairs = [(keys[rows.contract[row]], classes[rows.pool_class[row]]) for row in np.unique(book.legs.row).tolist()]
    pairs += [(keys[0], classes[n]) for n in np.unique(book.legs.pool_class).tolist()]
    place, here = state.universe.place, state.classes
    if any(key not in place or pool not in here or state.rows[here[pool], place[key]] < 0 for key, pool in pairs):
        listings = {name: one for name, one in theirs.listings.items() if name not in place}
        extend(state, pairs, listings=listings, assets=theirs.assets, account_classes=names)
    return classes


def _moved_in(
    state: LiveState, book: CompactBook, legs: LiveLegs, account: int, theirs: int, classes: list[PoolClass]
) -> int:
    key = int(book.pool_key[theirs])
    number = state.classes[classes[int(book.legs.pool_class[theirs])]]
    pool = state.open(account, _own_key(state, key, book.pool_labels[key]), number)
    keys, rows = list(book.universe.place), book.universe.rows
    for place, row in enumerate(legs.rows(theirs).tolist()):
        own = row_in(state, pool, keys[rows.contract[row]])
        state.legs.put(pool, own, legs.side(theirs, place), legs.read(theirs, place), keep=True)
        state.pools.mask[pool] |= state.bits[own]
    state.pools.put_inputs(pool, book.legs.inputs_of(slice(theirs, theirs + 1))[:, 0])
    return pool


def _own_key(state: LiveState, key: int, label: str) -> int:
    """Return the key of a pool here by its name; an isolated position's is always a new one."""
    if key < ISOLATED:
        known = [one for one, name in state.labels.items() if name == label and one < ISOLATED]
        if known:
            return known[0]
    least = ISOLATED if key >= ISOLATED else 1
    own = max((one for one in state.labels if (one >= ISOLATED) == (key >= ISOLATED)), default=least - 1) + 1
    state.labels[max(own, least)] = label
    return max(own, least)
