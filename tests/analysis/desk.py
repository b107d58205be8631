"""A small desk and a rulebook with one line of every sort, for cases that can be checked by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

from crossmargin.account import Account, Book, Order, Position
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import BookReport, Rulebook, assess_book, parse_rulebook
from crossmargin.market import AssetQuote, Listing, Snapshot

AS_OF = datetime(2026, 2, 5, 8, tzinfo=UTC)
EXPIRY = AS_OF + timedelta(days=365)

RULES = """
[rulebook]
name = "hand"
effective_from = 2026-01-01
reporting = "USD"
scope = ["option", "perpetual", "future", "asset"]
[sources]
S1 = { title = "by hand", status = "inferred" }
[inputs]
fixed = { default = 0, unit = "money" }
[parameters]
source = "S1"
[scenarios]
source = "S1"
moves = [ { spot = [-0.1, 0, 0.1], vol = ["same"] } ]
[charges]
source = "S1"
[charges.tiered]
of = "perpetual"
is = "marginal(tiers, notional)"
tiers = [[100_000, 0.01], ["inf", 0.02]]
[charges.scan]
kind = "scan"
level = "bucket"
of = ["perpetual", "future"]
scenarios = "moves"
[charges.folded]
kind = "scan"
level = "account"
of = ["perpetual", "future"]
scenarios = "moves"
fold.bucket = { gain = 0.5, loss = 1 }
[charges.stepped]
level = "bucket"
of = "future"
is = "abs(delta_value) * step(steps, abs(delta_value))"
steps = [[50_000, 0.01], ["inf", 0.03]]
[charges.squared]
level = "bucket"
of = "future"
is = "slope * abs(quantity) * abs(quantity) * index"
slope = 0.001
unit = { slope = "1/quantity" }
[charges.unit]
level = "bucket"
is = "max(scan, tiered)"
[charges.cliff]
level = "account"
is = "when(scan > brink, drop, 0)"
brink = 10_000
drop = 1_000
unit = { brink = "money", drop = "money" }
[charges.longs]
of = "long perpetual"
level = "account"
is = "rate * notional"
rate = 0.1
[charges.shorts]
of = "short perpetual"
level = "account"
is = "rate * notional"
rate = 0.1
[charges.payoff]
kind = "max_loss"
level = "expiry"
of = "option"
[charges.total]
level = "account"
is = "PLACEHOLDER"
[charges.with_orders]
kind = "worst_side"
level = "account"
line = "total"
[charges.haircuts]
of = "long coin"
haircut = true
is = "cut * value"
cut = { maintenance = 0.1, initial = 0.2 }
[values.holdings]
is = "value"
[equity]
adjusted = "holdings - haircuts"
[requirement]
maintenance = "0.5 * total"
initial = "with_orders + fixed"
"""


def rules(total: str) -> Rulebook:
    """The rulebook whose total is an expression of its lines."""
    unused = {"scan", "tiered", "folded", "stepped", "squared", "payoff", "unit", "cliff", "longs", "shorts"}
    text = RULES.replace("PLACEHOLDER", f"{total} + 0 * ({' + '.join(sorted(unused))})")
    return parse_rulebook(text, "hand.toml")


def snapshot() -> Snapshot:
    """BTC at 50,000 and ETH at 2,000 with linear perpetuals and futures, and options a year out."""
    listings = []
    for base, index in (("BTC", 50_000.0), ("ETH", 2_000.0)):
        common: dict[str, Any] = {
            "underlying": base, "quote_asset": "USD", "settlement_asset": "USD", "index_price": index,
        }  # fmt: skip
        listings.append(Listing(symbol=f"{base}-PERP", kind=InstrumentKind.PERPETUAL, mark_price=index, **common))
        listings.append(
            Listing(symbol=f"{base}-FUT", kind=InstrumentKind.FUTURE, mark_price=index, expiry=EXPIRY, **common)
        )
        option: dict[str, Any] = {
            "kind": InstrumentKind.OPTION,
            "expiry": EXPIRY,
            "forward_price": index,
            "mark_iv": 0.5,
        }
        for share, side in product((0.8, 1.0), OptionType):
            symbol, mark = f"{base}-{share}-{side[0].upper()}", index / 10
            terms = {**option, **common, "symbol": symbol, "mark_price": mark}
            listings.append(Listing(strike=index * share, option_type=side, **terms))
    assets = {"USD": AssetQuote(price=1.0), "BTC": AssetQuote(price=50_000.0), "ETH": AssetQuote(price=2_000.0)}
    return Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings={one.symbol: one for one in listings})


def account(
    positions: dict[str, str],
    *,
    usd: str = "100000",
    balances: dict[str, Decimal] | None = None,
    orders: tuple[Order, ...] = (),
    inputs: dict[str, Decimal] | None = None,
) -> Account:
    """Positions entered at the mark, by symbol."""
    marks = snapshot().listings
    held = tuple(
        Position(instrument=name, quantity=Decimal(quantity), entry_price=Decimal(repr(marks[name].mark_price)))
        for name, quantity in positions.items()
    )
    worth = {"USD": Decimal(usd), **(balances or {})}
    return Account(id="desk", balances=worth, positions=held, orders=orders, inputs=inputs or {})


def order(name: str, quantity: str) -> Order:
    """An open order at the mark."""
    mark = snapshot().listings[name].mark_price
    return Order(instrument=name, quantity=Decimal(quantity), limit_price=Decimal(repr(mark)))


def assessed(held: Account, total: str) -> BookReport:
    """The account under the rulebook with that total."""
    book = assess_book(Book.from_accounts([held]), snapshot(), rules(total))
    assert not book.failures
    return book
