"""The market and the accounts of the pages in docs/families, and what the families ask of them.

All of it is invented and small, and the same on every page.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from math import sin
from typing import Any, Final

from crossmargin import Account, AssetQuote, Listing, MarginReport, Position, Snapshot, assess, load_rulebook
from crossmargin.account import MarginMode
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import Rulebook
from crossmargin.pricing import price
from crossmargin.units import years_between

AS_OF: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
BTC: Final = 60_000.0
ETH: Final = 3_000.0
TOKEN: Final = 10.0
VOL: Final = 0.5
HOUR: Final = 1 / 24
STRIKES: Final = (45_000, 48_000, 50_000, 60_000, 61_125, 62_250, 70_000, 75_000)
EXPIRIES: Final = (HOUR, 3, 25, 26)
CRASH: Final = -0.40
CASH: Final = 100_000
DATE: Final = "2020-01-01"

QUIET: Final = tuple(round(0.03 * sin(day * day), 4) for day in range(1, 101))
"""A hundred daily moves within 3 %."""


def listing(symbol: str, kind: InstrumentKind, underlying: str, mark: float, **terms: Any) -> Listing:  # noqa: ANN401
    """A linear contract in dollars."""
    stated: dict[str, Any] = {"quote_asset": "USD", "settlement_asset": "USD", "index_price": mark, **terms}
    return Listing(symbol=symbol, kind=kind, underlying=underlying, mark_price=mark, **stated)


def name_of(days: float, strike: float, letter: str) -> str:
    """What an option is called: C-25D-60000."""
    return f"{letter}-{'1H' if days < 1 else f'{days:g}D'}-{strike:g}"


def option(days: float, strike: float, side: OptionType, index: float, vol: float) -> Listing:
    """A European option on BTC at its Black-76 mark; forwards are the index."""
    expiry = AS_OF + timedelta(days=days)
    mark = float(price(index, strike, vol, years_between(AS_OF, expiry), side is OptionType.CALL, 1.0))
    return listing(
        name_of(days, strike, side[0].upper()), InstrumentKind.OPTION, "BTC", mark, index_price=index,
        forward_price=index, expiry=expiry, strike=strike, option_type=side, mark_iv=vol,
    )  # fmt: skip


def market(
    btc: float = BTC,
    eth: float = ETH,
    token: float = TOKEN,
    vol: float = VOL,
    window: tuple[float, ...] = QUIET,
) -> Snapshot:
    """The market at these prices and this vol, with a window of past moves (of ETH a fifth more than of BTC)."""
    coins = {"BTC": btc, "ETH": eth, "TOKEN": token}
    listed = [listing(f"{coin}-PERP", InstrumentKind.PERPETUAL, coin, at) for coin, at in coins.items()]
    listed.append(listing("BTC-25D", InstrumentKind.FUTURE, "BTC", btc, expiry=AS_OF + timedelta(days=25)))
    listed += [option(days, k, side, btc, vol) for days in EXPIRIES for k in STRIKES for side in OptionType]
    moves = {"BTC": window, "ETH": [1.2 * move for move in window], "TOKEN": [2 * move for move in window]}
    return Snapshot(
        as_of=AS_OF,
        reporting_asset="USD",
        assets={"USD": AssetQuote(price=1.0), **{coin: AssetQuote(price=at) for coin, at in coins.items()}},
        listings={one.symbol: one for one in listed},
        calibration={"window": moves},
    )


def moved(btc: float = 0.0, eth: float = 0.0, token: float = 0.0, vol: float = 0.0) -> Snapshot:
    """Today's market after these relative moves."""
    return market(BTC * (1 + btc), ETH * (1 + eth), TOKEN * (1 + token), VOL * (1 + vol))


def account(
    held: Mapping[str, float | str],
    balances: Mapping[str, float | str] | None = None,
    class_: str | None = None,
    name: str = "account",
) -> Account:
    """An account with these positions, entered at today's marks, and 100,000 dollars unless it says otherwise."""
    today = market().listings
    positions = tuple(
        Position(instrument=symbol, quantity=Decimal(str(count)), entry_price=Decimal(str(today[symbol].mark_price)))
        for symbol, count in held.items()
    )
    funds = {"USD": CASH} if balances is None else balances
    return Account(
        id=name,
        class_=class_,
        balances={asset: Decimal(str(amount)) for asset, amount in funds.items()},
        positions=positions,
    )


