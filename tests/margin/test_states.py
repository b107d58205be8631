"""Where an account stands: coverage, states, bands, the trigger; and what could be withdrawn of each asset."""

from __future__ import annotations

from decimal import Decimal
from math import inf

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account
from crossmargin.margin import AccountState, MarginReport, PoolReport, assess
from tests.margin.rules import made
from tests.strategies.books import SPECS, decimal, market, option, perpetual, position, random_accounts, rules
from tests.twins.kinds import black

# 10 % of the notional of 1 BTC, priced in USDT: 6,006 and a little
_CHARGE = """
[charges.charge]
of = "perpetual"
is = "rate * notional"
rate = 0.1
[requirement]
maintenance = "charge"
initial = "2 * charge"
"""
_EXTRA = """
[[bands]]
below = 3
then = "warned"
[[bands]]
below = 1.5
then = "reduce_only"
[liquidation]
trigger = "{}"
"""
LISTING = perpetual("BTC", "USDT")
CHARGE = 0.1 * 60_060 * 1.0005


def standing(cash: float, *, trigger: str = "adjusted_equity < maintenance") -> MarginReport:
    account = Account(id="a", balances={"USD": decimal(cash)}, positions=(position(LISTING, 1),))
    rulebook = made(_CHARGE + _EXTRA.format(trigger), requirement="")
    return assess(account, market(), rulebook, withdrawable=False)


@pytest.mark.parametrize(
    ("share", "state", "band"),
    [
        (3.1, AccountState.HEALTHY, None),
        (2.1, AccountState.HEALTHY, "warned"),
        (1.9, AccountState.MARGIN_CALL, "warned"),
        (1.4, AccountState.MARGIN_CALL, "reduce_only"),
        (0.9, AccountState.LIQUIDATABLE, "reduce_only"),
        (-0.1, AccountState.BANKRUPT, "reduce_only"),
    ],
)
def test_states_and_bands(share: float, state: AccountState, band: str | None) -> None:
    report = standing(share * CHARGE)
    assert report.state == state
    assert report.pools[0].band == band
    assert report.coverage_ratio == pytest.approx(share, rel=1e-9)
    assert report.maintenance_headroom == pytest.approx((share - 1) * CHARGE)
    assert report.available_margin == pytest.approx((share - 2) * CHARGE)


def test_the_trigger_is_the_rulebooks() -> None:
    assert standing(1.4 * CHARGE, trigger="coverage_ratio <= 1.5").state == AccountState.LIQUIDATABLE
    assert standing(0.9 * CHARGE, trigger="equity < 0.5 * maintenance").state == AccountState.MARGIN_CALL
    assert standing(0.4 * CHARGE, trigger="equity < 0.5 * maintenance").state == AccountState.LIQUIDATABLE
    # debts beyond assets are never hidden by a lenient trigger
    assert standing(-0.1 * CHARGE, trigger="equity < -1000 * maintenance").state == AccountState.BANKRUPT


@pytest.mark.parametrize(("cash", "ratio", "state"), [(5, inf, "healthy"), (0, inf, "healthy"), (-5, -inf, "bankrupt")])
def test_coverage_without_a_requirement(cash: int, ratio: float, state: str) -> None:
    account = Account(id="a", balances={"USD": Decimal(cash)})
    report = assess(account, market(), made(_CHARGE, requirement=""), withdrawable=False)
    assert (report.maintenance_margin, report.coverage_ratio, report.state) == (0, ratio, state)


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_withdrawable_can_leave_and_no_more(spec: str) -> None:
    rulebook = rules(spec)
    for base in random_accounts(spec, 50, 4, orders=False):
        account = replace(base, balances={**base.balances, "USDC": Decimal(3_000_000), "BTC": Decimal(40)})
        report = assess(account, market(), rulebook)
        for pool in report.pools:
            for asset, amount in (pool.withdrawable or {}).items():
                held = account.balances[asset]
                assert 0 <= amount <= float(held) * (1 + 1e-12)
                kept = _headroom(account, spec, asset, float(held) - amount, pool.pool)
                worth = 1e-6 * (abs(pool.equity) + pool.initial_margin)
                if amount > 0:
                    assert kept >= -worth
                if amount < float(held) * (1 - 1e-9) and _spare(pool) > 0:
                    more = 0.5 * (float(held) - amount)
                    assert _headroom(account, spec, asset, float(held) - amount - more, pool.pool) < worth


def _headroom(account: Account, spec: str, asset: str, left: float, pool: str) -> float:
    changed = replace(account, balances={**account.balances, asset: decimal(max(left, 0.0))})
    report = assess(changed, market(), rules(spec), withdrawable=False)
    return next((_spare(one) for one in report.pools if one.pool == pool), 0.0)


def _spare(pool: PoolReport) -> float:
    """The headroom that withdrawals ask for: initial, and transfer where the rulebook has it."""
    required = max(pool.initial_margin, pool.requirements.get("transfer", pool.initial_margin))
    return pool.adjusted_equity_initial - required


# --- measures of options against differences of their value


@pytest.mark.parametrize("settle", ["USDC", "BTC"])
@pytest.mark.parametrize("call", [True, False])
def test_greeks_are_the_slopes_of_the_value(settle: str, call: bool) -> None:
    listing = option("BTC", settle, 50, 60_000.0, call=call)
    names = ("delta", "gamma", "vega", "theta")
    lines = "".join(f'[values.{name}s]\nof = "option"\nis = "{text}"\nreported_only = true\n' for name, text in (
        ("delta", "delta * index"), ("gamma", "gamma * index * index"), ("vega", "vega"), ("theta", "theta * years"),
    ))  # fmt: skip
    rulebook = made('[charges.charge]\nis = "0 * notional"\n' + lines)
    report = assess(Account(id="a", positions=(position(listing, 3),)), market(), rulebook, withdrawable=False)
    found = {name: report.lines[f"{name}s"].initial for name in names}
    forward, vol, years = listing.forward_price or 0.0, listing.mark_iv or 0.0, 50 / 365
    # a coin-settled option pays V / F coins worth the index each
    rate = 60_000 / forward if settle == "BTC" else 0.9995

    def value(f: float = forward, v: float = vol, t: float = years) -> float:
        return 3 * black(f, 60_000, v, t, call=call) * rate

    h = 1e-4
    assert found["vega"] == pytest.approx((value(v=vol + h) - value(v=vol - h)) / (2 * h), rel=1e-6)
    decay = (value(t=years - h * years) - value(t=years + h * years)) / (2 * h)
    assert found["theta"] == pytest.approx(decay, rel=1e-5)
    bump = forward * 1e-4
    slope = (value(forward + bump) - value(forward - bump)) / (2 * bump) / rate
    money = 1.0 if settle == "BTC" else 0.9995
    assert found["delta"] == pytest.approx(slope * 60_000 * money, rel=1e-6)
    curve = (value(forward + bump) - 2 * value() + value(forward - bump)) / bump**2 / rate
    assert found["gamma"] == pytest.approx(curve * 60_000**2 * money, rel=1e-4)
    assert np.isfinite(list(found.values())).all()
