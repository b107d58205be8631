"""Accounts, markets and their parts as Hypothesis draws them: plausible, consistent, and small enough to read.

Marks of options come from Black-76 at the drawn vol and forward, so that an engine that reprices finds no gap.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from crossmargin.account import Account, MarginMode, Order, Position, PositionSide
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Confidence, Listing, Snapshot
from crossmargin.pricing import price
from crossmargin.units import years_between

AS_OF = datetime(2026, 2, 5, 8, 0, tzinfo=UTC)
INDEX = {"BTC": 100_000.0, "ETH": 3_200.0, "SOL": 140.0}
STABLES = ("USDC", "USDT")
EXPIRY_DAYS = (1, 7, 50, 141)

kinds = st.sampled_from([InstrumentKind.PERPETUAL, InstrumentKind.FUTURE, InstrumentKind.OPTION])
underlyings = st.sampled_from(sorted(INDEX))
ids = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


def decimals(low: str, high: str, places: int = 4) -> st.SearchStrategy[Decimal]:
    """Exact decimals within bounds, at most so many places."""
    return st.decimals(Decimal(low), Decimal(high), places=places, allow_nan=False, allow_infinity=False)


@st.composite
def listings(draw: st.DrawFn, spots: Mapping[str, float] = INDEX) -> Listing:
    """One instrument with consistent quotes: linear or inverse perpetual, future or European option."""
    base, kind = draw(underlyings), draw(kinds)
    inverse = draw(st.booleans())
    index = spots[base]
    common: dict[str, Any] = {
        "kind": kind,
        "underlying": base,
        "quote_asset": "USD",
        "settlement_asset": base if inverse else draw(st.sampled_from(STABLES)),
        "contract": ContractKind.INVERSE if inverse else ContractKind.LINEAR,
        "index_price": index,
        "confidence": draw(st.sampled_from([1.0, 0.9, Confidence(vol=0.8, forward=0.95)])),
    }
    tail = f"{base}-{'inverse' if inverse else common['settlement_asset']}"
    if kind is InstrumentKind.PERPETUAL:
        mark = index * draw(st.floats(0.995, 1.005))
        funding = draw(st.floats(-0.001, 0.001))
        multiplier = 10.0 if inverse else draw(st.sampled_from([1.0, 0.01]))
        common |= {"multiplier": multiplier, "mark_price": mark, "funding_rate": funding}
        return Listing(symbol=f"{tail}-{multiplier:g}-PERP", **common)
    days = draw(st.sampled_from(EXPIRY_DAYS))
    expiry = AS_OF + timedelta(days=days)
    forward = index * forward_ratio(base, days)
    if kind is InstrumentKind.FUTURE:
        common |= {"multiplier": 10.0 if inverse else 1.0, "mark_price": forward, "expiry": expiry}
        return Listing(symbol=f"{tail}-{expiry:%y%m%d}", **common)
    strike = float(f"{index * draw(st.sampled_from([0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0])):.3g}")
    side = draw(st.sampled_from(list(OptionType)))
    vol = vol_of(base, days, strike / forward)
    symbol = f"{tail}-{expiry:%y%m%d}-{strike:g}-{side[0].upper()}"
    mark = option_mark(forward, strike, years_between(AS_OF, expiry), vol, call=side is OptionType.CALL)
    return Listing(
        symbol=symbol,
        expiry=expiry,
        strike=strike,
        option_type=side,
        forward_price=forward,
        mark_iv=vol,
        mark_price=mark / forward if inverse else mark,
        **common,
    )


def forward_ratio(base: str, days: int) -> float:
    """Forward over index: one curve per underlying, so that every contract of an expiry sees the same forward."""
    return 1.0 + {"BTC": 0.05, "ETH": 0.03, "SOL": -0.02}[base] * days / 365.0


def vol_of(base: str, days: int, moneyness: float) -> float:
    """A smile with a term structure, annualised: free of arbitrage for the strikes drawn here."""
    level = {"BTC": 0.45, "ETH": 0.65, "SOL": 0.85}[base]
    return level + 0.1 * (moneyness - 1.0) ** 2 / (1.0 + days / 30.0)


def option_mark(forward: float, strike: float, years: float, vol: float, *, call: bool) -> float:
    """Black-76, undiscounted, in the quote asset."""
    return float(price(forward, strike, vol=vol, years=years, call=call))


@st.composite
def snapshots(draw: st.DrawFn, min_listings: int = 1, max_listings: int = 12) -> Snapshot:
    """A market with all three coins, both stables near their peg, and staked ETH that wraps ETH."""
    drawn = draw(st.lists(listings(), min_size=min_listings, max_size=max_listings, unique_by=lambda one: one.symbol))
    peg = st.floats(0.99, 1.01)
    assets = {
        "USD": AssetQuote(price=1.0),
        **{stable: AssetQuote(price=draw(peg), pegged_to="USD") for stable in STABLES},
        **{coin: AssetQuote(price=index, observed_at=AS_OF) for coin, index in INDEX.items()},
        "STETH": AssetQuote(price=INDEX["ETH"] * draw(st.floats(0.97, 1.0)), wraps="ETH"),
    }
    return Snapshot(
        as_of=AS_OF,
        reporting_asset="USD",
        assets=assets,
        listings={listing.symbol: listing for listing in drawn},
    )


@st.composite
def positions(draw: st.DrawFn, listing: Listing) -> Position:
    """A position of up to about a hundred coins, entered within a fifth of the mark."""
    coins = draw(decimals("-100", "100", 3).filter(lambda quantity: quantity != 0))
    dollars_each = listing.contract is ContractKind.INVERSE and listing.kind is not InstrumentKind.OPTION
    quantity = coins * (1000 if dollars_each else 1)
    entry = Decimal(f"{(listing.mark_price or 0.0) * draw(st.floats(0.8, 1.2)):.6g}")
    side = PositionSide.LONG if quantity > 0 else PositionSide.SHORT
    return Position(
        instrument=listing.symbol,
        quantity=quantity,
        entry_price=entry or None,
        side=draw(st.sampled_from([None, side])),
        pool=draw(st.sampled_from([None, None, "hedge"])),
        leverage=draw(st.sampled_from([None, Decimal(5), Decimal("12.5")])),
        accrued_funding=draw(st.one_of(st.just(Decimal(0)), decimals("-5", "5"))),
    )


@st.composite
def isolated_positions(draw: st.DrawFn, listing: Listing) -> Position:
    """A position that only its own collateral backs."""
    position = draw(positions(listing))
    return Position(
        instrument=position.instrument,
        quantity=position.quantity,
        entry_price=position.entry_price,
        margin_mode=MarginMode.ISOLATED,
        isolated_collateral={listing.settlement_asset: draw(decimals("0.01", "100000"))},
        leverage=position.leverage,
    )


@st.composite
def orders(draw: st.DrawFn, listing: Listing) -> Order:
    """An open order within a tenth of the mark."""
    limit = Decimal(f"{(listing.mark_price or 1.0) * draw(st.floats(0.9, 1.1)):.6g}")
    return Order(
        instrument=listing.symbol,
        quantity=draw(decimals("-50", "50", 2).filter(lambda quantity: quantity != 0)),
        limit_price=max(limit, Decimal("0.0001")),
        reduce_only=draw(st.booleans()),
    )


@st.composite
def accounts(draw: st.DrawFn, snapshot: Snapshot, max_positions: int = 6, *, isolated: bool = True) -> Account:
    """An account that holds instruments of this snapshot; each (instrument, side, pool) once."""
    symbols = sorted(snapshot.listings)
    one_of_them = st.sampled_from(symbols).map(snapshot.listings.__getitem__)
    kinds_of_position = [
        one_of_them.flatmap(positions),
        *([one_of_them.flatmap(isolated_positions)] if isolated else []),
    ]
    return Account(
        id=draw(ids),
        margin_mode=draw(st.sampled_from([MarginMode.CROSS, MarginMode.PORTFOLIO])),
        class_=draw(st.sampled_from([None, "institution"])),
        balances=draw(
            st.dictionaries(st.sampled_from(sorted(snapshot.assets)), decimals("-1000", "1000000"), max_size=4)
        ),
        accrued=draw(st.dictionaries(st.sampled_from(STABLES), decimals("-10", "10"), max_size=2)),
        positions=tuple(
            draw(
                st.lists(
                    st.one_of(kinds_of_position),
                    max_size=max_positions,
                    unique_by=lambda one: (one.instrument, one.side, one.pool),
                )
            )
        ),
        orders=tuple(draw(st.lists(one_of_them.flatmap(orders), max_size=3))),
    )


@st.composite
def portfolios(draw: st.DrawFn, max_accounts: int = 1) -> tuple[Snapshot, tuple[Account, ...]]:
    """A market, and accounts with ids of their own that trade in it."""
    snapshot = draw(snapshots())
    held = draw(st.lists(accounts(snapshot), min_size=1, max_size=max_accounts, unique_by=lambda one: one.id))
    return snapshot, tuple(held)
