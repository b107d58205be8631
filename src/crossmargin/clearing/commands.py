"""What a clearing house can be asked: one struct for each command, named by `(source, sequence)`.

Amounts, quantities and prices are integers at the scales of the configuration (`scales.to_units` reads decimal
strings). `as_of` is the time of the command, UTC; it never runs backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias

import msgspec


class Named(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What every command says: who sent it, the how-manieth of that source it is (from 1), and when."""

    source: str
    sequence: int
    as_of: datetime


class Configure(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="configure"):
    """Set up a section by a document, named by its hash (`configuration.digest_of`)."""

    section: str
    document: str
    digest: str


class Deposit(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="deposit"):
    """Bring `amount` > 0 of an asset."""

    owner: str
    asset: str
    amount: int


class Withdraw(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="withdraw"):
    """Take `amount` > 0 of an asset out."""

    owner: str
    asset: str
    amount: int


class Transfer(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="transfer"):
    """Take `amount` > 0 of an asset from one pool of an account to another of the same account."""

    owner: str
    target: str
    asset: str
    amount: int


class Trade(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trade"):
    """A trade of `quantity` > 0 at `price`. Fees are in the settlement asset; negative is a rebate.

    `buyer_limit`, `seller_limit`: the open order, by its limit price, that the side is a fill of.
    """

    buyer: str
    seller: str
    instrument: str
    quantity: int
    price: int
    buyer_fee: int = 0
    seller_fee: int = 0
    buyer_limit: int | None = None
    seller_limit: int | None = None
    case: str | None = None


class PlaceOrder(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="order"):
    """Open an order: signed contracts (+ buys) at a limit price."""

    owner: str
    instrument: str
    quantity: int
    limit_price: int


class Cancel(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cancel"):
    """Take back signed contracts of an open order."""

    owner: str
    instrument: str
    quantity: int
    limit_price: int


class Quote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A price as an integer at its scale: of an asset, or an instrument's mark.

    `figures` are the other fields of a snapshot's row (index_price, mark_iv, ...) as decimal strings; they decide what
    is required and move no money. `interval` is the half-width of a raw quote's confidence interval, in units of the
    price, which guards alone read. `quality` says what the guards made of it.
    """

    price: int
    observed_at: datetime | None = None
    figures: Mapping[str, str] = msgspec.field(default_factory=dict)
    quality: str = "as given"
    interval: int | None = None


INSTRUMENT_FIGURES: Final = frozenset(
    {
        *("index_price", "forward_price", "fixed_forward", "stable_price", "twap", "max_price", "delivery_price"),
        *("rate", "mark_iv", "bid", "ask", "funding_rate", "open_interest", "skew", "volume", "confidence"),
    }
)
ASSET_FIGURES: Final = frozenset({"stable_price", "twap", "deposits", "borrows", "confidence"})


class Prices(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="prices"):
    """Raw quotes: by feed, then by asset or instrument."""

    quotes: Mapping[str, Mapping[str, Quote]]


class Accrue(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="accrue"):
    """Move an index: funding of an instrument at a mark, or interest of ``borrow:ASSET`` or ``lend:ASSET``.

    `rate` is a signed decimal fraction of value (funding) or balance (interest), for the time since the last one.
    """

    index: str
    rate: str
    mark: int | None = None


class Settle(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="settle"):
    """Pay the unrealised P&L of everybody's position in an instrument into their wallets, at a price."""

    instrument: str
    price: int


class Expire(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="expire"):
    """End a contract at its settlement price."""

    instrument: str
    price: int


class Bid(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="bid"):
    """Bid on an open case: decimal strings of a share in (0, 1] and a limit, and the last step the bidder has seen."""

    case: str
    bidder: str
    share: str
    limit: str
    step: int


class Tick(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tick"):
    """Let time pass."""


class StressAll(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stress"):
    """Look at every account in every scenario of the rulebook: what defaults would leave uncovered."""


Command: TypeAlias = (
    Configure | Deposit | Withdraw | Transfer | Trade | PlaceOrder | Cancel | Prices | Accrue | Settle | Expire
    | Bid | Tick | StressAll
)  # fmt: skip
