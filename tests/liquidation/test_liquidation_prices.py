"""Liquidation prices against closed forms, and against the trigger itself on random portfolios."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book, MarginMode, Position
from crossmargin.errors import InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.liquidation import LiquidationPrice, Profile, brackets, liquidation_prices, profiles
from crossmargin.liquidation.paths import path_moves, paths_of
from crossmargin.liquidation.probe import Probe
from crossmargin.margin import Resolved, Rulebook, assess, assess_resolved, resolve
from crossmargin.margin.model import Constant
from crossmargin.margin.states import moved
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.margin.rules import made
from tests.strategies.books import (
    ASSETS,
    COLLATERAL,
    INDEX,
    LATEST,
    SPECS,
    decimal,
    market,
    option,
    perpetual,
    position,
    random_accounts,
    rules,
    snapshot_of,
)

if TYPE_CHECKING:
    import numpy.typing as npt

COUNT = 12


def spec_of(name: str) -> str:
    return next(spec for spec in LATEST if spec.startswith(f"{name}@"))


def resolved_of(account: Account, snapshot: Snapshot, rulebook: Rulebook) -> Resolved:
    return resolve(Book.from_accounts([account]), snapshot, rulebook, max_quote_age_seconds=None)


def prices_of(
    account: Account, listings: list[Listing], rulebook: Rulebook, betas: dict[str, float] | None = None
) -> dict[str, LiquidationPrice]:
    resolved = resolved_of(account, snapshot_of(listings), rulebook)
    return {f"{row.pool}/{row.underlying}": row for row in liquidation_prices(resolved, rulebook, 0, betas=betas)}


def held(listing: Listing, quantity: float, entry: float) -> Position:
    return Position(instrument=listing.symbol, quantity=Decimal(str(quantity)), entry_price=Decimal(str(entry)))


def balances(**amounts: float) -> dict[str, Decimal]:
    return {asset: Decimal(str(amount)) for asset, amount in amounts.items()}


# --- closed forms


@pytest.mark.parametrize(("quantity", "wallet"), [(1.5, 12_000.0), (-1.5, 9_000.0), (4.0, 30_000.0), (-0.4, 5_000.0)])
def test_binance_single_perpetual(quantity: float, wallet: float) -> None:
    listing = perpetual("BTC", "USDT", quote_asset="USDT")
    entry = 61_000.0
    account = Account(id="a", balances=balances(USDT=wallet), positions=(held(listing, quantity, entry),))
    row = prices_of(account, [listing], rules(spec_of("binance-usdm")))["cross/BTC"]
    brackets = [(0, 50e3, 0.004), (50e3, 250e3, 0.005), (250e3, 1e6, 0.01)]
    side, cum, found = np.sign(quantity), 0.0, None
    rate_before = brackets[0][2]
    for low, high, rate in brackets:
        cum += low * (rate - rate_before)
        rate_before = rate
        mark = (wallet + cum - quantity * entry) / (abs(quantity) * (rate - side))
        if low < abs(quantity) * mark <= high:
            found = mark
    assert found is not None
    below, above = row.marks[listing.symbol]
    assert (below if quantity > 0 else above) == pytest.approx(found, rel=1e-11)
    assert (above if quantity > 0 else below) is None


@pytest.mark.parametrize("quantity", [2.0, -2.0])
def test_hyperliquid_from_margin_available(quantity: float) -> None:
    btc, eth = (perpetual(base, "USDC", quote_asset="USDC") for base in ("BTC", "ETH"))
    account = Account(
        id="a", balances=balances(USDC=20_000), positions=(held(btc, quantity, 60_000), held(eth, -3, 2_500))
    )
    rulebook = rules(spec_of("hyperliquid-cross"))
    report = assess(account, snapshot_of([btc, eth]), rulebook)
    row = prices_of(account, [btc, eth], rulebook)["cross/BTC"]
    side, rate, mark = np.sign(quantity), 1 / 80, btc.mark_price or 0
    expected = mark - side * report.maintenance_headroom / abs(quantity) / (1 - rate * side)
    assert row.marks[btc.symbol][0 if quantity > 0 else 1] == pytest.approx(expected, rel=1e-11)


def test_all_positions_and_shared_collateral_count() -> None:
    """TorchTrade#344: 4.6 % shown where the truth was 0.6 %: equity + q (P - mark) = MM(P), of the whole account."""
    btc, eth = (perpetual(base, "USDC", quote_asset="USDC") for base in ("BTC", "ETH"))
    losing = held(eth, 40, 2_450)
    account = Account(id="a", balances=balances(USDC=9_000), positions=(held(btc, 1, 60_060), losing))
    rulebook = rules(spec_of("hyperliquid-cross"))
    together = prices_of(account, [btc, eth], rulebook)["cross/BTC"].marks[btc.symbol][0]
    one = replace(account, positions=account.positions[:1])
    alone = prices_of(one, [btc], rulebook)["cross/BTC"].marks[btc.symbol][0]
    assert together is not None
    assert alone is not None
    assert together > alone + 3_000
    equity = 9_000 + 40 * ((eth.mark_price or 0) - 2_450)
    expected = (60_060 - equity + 40 * (eth.mark_price or 0) / 50) / (1 - 1 / 80)
    assert together == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("contracts", [3_000, -3_000])
