"""Hyperliquid's recorded positions as accounts and snapshots of the interchange.

Collateral is not recorded. It is inferred from one liquidation price: the balance with which the rulebook's own trigger
just holds there. Marks of one moment differ a little from account to account (they were polled one after another), so
every account has its own listings; the underlying, by which the rulebook knows its tiers, is the coin's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from crossmargin.account import Account, Book, MarginMode, Position
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import Rulebook
from crossmargin.margin.assess import assess_resolved
from crossmargin.margin.resolve import resolve
from crossmargin.margin.resolved import Resolved
from crossmargin.market import AssetQuote, Listing, Snapshot

Floats = npt.NDArray[np.float64]
COINS = ("BTC", "ETH", "SOL")
MAINTENANCE_RATE = {"BTC": 1 / 80, "ETH": 1 / 50, "SOL": 1 / 40}  # first tier, as documented; only to tell isolated

# An isolated position holds its initial margin, entry x quantity / leverage, and nothing moves its liquidation price
# but funding: a fraction of a percent in these weeks.
_ISOLATED_WITHIN = 3e-3


@dataclass(frozen=True)
class Held:
    """One recorded position; `liquidation_price` is None where none was reported."""

    coin: str
    quantity: float
    entry_price: float
    mark_price: float
    leverage: int
    liquidation_price: float | None

    @property
    def side(self) -> int:
        return 1 if self.quantity > 0 else -1

    @property
    def isolated(self) -> bool:
        """Whether its own margin alone explains its liquidation price: said without a look at the others."""
        if self.coin not in MAINTENANCE_RATE or self.liquidation_price is None:
            return False
        own = self.entry_price * (1 - self.side / self.leverage) / (1 - MAINTENANCE_RATE[self.coin] * self.side)
        return own > 0 and abs(self.liquidation_price / own - 1) < _ISOLATED_WITHIN

    @property
    def distance(self) -> float:
        """How far liquidation is from the mark, 0 to 1: the farther, the less rounding in what follows from it."""
        assert self.liquidation_price is not None
        return abs(self.mark_price - self.liquidation_price) / (self.mark_price + self.liquidation_price)


@dataclass(frozen=True)
class Recorded:
    """One account at one moment; `checked` are its cross positions in `COINS` with a liquidation price."""

    account: int
    positions: tuple[Held, ...]
    checked: tuple[Held, ...] = field(default=())

    def symbol(self, coin: str) -> str:
        return f"{coin}/{self.account}"

    @property
    def reference(self) -> Held:
        """The position whose liquidation price tells the collateral."""
        return max(self.checked, key=lambda held: held.distance)

    @property
    def others(self) -> tuple[Held, ...]:
        return tuple(held for held in self.checked if held is not self.reference)

    def as_account(self, collateral: float) -> Account:
        return Account(
            id=str(self.account),
            margin_mode=MarginMode.CROSS,
            balances={"USDC": Decimal(repr(collateral))},
            positions=tuple(self._position(held) for held in self.positions),
        )

    def _position(self, held: Held) -> Position:
        alone = held.isolated
        margin = held.entry_price * abs(held.quantity) / held.leverage
        return Position(
            instrument=self.symbol(held.coin),
            quantity=Decimal(repr(held.quantity)),
            entry_price=Decimal(repr(held.entry_price)),
            leverage=Decimal(held.leverage),
            margin_mode=MarginMode.ISOLATED if alone else None,
            isolated_collateral={"USDC": Decimal(repr(margin))} if alone else {},
        )


def read(shared: Path) -> dict[datetime, list[Recorded]]:
    """Every account by moment; numbers are the shortest decimals that round to what was stored in 32 bits."""
    numbers = ("size", "entry_px", "mark_px", "liq_px")
    frame = pl.read_parquet(shared / "data" / "hyperliquid_positions_2026_02.parquet")
    frame = frame.with_columns(pl.col(name).cast(pl.String).cast(pl.Float64) for name in numbers)
    columns = ("ts", "account_id", "coin", "size", "entry_px", "mark_px", "leverage_setting", "liq_px")
    found: dict[datetime, list[Recorded]] = {}
    rows = frame.sort("ts", "account_id").select(columns).iter_rows()
    for (moment, account), group in groupby(rows, key=lambda row: row[:2]):
        positions = tuple(Held(*row[2:]) for row in group)
        checked = (held for held in positions if held.coin in COINS and held.liquidation_price is not None)
        recorded = Recorded(account, positions, tuple(checked))
        found.setdefault(moment.replace(tzinfo=UTC), []).append(recorded)
    return found


def without_isolated(recorded: Recorded) -> Recorded:
    return Recorded(recorded.account, recorded.positions, tuple(held for held in recorded.checked if not held.isolated))


@dataclass
class Market:
    """One moment's accounts before the rulebook: resolved once, then assessed under moved marks."""

    as_of: datetime
    accounts: Sequence[Recorded]
    rulebook: Rulebook
    snapshot: Snapshot = field(init=False)
    resolved: Resolved = field(init=False)

    def __post_init__(self) -> None:
        listings = (
            _listing(recorded.symbol(held.coin), held) for recorded in self.accounts for held in recorded.positions
        )
        self.snapshot = Snapshot(
            as_of=self.as_of,
            reporting_asset="USD",
            assets={"USDC": AssetQuote(price=1.0, pegged_to="USD")},
            listings={listing.symbol: listing for listing in listings},
        )
        self._hold(np.zeros(len(self.accounts)))

    def _hold(self, collateral: Floats) -> None:
        amounts = zip(self.accounts, collateral.tolist(), strict=True)
        book = Book.from_accounts([recorded.as_account(amount) for recorded, amount in amounts])
        self.resolved = resolve(book, self.snapshot, self.rulebook)

    def headroom(self, moved: Mapping[str, float]) -> Floats:
        """Return each account's shared pool's adjusted equity minus maintenance [accounts], some marks moved."""
        contracts = self.resolved.contracts
        row_of = {name: row for row, name in enumerate(self.resolved.names.symbols)}
        mark = contracts.mark.copy()
        mark[[row_of[name] for name in moved]] = list(moved.values())
        contracts = replace(contracts, mark=mark, index=mark, forward=mark)
        report = assess_resolved(replace(self.resolved, contracts=contracts), self.rulebook)
        assert not report.failures
        units = report.resolved.units
        cross = np.asarray([label == "cross" for label in units.label])
        assert np.array_equal(units.account[cross], np.arange(len(self.accounts)))
        return np.asarray((report.unit_adjusted_maintenance - report.unit_maintenance)[cross])

    def infer_collateral(self) -> None:
        """Give every account the balance with which the trigger just holds at its reference's liquidation price."""
        at = {
            recorded.symbol(recorded.reference.coin): recorded.reference.liquidation_price for recorded in self.accounts
        }
        self._hold(-self.headroom({symbol: price for symbol, price in at.items() if price is not None}))

    def liquidation_prices(self, symbols: Sequence[str | None]) -> Floats:
        """Return for each account the price of one symbol at which its headroom is 0 [accounts], NaN for None.

        By the secant rule from the mark; headroom is piecewise linear (tiers), so a few steps are exact.
        """
        marks = np.asarray([np.nan if name is None else self.snapshot.listings[name].mark_price for name in symbols])
        names = [(row, name) for row, name in enumerate(symbols) if name is not None]
        low, high = marks, marks * 1.001
        at_low = self.headroom({name: low[row] for row, name in names})
        for _ in range(12):
            at_high = self.headroom({name: high[row] for row, name in names})
            with np.errstate(divide="ignore", invalid="ignore"):
                step = at_high * (high - low) / (at_high - at_low)
            step = np.where(np.isfinite(step), step, 0.0)
            low, at_low, high = high, at_high, np.maximum(high - step, 1e-6 * marks)
            if np.nanmax(np.abs(high / low - 1), initial=0.0) < 1e-12:
                break
        return high


def _listing(symbol: str, held: Held) -> Listing:
    return Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        underlying=held.coin,
        quote_asset="USDC",
        settlement_asset="USDC",
        mark_price=held.mark_price,
        index_price=held.mark_price,
    )
