"""Trees by hand, and what holds of every tree."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import isclose
from typing import Any

import msgspec
import pytest

from crossmargin.account import Account, Book
from crossmargin.analysis import trees
from crossmargin.analysis.explanation import FormulaNode
from crossmargin.analysis.trees import pool_trees
from crossmargin.margin import assess_book
from crossmargin.margin.expression import evaluate, parse_expression
from crossmargin.sources import load_rulebook
from tests.analysis.desk import account, assessed, order
from tests.strategies.portfolios import market_of, portfolios
from tests.twins.printed import recompute

MISSION = {"BTC-PERP": "4", "ETH-PERP": "-30", "BTC-FUT": "-1"}


def walk(node: FormulaNode) -> Iterator[FormulaNode]:
    yield node
    for child in node.children:
        yield from walk(child)


def initial(held: Account, total: str) -> FormulaNode:
    (tree,) = pool_trees(assessed(held, total), 0)
    return tree.requirements["initial"]


def named(node: FormulaNode, name: str) -> list[FormulaNode]:
    """Nodes of one name where it is first read: not again under a sibling that reads it too."""
    here = [child for child in node.children if child.name == name]
    return here or next((found for child in node.children if (found := named(child, name))), [])


def test_a_formula_line_shows_its_tiers_and_its_rows() -> None:
    rows = {node.row: node for node in named(initial(account(MISSION), "tiered"), "tiered")}
    assert rows.keys() == {"BTC-PERP", "ETH-PERP"}
    btc = rows["BTC-PERP"]
    assert btc.expression == "marginal(tiers, notional)"
    assert btc.figures == {"tiers": ((100_000.0, 0.01), (float("inf"), 0.02)), "notional": 200_000.0}
    assert btc.value == 1_000 + 2_000
    assert rows["ETH-PERP"].value == 600
    assert (btc.level, btc.kind, btc.requirement) == ("leg", "is", "initial")


def test_branches_that_do_not_decide_are_inactive() -> None:
    rows = {node.row: node for node in named(initial(account(MISSION), "unit"), "unit")}
    # BTC: 3 coins net lose 15,000 in the scan, the tiers ask 3,000; ETH: the scan 6,000, the tiers 600
    assert rows["BTC"].figures == {"scan": pytest.approx(15_000), "tiered": 3_000}
    assert rows["BTC"].inactive == ("tiered",)
    assert rows["ETH"].value == pytest.approx(6_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("min(a, b)", ("b",)),
        ("min(a, b) + b", ()),
        ("min(a, b) + min(b, a)", ("b",)),
        ("max(a + c, b) * a", ("a + c",)),
        ("when(a < b, c, b)", ()),  # b is read by the condition too
        ("when(a < 2, c, b)", ("b",)),
    ],
)
def test_a_name_that_counts_elsewhere_is_not_inactive(text: str, expected: tuple[str, ...]) -> None:
    figures = {"a": 1.0, "b": 3.0, "c": 0.5}
    tree = parse_expression(text)
    found = trees._undeciding(tree, lambda part: float(evaluate(part, lambda name: figures[name.name])))
    assert found == expected


def test_a_scan_shows_every_scenario_and_each_leg_in_the_worst() -> None:
    btc = next(node for node in named(initial(account(MISSION), "scan"), "scan") if node.row == "BTC")
    assert btc.expression == "max(0, -min(pnl))"
    assert btc.figures["pnl"] == pytest.approx((-15_000, 0, 15_000))
    (worst,) = btc.children
    assert worst.row == "spot -10 %, vol same"
    assert {leg.row: leg.value for leg in worst.children} == pytest.approx({"BTC-PERP": -20_000, "BTC-FUT": 5_000})
    assert worst.figures == {"leg_pnl": pytest.approx(-15_000)}


def test_folds_are_shown_where_they_happen() -> None:
    (folded,) = named(initial(account(MISSION), "folded"), "folded")
    # down 10 %: BTC loses 15,000, of ETH's gain of 6,000 half counts
    assert folded.value == pytest.approx(12_000)
    (worst,) = folded.children
    buckets = {node.row: node for node in worst.children}
    assert {row: node.value for row, node in buckets.items()} == pytest.approx({"BTC": -15_000, "ETH": 3_000})
    assert buckets["ETH"].expression == "gain * max(leg_pnl, 0) + loss * min(leg_pnl, 0)"
    assert buckets["ETH"].figures == {"leg_pnl": pytest.approx(6_000), "gain": 0.5, "loss": 1.0}


def test_a_worst_payoff_shows_every_price() -> None:
    held = account({"BTC-1.0-P": "-2", "BTC-0.8-P": "2"})
    (payoff,) = named(initial(held, "payoff"), "payoff")
    assert payoff.figures == {"payoff": (-20_000, -20_000, 0), "price": (0, 40_000, 50_000)}
    assert payoff.value == 20_000
    assert {leg.row: leg.value for leg in payoff.children} == {"BTC-1.0-P": -100_000, "BTC-0.8-P": 80_000}


def test_orders_are_filled_on_both_sides() -> None:
    held = account({"BTC-PERP": "1"}, orders=(order("BTC-PERP", "3"), order("BTC-PERP", "-1.5")))
    (sides,) = named(initial(held, "tiered"), "with_orders")
    assert sides.figures == {"held": 500, "bids": 1_000 + 2_000, "asks": 250}
    assert sides.expression == "max(held, bids, asks)"
    assert sides.inactive == ("held", "asks")
    bids = next(child for child in sides.children if child.name == "bids")
    assert named(bids, "tiered")[0].figures["notional"] == 200_000


def test_haircuts_differ_by_requirement() -> None:
    held = account({}, balances={"BTC": Decimal(2)})
    (tree,) = pool_trees(assessed(held, "tiered"), 0)
    for name, cut in (("initial", 0.2), ("maintenance", 0.1)):
        node = tree.adjusted_equity[name]
        assert node.figures == {"holdings": 200_000, "haircuts": pytest.approx(100_000 * cut)}
        assert {child.row for child in node.children if child.name == "holdings"} == {"USD", "BTC"}


SPECS = ["deribit-portfolio@2024-04-01", "derive-portfolio", "okx-portfolio", "reference", "deribit-portfolio-cross"]


@pytest.mark.parametrize("spec", SPECS)
def test_every_node_is_its_expression_and_every_figure_its_children(spec: str) -> None:
    rulebook = load_rulebook(spec)
    market = market_of(rulebook)
    book = assess_book(Book.from_accounts(portfolios(rulebook, market, 6, seed=11)), market, rulebook)
    seen = set()

    def check(node: Mapping[str, Any], found: float) -> None:
        seen.add(node["kind"])
        sums: dict[str, float] = {}
        for child in node["children"]:
            sums[child["name"]] = sums.get(child["name"], 0.0) + child["value"]
            if child["name"] == "worst_scenario" and not node["expression"].startswith("max(0, -tail"):
                assert isclose(child["value"], min(node["figures"]["pnl"]), rel_tol=1e-9, abs_tol=1e-9)
        for name, total in sums.items():
            figure = node["figures"].get(name, total)
            assert isinstance(figure, list) or isclose(figure, total, rel_tol=1e-9, abs_tol=1e-9), (node["name"], name)
        # a sum of gains and losses that nearly cancel is known to the digits of its parts
        scale = max([abs(total) for total in sums.values()], default=0.0)
        assert isclose(found, node["value"], rel_tol=1e-9, abs_tol=1e-12 * scale), (node["name"], node["expression"])

    for row in range(6):
        for tree in json.loads(msgspec.json.encode(pool_trees(book, row))):
            for node in (*tree["requirements"].values(), *tree["adjusted_equity"].values()):
                recompute(node, check)
    assert {"formula", "is", "scan", "scenario"} <= seen


def test_a_changed_figure_is_noticed() -> None:
    page = msgspec.json.encode(initial(account(MISSION), "tiered"))
    node = json.loads(page)
    assert recompute(node) == pytest.approx(node["value"], rel=1e-12)
    changed = json.loads(page.replace(b'"notional":200000.0', b'"notional":200001.0'))
    assert recompute(changed) == pytest.approx(node["value"] + 0.02, rel=1e-12)


def test_a_position_in_two_parts_is_explained_as_one() -> None:
    rulebook = load_rulebook("reference")
    market = market_of(rulebook)
    whole = portfolios(rulebook, market, 1, seed=5)[0]
    halves = tuple(
        msgspec.structs.replace(one, quantity=one.quantity / 2, accrued_funding=one.accrued_funding / 2, pool=pool)
        for one in whole.positions
        for pool in (None, "second")
    )
    split = msgspec.structs.replace(whole, positions=halves)
    pages = [pool_trees(assess_book(Book.from_accounts([one]), market, rulebook), 0) for one in (whole, split)]
    first, second = ([node for tree in page for node in walk(tree.requirements["initial"])] for page in pages)
    assert [(node.name, node.row) for node in first] == [(node.name, node.row) for node in second]
    assert [node.value for node in second] == pytest.approx([node.value for node in first], rel=1e-12)


def test_unverified_numbers_are_marked_where_they_are_read() -> None:
    rulebook = load_rulebook("okx-portfolio@2024-01-01")
    market = market_of(rulebook)
    book = assess_book(Book.from_accounts(portfolios(rulebook, market, 1, seed=2)), market, rulebook)
    nodes = [node for tree in pool_trees(book, 0) for node in walk(tree.requirements["initial"])]
    marked = {node.name: node.unverified for node in nodes}
    assert marked["mr7"]
    assert not marked["unit"]
