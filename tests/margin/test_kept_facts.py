"""What is kept does not show: scenario sets of one pass are those repriced alone, a copied rulebook is asked anew."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from crossmargin.account import Account, Book
from crossmargin.analysis.lint.accounts import make_cases
from crossmargin.analysis.lint.market import CALM, make_snapshot
from crossmargin.errors import FailureReason, InputError, RulebookError
from crossmargin.margin import assess_book
from crossmargin.margin.model import Scan
from crossmargin.margin.program.compact import compact
from crossmargin.margin.shocks import scenario_cells
from crossmargin.sources import load_rulebook
from tests.margin.rules import made
from tests.strategies.books import option, perpetual, position, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.margin import BookReport
    from crossmargin.margin.model import Rulebook


def assessed(rulebook: Rulebook) -> BookReport:
    """Made-up accounts of a few positions each."""
    snapshot = make_snapshot(rulebook, CALM)
    book = Book.from_accounts(case.account for case in make_cases(rulebook, snapshot, quick=True))
    return assess_book(book, snapshot, rulebook)


@pytest.mark.parametrize("name", ["deribit-portfolio", "derive-portfolio", "okx-portfolio", "kraken-portfolio"])
def test_sets_repriced_in_one_pass_are_those_repriced_alone(name: str) -> None:
    rulebook = load_rulebook(name)
    report = assessed(rulebook)
    sets = list(dict.fromkeys(line.spec.scenarios for line in rulebook.lines.values() if isinstance(line.spec, Scan)))
    assert len(sets) > 1
    kept = report.evaluation.shared
    for one in sets:
        alone, together = scenario_cells(report.resolved, rulebook, [one])[one], kept["cells", one, "pnl"]
        assert together.axes.vol == alone.axes.vol
        for column in ("spot", "weight", "today"):
            np.testing.assert_array_equal(getattr(together, column), getattr(alone, column))
        np.testing.assert_array_equal(together.valuation.gain, alone.valuation.gain)
        np.testing.assert_array_equal(together.valuation.shocked, alone.valuation.shocked)


def sent(rulebook: Rulebook) -> Rulebook:
    """The rulebook as another process gets it."""
    found: Rulebook = pickle.loads(pickle.dumps(rulebook))  # noqa: S301 - made here
    return found


@pytest.mark.parametrize("copied", [copy.deepcopy, sent, lambda one: replace(one, title="another")])
def test_a_copied_rulebook_is_asked_anew(copied: Callable[[Rulebook], Rulebook]) -> None:
    """Answers stand by the identity of what was asked: none of them may travel."""
    rulebook = load_rulebook("deribit-portfolio")
    figures = assessed(rulebook).unit_initial
    assert rulebook.facts.fixed
    assert rulebook.facts.varies
    another = copied(rulebook)
    assert not another.facts.fixed
    assert not another.facts.varies
    np.testing.assert_array_equal(assessed(another).unit_initial, figures)
    assert another.facts.varies == rulebook.facts.varies
    assert all(kept is rulebook.facts.fixed[key][0] for key, (kept, _) in rulebook.facts.fixed.items())


def test_a_set_that_must_be_supplied_waits_until_it_is_asked_for() -> None:
    """A scan that nobody reads may lack its calibration; whoever reads it is told."""
    body = """
[scenarios]
moves = [ { spot = [-0.2, 0.2] } ]
history = [ { supplied = "days" } ]
[charges.charge]
kind = "scan"
scenarios = "moves"
level = "bucket"
of = "perpetual"
[charges.unread]
reported_only = true
kind = "scan"
scenarios = "history"
level = "bucket"
of = "perpetual"
"""
    listed = perpetual("BTC", "USDC")
    book = Book.from_accounts([Account(id="a", positions=(position(listed, 2),))])
    report = assess_book(book, snapshot_of([listed]), made(body))
    assert report.unit_initial[0] == pytest.approx(2 * 0.2 * 60_060 * 0.9995, rel=1e-12)
    with pytest.raises(InputError, match="days"):
        report.evaluation.line("unread", "initial")


@pytest.mark.parametrize("slopes", ['gain = "skew", loss = 1.0', 'gain = 1.0, loss = "1 / (days - days)"'])
def test_a_slope_that_is_no_number_refuses_whichever_way_the_row_goes(slopes: str) -> None:
    """In the evaluation as in the compiled program: no figure rests on a branch that happened not to count."""
    body = f"""