def test_inverse_perpetual(contracts: int) -> None:
    """Coins + N m (1/entry - 1/P) = r N m / P, so P = N m (1 + side r) / (coins + N m / entry)."""
    listing = perpetual("BTC", "BTC", mark_price=60_000.0)
    rulebook = made('[charges.charge]\nof = "perpetual"\nis = "rate * notional"\nrate = 0.01', reporting="settlement")
    account = Account(id="a", balances=balances(BTC=0.3), positions=(held(listing, contracts, 60_000),))
    row = next(iter(prices_of(account, [listing], rulebook).values()))
    side, dollars = np.sign(contracts), contracts * 10
    expected = (dollars + 0.01 * abs(dollars)) / (0.3 + dollars / 60_000)
    found = row.marks[listing.symbol][0 if side > 0 else 1]
    if expected > 0:
        assert found == pytest.approx(expected, rel=1e-11)
    else:
        assert found is None


def test_bankruptcy_is_where_equity_is_zero() -> None:
    listing = perpetual("BTC", "USDC", quote_asset="USDC")
    account = Account(id="a", balances=balances(USDC=12_000), positions=(held(listing, 1, 60_060),))
    row = prices_of(account, [listing], rules(spec_of("hyperliquid-cross")))["cross/BTC"]
    assert row.bankruptcy_below == pytest.approx(60_000 * (60_060 - 12_000) / 60_060, rel=1e-11)
    assert row.bankruptcy_above is None
    assert row.below is not None
    assert row.bankruptcy_below is not None
    assert row.below > row.bankruptcy_below


def test_already_liquidatable_names_where_it_stops() -> None:
    listing = perpetual("BTC", "USDC", quote_asset="USDC")
    account = Account(id="a", balances=balances(USDC=100), positions=(held(listing, 1, 60_060),))
    row = prices_of(account, [listing], rules(spec_of("hyperliquid-cross")))["cross/BTC"]
    assert row.already_liquidatable
    assert row.below is None
    assert row.above == pytest.approx(60_000 / 60_060 * (60_060 - 100) / (1 - 1 / 80), rel=1e-9)
    assert row.safe_regions[0][0] == row.above


def test_a_short_straddle_has_both_sides_and_a_hedged_wing_a_second_safe_region() -> None:
    call, put = (option("BTC", "USDC", 50, 60_000.0, call=c) for c in (True, False))
    wing = option("BTC", "USDC", 50, 80_000.0, call=True)
    rulebook = rules(spec_of("reference"))
    short = (position(call, -1.0), position(put, -1.0))
    account = Account(id="a", balances=balances(USDC=35_000), positions=short)
    row = prices_of(account, [call, put, wing], rulebook)["cross/BTC"]
    assert row.below is not None
    assert row.above is not None
    assert row.below < row.spot < row.above
    assert row.safe_regions == ((row.below, row.above),)
    tighter = replace(account, positions=(*short, position(wing, 4.0)))
    regions = prices_of(tighter, [call, put, wing], rulebook)["cross/BTC"].safe_regions
    assert len(regions) >= 1
    assert regions[-1][1] == pytest.approx(10 * INDEX["BTC"])  # four calls over one: safe far above


