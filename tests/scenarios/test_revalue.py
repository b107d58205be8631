"""Gains under shocks against formulas written by hand: linear, inverse, quanto, options, coins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book
from crossmargin.instruments import ContractKind
from crossmargin.margin import resolve
from crossmargin.market import Listing
from crossmargin.scenarios import Contracts, Shifts, Valuation, axes_product, concatenate_axes, revalue
from crossmargin.scenarios.axes import scenario_name
from tests.margin.rules import made
from tests.strategies.books import AS_OF, decimal, future, option, perpetual, position, snapshot_of
from tests.twins.kinds import black

RULEBOOK = made('[charges.charge]\nis = "0 * notional"')
SPOT = np.asarray([-0.4, -0.1, 0.0, 0.25, 1.5])


def contracts_of(*listings: Listing, balances: dict[str, float] | None = None) -> Contracts:
    account = Account(
        id="a",
        positions=tuple(position(one, 1) for one in listings),
        balances={name: decimal(amount) for name, amount in (balances or {}).items()},
    )
    return resolve(Book.from_accounts([account]), snapshot_of(listings), RULEBOOK).contracts


def shifts(contracts: Contracts, **changes: object) -> Shifts:
    iv = contracts.iv[contracts.kind == 3]
    zeros = np.zeros(SPOT.shape)
    still: dict[str, Any] = {"spot": zeros, "rate": zeros, "basis": zeros, "time": zeros, "peg": zeros}
    still |= {"vols": iv[:, None], "vol_of": np.zeros(SPOT.shape, dtype=np.int64)}
    return Shifts(**{**still, **changes})


def both(contracts: Contracts, moved: Shifts, *, discount: bool = False) -> tuple[Valuation, Valuation]:
    """In the settlement asset, and in the snapshot's reporting asset."""
    found = [revalue(contracts, moved, in_settlement=how, discount=discount) for how in (True, False)]
    return found[0], found[1]


def test_a_linear_perpetual() -> None:
    c = contracts_of(perpetual("BTC", "USDC", multiplier=0.01))
    coin, usd = both(c, shifts(c, spot=SPOT))
    np.testing.assert_allclose(coin.gain[0], 0.01 * 60_060 * SPOT, atol=1e-9)
    np.testing.assert_allclose(usd.gain[0], 0.01 * 60_060 * SPOT * 0.9995, atol=1e-9)


def test_an_inverse_perpetual() -> None:
    c = contracts_of(perpetual("BTC", "BTC"))
    coin, usd = both(c, shifts(c, spot=SPOT))
    coins = 10 * (1 / 60_060 - 1 / (60_060 * (1 + SPOT)))
    np.testing.assert_allclose(coin.gain[0], coins, atol=1e-15)
    np.testing.assert_allclose(usd.gain[0], coins * 60_000 * (1 + SPOT), atol=1e-12)  # the coin moves, too
    np.testing.assert_allclose(usd.gain[0], 10 * 60_000 / 60_060 * SPOT, atol=1e-12)


def test_a_quanto_perpetual_moves_in_its_third_asset() -> None:
    terms = {"contract": ContractKind.QUANTO, "settlement_asset": "BTC", "multiplier": 1e-6, "symbol": "Q"}
    c = contracts_of(perpetual("ETH", "USDC", **terms))
    coin, usd = both(c, shifts(c, spot=SPOT))
    np.testing.assert_allclose(coin.gain[0], 1e-6 * 2_402.4 * SPOT, atol=1e-15)
    np.testing.assert_allclose(usd.gain[0], 1e-6 * 2_402.4 * SPOT * 60_000, atol=1e-9)


def test_basis_moves_dated_contracts_by_their_time() -> None:
    c = contracts_of(future("BTC", "USDC", 73), perpetual("BTC", "USDC"))
    basis = np.asarray([-0.2, -0.1, 0.0, 0.1, 0.2])
    coin, _ = both(c, shifts(c, basis=basis))
    mark = c.mark[0]
    np.testing.assert_allclose(coin.gain[0], mark * basis * 0.2, atol=1e-9)  # 73 days are a fifth of a year
    np.testing.assert_array_equal(coin.gain[1], 0)


@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize("settle", ["USDC", "BTC"])
def test_an_option_is_black_on_the_shocked_forward(call: bool, settle: str) -> None:
    listing = option("BTC", settle, 50, 75_000.0, call=call, multiplier=0.1)
    c = contracts_of(listing)
    years, forward, iv = 50 / 365, listing.forward_price or 0.0, listing.mark_iv or 0.0
    vols, vol_of = np.asarray([[iv, 1.4 * iv]]), np.asarray([0, 1, 1, 0, 1])
    time = np.asarray([0.0, 0.0, 0.05, 0.05, 1.0])
    coin, usd = both(c, shifts(c, spot=SPOT, vols=vols, vol_of=vol_of, time=time))
    for s, spot in enumerate(SPOT.tolist()):
        moved = forward * (1 + spot)
        left = max(years - float(time[s]), 0.0)
        per_coin = (moved, forward) if settle == "BTC" else (1.0, 1.0)
        after = 0.1 * black(moved, 75_000, float(vols[0, vol_of[s]]), left, call=call) / per_coin[0]
        before = 0.1 * black(forward, 75_000, iv, years, call=call) / per_coin[1]
        price = (60_000 * (1 + spot), 60_000) if settle == "BTC" else (0.9995, 0.9995)
        assert coin.gain[0, s] == pytest.approx(after - before, rel=1e-9, abs=1e-12)
        assert usd.gain[0, s] == pytest.approx(after * price[0] - before * price[1], rel=1e-9, abs=1e-8)
        assert usd.shocked[0, s] == pytest.approx(after * price[0], rel=1e-9, abs=1e-9)
        assert usd.today[0] == pytest.approx(before * price[1], rel=1e-9)