[scenarios]
moves = [ {{ spot = [-0.2, -0.1] }} ]
[charges.charge]
kind = "scan"
scenarios = "moves"
level = "bucket"
of = "perpetual"
fold = {{ bucket = {{ {slopes} }} }}
"""
    rulebook, listed = made(body), perpetual("BTC", "USDC", skew=None)
    snapshot = snapshot_of([listed])
    for quantity in (2, -2):
        book = Book.from_accounts([Account(id="a", positions=(position(listed, quantity),))])
        for one in (book, compact(book, snapshot, rulebook)):
            failures = assess_book(one, snapshot, rulebook).failures
            assert failures[0].reason is FailureReason.UNDEFINED_RESULT


@pytest.mark.parametrize("default", [", default = 7.0", ""])
@pytest.mark.parametrize("by", ["bucket", "settlement_asset", "asset", "kind", "instrument"])
def test_an_account_of_nothing_reads_a_table_without_a_refusal(by: str, default: str) -> None:
    """Alone, and beside others whose contracts stand in the table or not."""
    known, other = perpetual("BTC", "USDC"), perpetual("ETH", "USDC")
    keys = {"settlement_asset": "USDC", "kind": "perpetual", "instrument": known.symbol}
    body = f"""
[parameters]
rate = {{ by = "{by}", {keys.get(by, "BTC")} = 3.0{default} }}
[charges.charge]
level = "account"
is = "notional"
"""
    rulebook = made(body, requirement="charge * (1 + rate)")
    empty = Account(id="empty")
    for beside in ([], [known], [other]):
        held = [Account(id=one.symbol, positions=(position(one, 2),)) for one in beside]
        for accounts in ([empty, *held], [*held, empty]):
            report = assess_book(Book.from_accounts(accounts), snapshot_of([known, other]), rulebook)
            place = accounts.index(empty)
            assert place not in report.failures
            assert report.unit_initial[report.unit_account == place].tolist() == [0.0]


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ('spot = [-0.5], weight = "w"', "cannot vary by requirement"),
        ('spot = [-0.5], scale = "1 + w"', "cannot vary by requirement"),
        ('spot = [-0.5], scale = "spot_free"', "cannot vary by requirement"),
        ("spot = [-0.5, 0.5], weight = [1.0, 0.5, 0.2]", "3 weights of 2 scenarios"),
        ("spot = [-0.5, 0.5], basis = [0, 1], weight = [1.0]", "1 weights of 4 scenarios"),
    ],
)
def test_a_scenario_that_no_requirement_could_read_is_refused_with_its_place(block: str, told: str) -> None:
    body = f"""
[parameters]
w = {{ maintenance = 0.5, initial = 1.0 }}
spot_free = "w + w"
[scenarios]
moves = [ {{ {block} }} ]
[charges.charge]
kind = "scan"
scenarios = "moves"
level = "bucket"
of = "perpetual"
"""
    with pytest.raises(RulebookError, match=told):
        made(body)


def test_a_bare_name_that_overflows_is_read_as_quietly_as_a_formula() -> None:
    """A line asked for after the assessment, as explanations do: an infinite figure is refused and never warned of."""
    body = """
[charges.unread]
reported_only = true
level = "leg"
is = "notional"
"""
    listed = perpetual("BTC", "USDC", mark_price=1e10)
    book = Book.from_accounts([Account(id="a", positions=(position(listed, 1e300),))])
    report = assess_book(book, snapshot_of([listed]), made(body, requirement="0"))
    assert np.isinf(report.evaluation.line("unread", "initial")).tolist() == [True]


def test_a_supplied_set_has_the_bits_of_one_repriced_alone() -> None:
    """A stated set that takes prices to 0 is repriced another way, which must not reach what is supplied."""
    body = """
[scenarios]
falls = [ { spot = [-1.0, 0.2] } ]
history = [ { supplied = "days" } ]
[charges.stated]
kind = "scan"
scenarios = "falls"
level = "bucket"
[charges.charge]
kind = "scan"
scenarios = "history"
level = "bucket"
"""
    rng = np.random.default_rng(5)
    listed = [option("BTC", "USDC", 40, strike, call=True) for strike in range(40_000, 90_000, 500)]
    moves = [float(move) for move in rng.normal(0, 0.05, 60)]
    snapshot = snapshot_of(listed, calibration={"days": {"BTC": moves}})
    book = Book.from_accounts([Account(id="a", positions=tuple(position(one, 1) for one in listed))])
    report = assess_book(book, snapshot, made(body, requirement="charge + stated"))
    alone = scenario_cells(report.resolved, report.evaluation.rulebook, ["history"])["history"]
    kept = report.evaluation.shared["cells", "history", "pnl"]
    assert kept.valuation.gain.tobytes() == alone.valuation.gain.tobytes()
