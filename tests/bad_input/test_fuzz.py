"""Random damage to good documents: whatever is read, or refused, nothing but a refusal comes out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from crossmargin.account import Book
from crossmargin.errors import CrossmarginError
from crossmargin.margin import assess, assess_book
from crossmargin.sources import decode_accounts, decode_snapshot
from tests.bad_input.documents import accounts, snapshot
from tests.strategies.books import LATEST, rules

_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e-300, 1e300, -1e308, 5, "", "0", "-0", "1e400", "1e-400",
    "NaN", "-Infinity", "x", "USD", "BTC",
    "long", "isolated", "inverse", "quanto", "call", [], {}, [1], {"USD": "1"},
    "2026-02-05T08:00:00Z", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z", "2026-02-05T08:00:00+14:00", 2**70, "1" * 400,
)  # fmt: skip
_KEYS = (
    "margin_mode", "side", "pool", "leverage", "isolated_collateral", "accrued_funding", "contract", "rate", "wraps",
    "pegged_to", "observed_at", "expiry", "strike", "confidence", "multiplier", "settlement_asset", "quote_asset",
    "fixed_forward", "stable_price", "twap", "orders", "accrued", "inputs", "class", "mark_iv", "funding_rate",
)  # fmt: skip


def places(node: object, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        found.append((node, key))
        places(value, found)
    return found


def damage(document: dict[str, Any], rng: np.random.Generator) -> None:
    """One random change: a value replaced or removed, a key added, or a value copied from elsewhere."""
    spots = places(document, [])
    if not spots:
        return
    container, key = spots[int(rng.integers(len(spots)))]
    what = rng.random()
    if what < 0.15:
        del container[key]
    elif what < 0.35 and isinstance(container, dict):
        container[_KEYS[int(rng.integers(len(_KEYS)))]] = _VALUES[int(rng.integers(len(_VALUES)))]
    elif what < 0.5:
        other, name = spots[int(rng.integers(len(spots)))]
        if other is container or not isinstance(other[name], (dict, list)):
            container[key] = other[name] if not isinstance(other[name], (dict, list)) else None
    else:
        container[key] = _VALUES[int(rng.integers(len(_VALUES)))]


@pytest.mark.parametrize("seed", range(8))
def test_damaged_documents_are_refused_or_assessed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outcomes = {"refused": 0, "assessed": 0}
    for _ in range(120):
        held, market = accounts(), snapshot()
        order = {"instrument": "BTCUSDC", "quantity": "-1", "limit_price": "65000"}
        held["accounts"][0].update(orders=[order], accrued={"USDC": "1"})
        for _ in range(int(rng.integers(1, 4))):
            damage(held if rng.random() < 0.5 else market, rng)
        rulebook = rules(LATEST[int(rng.integers(len(LATEST)))])
        try:
            loaded = decode_accounts(json.dumps(held).encode())
            world = decode_snapshot(json.dumps(market).encode())
            book = assess_book(Book.from_accounts(loaded.accounts), world, rulebook)
            for row in book.rows():
                assert (row.equity is None) == (row.failure is not None)
                figures = (row.equity, row.initial_margin, row.maintenance_margin)
                assert all(one is None or np.isfinite(one) for one in figures)
            for account in loaded.accounts:
                assess(account, world, rulebook)
            outcomes["assessed"] += 1
        except CrossmarginError as error:
            outcomes["refused"] += bool(str(error))
    assert sum(outcomes.values()) == 120
    assert min(outcomes.values()) > 5


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_are_refused_or_read(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    good = json.dumps(accounts()).encode(), json.dumps(snapshot()).encode()
    refused = 0
    for _ in range(300):
        which = int(rng.integers(2))
        content = bytearray(good[which])
        for _ in range(int(rng.integers(1, 4))):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        content = content[: int(rng.integers(len(content)))] if rng.random() < 0.2 else content
        try:
            (decode_accounts if which == 0 else decode_snapshot)(bytes(content))
        except CrossmarginError:
            refused += 1
    assert refused > 200