def test_all_move_together_by_beta() -> None:
    btc, eth = (perpetual(base, "USDC", quote_asset="USDC") for base in ("BTC", "ETH"))
    account = Account(id="a", balances=balances(USDC=30_000), positions=(held(btc, 1, 60_060), held(eth, 20, 2_402.4)))
    rulebook = rules(spec_of("hyperliquid-cross"))
    even = prices_of(account, [btc, eth], rulebook)["cross/all"]
    assert even.path == "all together, beta 1 (assumed)"
    assert even.spot == 1.0
    expected = 1 - 30_000 / (60_060 + 48_048)
    rate = (60_060 / 80 + 48_048 / 50) / (60_060 + 48_048)
    assert even.below == pytest.approx(expected / (1 - rate), rel=1e-9)
    steep = prices_of(account, [btc, eth], rulebook, betas={"BTC": 1.0, "ETH": 1.5})["cross/all"]
    assert "ETH 1.5" in steep.path
    assert "given" in steep.path
    assert steep.below is not None
    assert even.below is not None
    assert steep.below > even.below
    one = replace(account, positions=account.positions[:1])
    assert set(prices_of(one, [btc], rulebook)) == {"cross/BTC"}


def test_an_isolated_position_has_its_own_price() -> None:
    btc, eth = (perpetual(base, "USDC", quote_asset="USDC") for base in ("BTC", "ETH"))
    apart = replace(held(eth, -10, 2_402.4), margin_mode=MarginMode.ISOLATED, isolated_collateral=balances(USDC=2_000))
    account = Account(id="a", balances=balances(USDC=8_000), positions=(held(btc, 0.5, 60_060), apart))
    rows = prices_of(account, [btc, eth], rules(spec_of("hyperliquid-cross")))
    assert set(rows) == {"cross/BTC", f"{eth.symbol}/ETH"}
    expected = (2_000 + 10 * 2_402.4) / (10 * (1 + 1 / 50))
    below, above = rows[f"{eth.symbol}/ETH"].marks[eth.symbol]
    assert below is None
    assert above == pytest.approx(expected, rel=1e-11)


def test_cash_alone_is_no_underlying_and_coins_are() -> None:
    rulebook = rules(spec_of("reference"))
    assert prices_of(Account(id="a", balances=balances(USD=1, USDC=1_000)), [], rulebook) == {}
    coins = prices_of(Account(id="a", balances=balances(STETH=3, USDC=-2_000)), [], rulebook)
    assert set(coins) == {"cross/ETH"}
    assert coins["cross/ETH"].below is not None


def test_a_refused_account_raises_its_refusal() -> None:
    rulebook = rules(spec_of("hyperliquid-cross"))
    account = Account(id="a", positions=(Position(instrument="NOTHING", quantity=Decimal(1)),))
    with pytest.raises(InputError, match="does not list it"):
        liquidation_prices(resolved_of(account, snapshot_of([]), rulebook), rulebook, 0)


# --- the trigger itself


def liquidatable(mine: Resolved, rulebook: Rulebook, path: int, multiple: float, pool: str) -> bool:
    """Whether the trigger holds at a level, asked of one book that is not tiled."""
    moves = path_moves(paths_of(mine, None), np.array([path]), np.array([multiple]))
    report = assess_resolved(moved(mine, moves, discount=rulebook.discount), rulebook)
    unit = mine.units.label.index(pool)
    headroom = report.unit_adjusted_maintenance[unit] - threshold(rulebook) * report.unit_maintenance[unit]
    return bool(headroom < -tolerance(mine, rulebook)[unit])


def threshold(rulebook: Rulebook) -> float:
    """The coverage ratio at or below which (or below which) a shipped trigger holds."""
    text = rulebook.procedure.liquidation.trigger.text.replace(" ", "")
    whole = "when(maintenance>0,adjusted_equity,0)<maintenance"  # nothing held, nothing to liquidate
    if text in {"coverage_ratio<1", "coverage_ratio<=1", "adjusted_equity<maintenance", whole}:
        return 1.0
    assert text in {"coverage_ratio<=threshold", "coverage_ratio<threshold"}
    stated = rulebook.procedure.liquidation.parameters["threshold"]
    assert isinstance(stated, Constant)
    return stated.value


def tolerance(mine: Resolved, rulebook: Rulebook) -> npt.NDArray[np.float64]:
    """What rounding may make of a headroom of 0."""
    return Probe(mine, rulebook, paths_of(mine, None)).rounding