def test_discounting_uses_the_shocked_rate_never_below_zero() -> None:
    listing = option("BTC", "USDC", 73, 60_000.0, call=True, rate=0.05)
    c = contracts_of(listing)
    rate = np.asarray([0.0, 0.05, -0.05, -0.2, 0.1])
    coin, _ = both(c, shifts(c, rate=rate), discount=True)
    undiscounted, _ = both(c, shifts(c, rate=rate))
    value = black(listing.forward_price or 0.0, 60_000, listing.mark_iv or 0.0, 0.2, call=True)
    np.testing.assert_allclose(coin.shocked[0], value * np.exp(-np.maximum(0.05 + rate, 0) * 0.2), rtol=1e-9)
    assert coin.today[0] == pytest.approx(value * np.exp(-0.01), rel=1e-9)
    np.testing.assert_allclose(undiscounted.shocked[0], value, rtol=1e-9)


def test_the_known_part_of_a_settlement_average_does_not_move() -> None:
    listing = option("BTC", "USDC", 2, 60_000.0, call=True, fixed_forward=20_000.0, forward_price=60_000.0)
    c = contracts_of(listing)
    coin, _ = both(c, shifts(c, spot=SPOT))
    wanted = [
        black(20_000 + 40_000 * (1 + s), 60_000, listing.mark_iv or 0.0, 2 / 365, call=True) for s in SPOT.tolist()
    ]
    np.testing.assert_allclose(coin.shocked[0], wanted, rtol=1e-9, atol=1e-9)


def test_balances_move_with_their_coin_and_their_peg() -> None:
    c = contracts_of(balances={"ETH": 1.0, "STETH": 1.0, "USDC": 1.0, "USD": 1.0})
    peg = np.full(SPOT.shape, -0.03)
    _, usd = both(c, shifts(c, spot=SPOT, peg=peg))
    by_mark = {float(mark): usd.gain[i] for i, mark in enumerate(c.mark)}
    np.testing.assert_allclose(by_mark[2_400.0], 2_400 * SPOT, atol=1e-9)
    np.testing.assert_allclose(by_mark[2_390.0], 2_390 * ((1 + SPOT) * 0.97 - 1), atol=1e-9)
    np.testing.assert_allclose(by_mark[0.9995], 0.9995 * ((1 + SPOT) * 0.97 - 1), atol=1e-12)
    np.testing.assert_array_equal(by_mark[1.0], 0)


def test_a_contract_gains_nothing_where_nothing_moves() -> None:
    listings = [perpetual("BTC", "BTC"), future("ETH", "ETH"), option("BTC", "BTC", 50, 60_000.0, call=False)]
    c = contracts_of(*listings, perpetual("SOL", "USDT"), balances={"STETH": 3.0})
    for found in both(c, shifts(c), discount=True):
        np.testing.assert_allclose(found.gain, 0, atol=1e-12)


def test_an_expiring_option_is_worth_its_payoff() -> None:
    listing = replace(option("BTC", "USDC", 2, 60_000.0, call=False), expiry=AS_OF + timedelta(seconds=1))
    c = contracts_of(listing)
    coin, _ = both(c, shifts(c, spot=SPOT))
    forward = listing.forward_price or 0.0
    np.testing.assert_allclose(coin.shocked[0], np.maximum(60_000 - forward * (1 + SPOT), 0), rtol=1e-3, atol=10)


# --- axes


def test_axes_are_every_combination_the_first_slowest() -> None:
    axes = axes_product([-0.1, 0.2], ["up", "same"], [0.0, 0.01], [0.0], [0.5], [-0.02, 0.0])
    assert len(axes) == 16
    assert axes.spot.tolist() == [-0.1] * 8 + [0.2] * 8
    assert axes.vol == ("up",) * 4 + ("same",) * 4 + ("up",) * 4 + ("same",) * 4
    assert axes.rate.tolist() == [0.0, 0.0, 0.01, 0.01] * 4
    assert axes.peg.tolist() == [-0.02, 0.0] * 8
    joined = concatenate_axes([axes, axes_product([0.0], ["same"], [0.0], [0.3], [0.0], [0.0])])
    assert len(joined) == 17
    assert (joined.basis[16], joined.spot[15], joined.vol[16]) == (0.3, 0.2, "same")


@pytest.mark.parametrize(
    ("moves", "name"),
    [
        ((-0.16, "up", 0.0, 0.0, 0.0, 0.0), "spot -16 %, vol up"),
        ((0.0, "same", 0.0, 0.0, 0.0, 0.0), "spot 0 %, vol same"),
        ((0.125, "same", 0.01, 0.0, 0.0, 0.0), "spot +12.5 %, vol same, rate +100 bp"),
        ((None, "down", 0.0, -0.1, 0.0, 0.0), "spot own move, vol down, basis -10 %"),
        ((0.0, "same", 0.0, 0.0, 1 / 365, -0.05), "spot 0 %, vol same, time +1 d, peg -5 %"),
    ],
)
def test_names_that_a_person_can_read(moves: tuple[Any, ...], name: str) -> None:
    assert scenario_name(*moves) == name
