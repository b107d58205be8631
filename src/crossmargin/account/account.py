"""One account as it arrives: exact decimals, no prices, no rulebook."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

_ZERO = Decimal(0)


class MarginMode(StrEnum):
    """How an account or a position is backed: alone, from the shared pool, or by net portfolio risk."""

    ISOLATED = "isolated"
    CROSS = "cross"
    PORTFOLIO = "portfolio"


class PositionSide(StrEnum):
    """In hedge mode, which of the two opposite positions in one instrument this is."""

    LONG = "long"
    SHORT = "short"


class Position(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Signed contracts of one instrument (+ long). Its key is (instrument, side, pool).

    `entry_price` is needed by margined contracts (their P&L); a premium-paid option needs none.
    `accrued_funding` is in the settlement asset, + received.
    """

    instrument: str
    quantity: Decimal
    entry_price: Decimal | None = None
    side: PositionSide | None = None
    pool: str | None = None
    margin_mode: MarginMode | None = None
    isolated_collateral: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    leverage: Decimal | None = None
    accrued_funding: Decimal = _ZERO


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An open order: signed contracts (+ buys) at a limit price. A reduce-only one is nothing to margin."""

    instrument: str
    quantity: Decimal
    limit_price: Decimal
    reduce_only: bool = False


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One account.

    Parameters
    ----------
    balances
        Realised balance per asset; negative means borrowed.
    accrued
        Interest and funding per asset not yet in the balance, + received.
    class_
        The account's class, for rulebooks whose parameters vary by class (``class`` on the wire).
    inputs
        Named figures that only the venue knows (a market-maker-protection charge) and that a rulebook declares.
        Of several pools one has them: the first shared one by name, else the first isolated position's.
    reported
        What the venue itself reported, for reconciliation. Never mixed with computed figures.
    """

    id: str
    margin_mode: MarginMode = MarginMode.CROSS
    class_: str | None = msgspec.field(default=None, name="class")
    balances: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    accrued: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    positions: tuple[Position, ...] = ()
    orders: tuple[Order, ...] = ()
    being_liquidated_since: datetime | None = None
    inputs: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    reported: Mapping[str, Any] | None = None