def backed(spec: str) -> list[Account]:
    """Random accounts with a tenth to a whole of their notional in each asset that they settle in."""
    rng = np.random.default_rng([7, SPECS.index(spec)])
    out = []
    for account in random_accounts(spec, 5, COUNT):
        more: dict[str, Decimal] = dict(account.balances)
        for one in account.positions:
            listing = market().listings[one.instrument]
            asset = COLLATERAL.get(rules(spec).name, listing.settlement_asset)
            coins = abs(float(one.quantity)) * listing.multiplier
            inverse = listing.contract == ContractKind.INVERSE and listing.kind != InstrumentKind.OPTION
            dollars = coins * (1.0 if inverse else INDEX[listing.underlying]) * rng.uniform(0.1, 1.0)
            more[asset] = more.get(asset, Decimal(0)) + decimal(round(dollars / ASSETS[asset].price, 6))
        out.append(replace(account, balances=more))
    return out


@pytest.mark.parametrize("spec", SPECS)
def test_the_trigger_flips_at_every_returned_price(spec: str) -> None:
    rulebook = rules(spec)
    book = resolve(Book.from_accounts(backed(spec)), market(), rulebook)
    assessed = assess_resolved(book, rulebook)
    flips = 0
    for account in range(COUNT):
        if account in assessed.failures:
            continue
        mine = book.only(account)
        paths = [path.text for path in paths_of(mine, None)]
        for row in liquidation_prices(book, rulebook, account):
            which = paths.index(row.path)
            assert row.already_liquidatable == liquidatable(mine, rulebook, which, 1.0, row.pool)
            for level in (row.below, row.above):
                if level is not None:
                    flips += 1
                    sides = (level / row.spot * x for x in (1 - 1e-9, 1 + 1e-9))
                    ends = [liquidatable(mine, rulebook, which, x, row.pool) for x in sides]
                    assert ends[0] != ends[1], (row, ends)
            inside = [low * (high / low) ** 0.5 for low, high in row.safe_regions]
            assert not any(liquidatable(mine, rulebook, which, x / row.spot, row.pool) for x in inside)
    assert flips > COUNT // 4 or rulebook.name == "aave-v4"  # none of the market's coins is collateral there


def test_profiles_say_what_assess_says() -> None:
    spec = spec_of("reference")
    rulebook = rules(spec)
    book = resolve(Book.from_accounts(random_accounts(spec, 6, 3)), market(), rulebook)
    for account in range(3):
        mine = book.only(account)
        found: tuple[Profile, ...] = profiles(book, rulebook, account)
        for profile in found:
            assert [point.multiple for point in profile.points].count(1.0) == 1
            assert len(profile.points) == 81
        today = assess_resolved(mine, rulebook)
        for profile in found:
            point = next(point for point in profile.points if point.multiple == 1.0)
            unit = mine.units.label.index(profile.pool)
            assert point.maintenance_margin == pytest.approx(today.unit_maintenance[unit], rel=1e-12)
            assert point.adjusted_equity == pytest.approx(today.unit_adjusted_maintenance[unit], rel=1e-12)


def test_an_account_of_many_coins_has_the_same_prices_on_the_coarser_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    coins = [f"C{i}" for i in range(brackets.MANY_PATHS + 1)]
    listings = [
        Listing(
            symbol=f"{coin}-PERP", kind=InstrumentKind.PERPETUAL, underlying=coin, quote_asset="USDC",
            settlement_asset="USDC", mark_price=10.0, index_price=10.0,
        )
        for coin in coins
    ]  # fmt: skip
    snapshot = snapshot_of([])
    assets = {**snapshot.assets, **{coin: AssetQuote(price=10.0) for coin in coins}}
    market_of_coins = replace(snapshot, assets=assets, listings={one.symbol: one for one in listings})
    positions = tuple(held(one, 40.0 + i if i % 3 else -25.0 - i, 10.0) for i, one in enumerate(listings))
    account = Account(id="many", balances={"USDC": Decimal(4_000)}, positions=positions)
    resolved = resolved_of(account, market_of_coins, rules(spec_of("hyperliquid-cross")))
    coarse = liquidation_prices(resolved, rules(spec_of("hyperliquid-cross")))
    monkeypatch.setattr(brackets, "MANY_PATHS", 1_000)
    fine = liquidation_prices(resolved, rules(spec_of("hyperliquid-cross")))
    assert len(coarse) == len(fine) == len(coins) + 1
    assert any(row.above is not None for row in fine)
    for one, other in zip(coarse, fine, strict=True):
        for name in ("below", "above", "bankruptcy_below", "bankruptcy_above"):
            found, wanted = getattr(one, name), getattr(other, name)
            assert found == (wanted if wanted is None else pytest.approx(wanted, rel=1e-9))
