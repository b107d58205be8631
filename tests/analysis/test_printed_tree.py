"""A reader that knows nothing of the engine recomputes requirements from what `explain` prints."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import settings

from crossmargin.account import Book
from crossmargin.analysis.trees import Grower, pool_trees
from crossmargin.margin import PoolReport, assess_book
from crossmargin.sources import list_rulebooks, load_rulebook
from tests.strategies.portfolios import market_of, portfolios
from tests.twins.printed import recompute

RULEBOOKS = [shipped.spec for shipped in list_rulebooks()]
# 1,000 in all on every run; `make nightly` takes 1,000 under each rulebook
PER_RULEBOOK = 1_000 if settings.get_current_profile_name() == "nightly" else -(-1000 // len(RULEBOOKS))
TOLERANCE = 1e-9


def agrees(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=TOLERANCE, abs_tol=1e-12)


def printed_figures(pool: PoolReport) -> dict[str, float]:
    return {
        "initial": pool.initial_margin,
        "maintenance": pool.maintenance_margin,
        "adjusted initial": pool.adjusted_equity_initial,
        "adjusted maintenance": pool.adjusted_equity_maintenance,
        **{f"requirement {name}": amount for name, amount in pool.requirements.items()},
    }


def recomputed(tree: dict[str, Any]) -> dict[str, float]:
    requirements = {name: recompute(node) for name, node in tree["requirements"].items()}
    return {
        "initial": requirements["initial"],
        "maintenance": requirements["maintenance"],
        **{f"adjusted {name}": recompute(node) for name, node in tree["adjusted_equity"].items()},
        **{f"requirement {name}": amount for name, amount in requirements.items()},
    }


@pytest.mark.parametrize("spec", RULEBOOKS)
def test_the_printed_page_gives_every_figure(spec: str) -> None:
    rulebook = load_rulebook(spec)
    snapshot = market_of(rulebook)
    accounts = portfolios(rulebook, snapshot, PER_RULEBOOK, seed=7)
    book = assess_book(Book.from_accounts(accounts), snapshot, rulebook)
    assert not book.failures
    charged, grower = 0, Grower(book.evaluation)
    for row in range(len(accounts)):
        report = book.report(row)
        trees = json.loads(msgspec.json.encode(pool_trees(book, row, grower)))
        for pool, tree in zip(report.pools, trees, strict=True):
            found, expected = recomputed(tree), printed_figures(pool)
            wrong = {name: (found[name], expected[name]) for name in found if not agrees(found[name], expected[name])}
            assert not wrong, f"{accounts[row].id}, pool {pool.pool}: {wrong}"
            charged += pool.initial_margin > 0
    assert charged >= PER_RULEBOOK / 2
