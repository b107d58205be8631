import numpy as np
import pytest

from crossmargin.pricing import inverse_option_payoff, inverse_pnl, linear_pnl, option_payoff, quanto_pnl


def test_option_payoffs() -> None:
    settlement = np.array([80.0, 100.0, 125.0])
    assert option_payoff(settlement, 100.0, call=True).tolist() == [0.0, 0.0, 25.0]
    assert option_payoff(settlement, 100.0, call=False).tolist() == [20.0, 0.0, 0.0]
    assert inverse_option_payoff(settlement, 100.0, call=True).tolist() == [0.0, 0.0, 0.2]
    assert inverse_option_payoff(settlement, 100.0, call=False).tolist() == [0.25, 0.0, 0.0]
    assert np.isnan(inverse_option_payoff(0.0, 100.0, call=False))
    assert np.isnan(option_payoff(np.nan, 100.0, call=True))


def test_futures_profits() -> None:
    assert linear_pnl(-2.0, 0.5, 110.0, 100.0) == -10.0
    assert quanto_pnl(3.0, 1e-4, 110.0, 100.0) == pytest.approx(0.003)
    assert inverse_pnl(100.0, 10.0, 50_000.0, 40_000.0) == pytest.approx(1000.0 * (1 / 40_000 - 1 / 50_000))
    assert inverse_pnl(100.0, 10.0, 40_000.0, 40_000.0) == 0.0
    assert np.isnan(inverse_pnl(1.0, 1.0, 0.0, 1.0))
    assert linear_pnl(np.ones((4, 1)), 1.0, np.arange(3.0), 1.0).shape == (4, 3)