def apart(symbol: str, count: int, collateral: int) -> Position:
    """An isolated position, entered at 60,000, with the dollars that were set aside for it."""
    return Position(
        instrument=symbol,
        quantity=Decimal(count),
        entry_price=Decimal(60_000),
        margin_mode=MarginMode.ISOLATED,
        isolated_collateral={"USD": Decimal(collateral)},
    )


def straddle(count: int = 10, days: float = 25, put_days: float | None = None, *, hedged: bool = True) -> Account:
    """Short calls and puts at 60,000; with perpetuals that bring the delta of ten of 25 days to nearly 0."""
    held: dict[str, float | str] = {
        name_of(days, 60_000, "C"): -count,
        name_of(days if put_days is None else put_days, 60_000, "P"): -count,
    }
    return account({**held, "BTC-PERP": "0.5216"} if hedged else held)


def strangle(count: int, days: float, put: int, call: int, perpetuals: int = 0) -> Account:
    """Short puts and calls away from the price, and perpetuals beside them."""
    held: dict[str, float | str] = {name_of(days, call, "C"): -count, name_of(days, put, "P"): -count}
    return account({**held, "BTC-PERP": perpetuals} if perpetuals else held)


BOX: Final = account(
    {name_of(25, 50_000, "C"): 10, name_of(25, 70_000, "C"): -10, name_of(25, 70_000, "P"): 10,
     name_of(25, 50_000, "P"): -10}
)  # fmt: skip
CARRY: Final = account({"BTC-PERP": 10, "BTC-25D": -10})
HEDGED_COIN: Final = account({"BTC-PERP": -10}, {"USD": CASH, "BTC": 10})
PAIR: Final = account({"BTC-PERP": 10, "ETH-PERP": -200})
BETA_PAIR: Final = account({"BTC-PERP": 12, "ETH-PERP": -200})
OUTRIGHT: Final = account({"BTC-PERP": 10})
TWICE: Final = account({"BTC-PERP": -10, name_of(25, 60_000, "C"): -10}, {"USD": CASH, "BTC": 10})
BUTTERFLY: Final = account(
    {name_of(HOUR, 60_000, "C"): -10, name_of(HOUR, 61_125, "C"): 20, name_of(HOUR, 62_250, "C"): -10}
)

# page -> its rulebook and what it looks at, from the crudest
FAMILIES: Final[Mapping[str, tuple[str, str]]] = {
    "isolated": ("family-isolated", "each position alone"),
    "linear": ("family-linear", "notional"),
    "delta": ("family-delta", "net delta"),
    "greeks": ("family-greeks", "delta, gamma, vega, theta"),
    "rules": ("family-rules", "which strategies it recognises"),
    "parametric": ("family-parametric", "delta and a covariance"),
    "historical": ("family-historical", "a window of past moves"),
    "scenario": ("reference", "a set of moves, revalued in full"),
    "layered": ("family-layered", "a scan, a floor, charges on top"),
    "credit": ("family-credit", "positions, and who holds them"),
}


@cache
def rules_of(family: str) -> Rulebook:
    """A family's rulebook."""
    return load_rulebook(f"{FAMILIES[family][0]}@{DATE}")


def report(family: str, held: Account, snapshot: Snapshot | None = None) -> MarginReport:
    """The account under a family's rulebook, today unless another market is given."""
    return assess(held, snapshot or market(), rules_of(family), withdrawable=False)


def loss(held: Account, moved: Snapshot, today: Snapshot | None = None) -> float:
    """What the account is worth less in the moved market, by plain revaluation."""
    return report("delta", held, today).equity - report("delta", held, moved).equity


def worst(held: Account, move: float, vol: float = 0.0, eth: float = 1.0) -> float:
    """The larger loss of BTC up and down by a move; ETH moves by `eth` times as much."""
    return max(loss(held, moved(sign * move, sign * move * eth, vol=vol)) for sign in (1, -1))
