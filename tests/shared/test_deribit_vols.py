"""Recorded marks, vols and forwards of Deribit before the engine's own pricing and its vol surface."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from crossmargin.market.surface import ArbitrageKind, VolSurface
from crossmargin.pricing.implied import ImpliedVolStatus, implied_vol
from crossmargin.pricing.inverse import coin_price
from tests.shared.deribit_chain import CRASH, Chain, Floats, read_chains

pytestmark = pytest.mark.shared

DAY = (datetime(2026, 2, 5, tzinfo=UTC), datetime(2026, 2, 6, tzinfo=UTC))
ROUNDING = 1e-4  # vols are recorded to a hundredth of a percent: what is smaller is no arbitrage


@pytest.fixture(scope="module")
def crash(shared: Path) -> list[Chain]:
    return read_chains(shared, *CRASH)


@pytest.fixture(scope="module")
def day(shared: Path) -> list[Chain]:
    return read_chains(shared, *DAY)


def residuals(chain: Chain) -> Floats:
    """Black-76 from the recorded vol and forward minus the recorded mark, in coin."""
    return coin_price(chain.forward, chain.strike, chain.vol, chain.years, chain.call) - chain.mark


def smiles(chain: Chain) -> list[tuple[float, float, Floats, Floats, Floats]]:
    """Years, forward, log-moneyness, vol and the size of the delta of each expiry's strikes."""
    found = []
    for years in np.unique(chain.years):
        rows = np.flatnonzero(chain.years == years)
        forward = float(np.median(chain.forward[rows]))  # polled over a minute: up to four a chain
        _, first = np.unique(chain.strike[rows], return_index=True)
        at = rows[first]
        sizes = np.abs(chain.delta[at])
        found.append((float(years), forward, np.log(chain.strike[at] / forward), chain.vol[at], sizes))
    return found


def surface(chain: Chain) -> VolSurface:
    years, forwards, moneyness, vols, _ = zip(*smiles(chain), strict=True)
    return VolSurface.build(years, moneyness, vols, forwards=forwards, underlying=chain.currency)


def test_black76_reproduces_the_marks_of_the_crash(crash: list[Chain]) -> None:
    away = np.abs(np.concatenate([residuals(chain) for chain in crash]))
    assert len(crash) == 24
    assert away.size == 20_768
    assert np.median(away) <= 1.3e-5
    assert np.quantile(away, 0.99) <= 1.4e-3


def test_black76_reproduces_the_marks_of_every_chain(shared: Path) -> None:
    """The whole file: what is left comes from the minutes between a chain's first and last quote."""
    away = np.abs(np.concatenate([residuals(chain) for chain in read_chains(shared)]))
    assert away.size > 140_000
    assert np.median(away) <= 8e-6
    assert np.quantile(away, 0.99) <= 9e-4
    assert away.max() < 5e-3


def test_implied_vol_inverts_the_marks(crash: list[Chain]) -> None:
    """Every mark with time value gives its vol back; one below its intrinsic value is refused."""
    refused = 0
    for chain in crash:
        vol, status = implied_vol(chain.mark * chain.forward, chain.forward, chain.strike, chain.years, chain.call)
        inverted = status == ImpliedVolStatus.OK
        refused += int(np.sum(~inverted))
        assert set(status[~inverted].tolist()) <= {ImpliedVolStatus.BELOW_INTRINSIC}
        sign = np.where(chain.call, 1.0, -1.0)
        intrinsic = np.maximum(sign * (1.0 - chain.strike / chain.forward), 0.0)
        assert np.all((chain.mark - intrinsic)[~inverted] < 1e-7)
        again = coin_price(chain.forward, chain.strike, vol, chain.years, chain.call)
        assert np.abs(again - chain.mark)[inverted].max() < 1e-14
        liquid = inverted & (np.abs(chain.delta) > 0.05) & (np.abs(chain.delta) < 0.95)
        assert np.median(np.abs(vol - chain.vol)[liquid]) < 2e-3
    assert refused < 0.04 * sum(map(len, crash))


def test_a_dropped_strike_is_interpolated(day: list[Chain]) -> None:
    """Through the crash itself: each inner strike from its neighbours, within 0.2 vol points at the median."""
    away, sizes = [], []
    for chain in day:
        for years, _, moneyness, vols, delta in smiles(chain):
            for strike in range(1, moneyness.size - 1):
                rest = np.arange(moneyness.size) != strike
                without = VolSurface.build([years], [moneyness[rest]], [vols[rest]])
                away.append(abs(float(without.vol(moneyness[strike], years)) - vols[strike]))
                sizes.append(delta[strike])
    errors, delta = np.asarray(away), np.asarray(sizes)
    liquid = errors[(delta > 0.05) & (delta < 0.95)]
    assert errors.size > 3_000
    assert np.median(errors) < 2e-3
    assert np.median(liquid) < 1.5e-3
    assert np.quantile(liquid, 0.99) < 0.03


def test_the_surface_returns_every_mark(day: list[Chain]) -> None:
    for chain in day:
        through = surface(chain)
        for years, _, moneyness, vols, _ in smiles(chain):
            np.testing.assert_allclose(through.vol(moneyness, years), vols, rtol=1e-12)


def test_real_surfaces_are_nearly_free_of_arbitrage(crash: list[Chain]) -> None:
    """Of 10,000 strikes a few hundred lie off convexity by more than rounding, and next to none across expiries."""
    strikes = sum(moneyness.size for chain in crash for _, _, moneyness, _, _ in smiles(chain))
    kinds = [finding.kind for chain in crash for finding in surface(chain).arbitrage_violations(ROUNDING)]
    assert strikes > 10_000
    assert 0 < kinds.count(ArbitrageKind.BUTTERFLY) < 0.03 * strikes
    assert kinds.count(ArbitrageKind.CALENDAR) <= 5


@pytest.mark.parametrize("bump", [0.10, -0.10])
def test_a_spoilt_mark_is_flagged_at_its_strike(day: list[Chain], bump: float) -> None:
    """One vol near the money moved by ten points: a price off the convex curve, there or beside it."""
    for chain in day:
        years, forward, moneyness, vols, _ = smiles(chain)[4]
        middle = int(np.argmin(np.abs(moneyness)))
        spoilt = vols.copy()
        spoilt[middle] += bump
        built = VolSurface.build([years], [moneyness], [spoilt], forwards=[forward])
        findings = built.arbitrage_violations(1e-4)
        around = moneyness[middle - 1 : middle + 2]
        assert any(around[0] <= finding.log_moneyness <= around[-1] for finding in findings)
        assert max(finding.magnitude for finding in findings) > 1e-3
