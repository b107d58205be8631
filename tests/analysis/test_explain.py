"""`explain` as a whole."""

from decimal import Decimal

import msgspec
import pytest

import crossmargin
from crossmargin import InputError
from crossmargin.analysis import Explanation, explain, required_capital
from crossmargin.margin import assess
from tests.analysis.desk import account, order, rules, snapshot

HELD = account({"BTC-PERP": "4", "BTC-FUT": "-1"}, orders=(order("ETH-PERP", "50"),), balances={"BTC": Decimal(1)})


@pytest.fixture(scope="module")
def found() -> Explanation:
    return explain(HELD, snapshot(), rules("scan"))


def test_it_is_the_report_with_its_reasons(found: Explanation) -> None:
    assert found.report == assess(HELD, snapshot(), rules("scan"))
    (tree,) = found.trees
    (pool,) = found.report.pools
    assert tree.requirements["initial"].value == pool.initial_margin
    assert tree.adjusted_equity["maintenance"].value == pool.adjusted_equity_maintenance
    assert sum(row.initial_margin for row in found.contributions) == pytest.approx(pool.initial_margin)
    assert {row.underlying for row in found.greeks} == {"BTC"}
    assert found.required_capital == required_capital(HELD, snapshot(), rules("scan"))
    assert found.capital_efficiency is not None
    assert found.capital_efficiency.cross == found.required_capital


def test_it_says_where_liquidation_is(found: Explanation) -> None:
    assert {price.underlying for price in found.liquidation_prices} >= {"BTC"}
    assert found.profiles
    assert all(profile.points for profile in found.profiles)


def test_it_goes_through_json(found: Explanation) -> None:
    back = msgspec.json.decode(msgspec.json.encode(found.trees[0].requirements["initial"]))
    assert back["value"] == found.report.initial_margin


def test_an_empty_account_is_explained_too() -> None:
    empty = explain(account({}, usd="0"), snapshot(), rules("scan"))
    assert empty.required_capital == 0
    assert empty.capital_efficiency is not None
    assert empty.capital_efficiency.efficiency is None
    assert not any(row.initial_margin for row in empty.contributions)


def test_a_refusal_is_raised() -> None:
    with pytest.raises(InputError, match="GOLD"):
        explain(msgspec.structs.replace(HELD, balances={"GOLD": Decimal(1)}), snapshot(), rules("scan"))


def test_it_stands_at_the_top() -> None:
    assert crossmargin.explain is explain
