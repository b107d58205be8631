"""A formula recorded on the template and run on legs is the formula evaluated on legs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.account import Book
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.expression import parse_expression
from crossmargin.margin.model import Formula
from crossmargin.margin.program.columns import RECORDED_FUNCTIONS, Column, Space
from crossmargin.margin.program.compact import compact
from crossmargin.margin.program.nodes import QUANTITY, NotRecordableError, Terms
from crossmargin.margin.program.program import make_market, template_of
from crossmargin.margin.program.recording import Recording
from crossmargin.margin.program.template import SIDES
from crossmargin.margin.program.unpack import unpack
from crossmargin.margin.tape import plain, scatter
from tests.strategies.books import market, random_accounts, rules
from tests.twins.recorded import on_legs

if TYPE_CHECKING:
    import numpy.typing as npt

SPEC = "reference@2020-01-01"
LEAVES = ("quantity", "long", "short", "notional", "pnl", "price", "entry_price", "bids", "delta", "mark_value")


class Both(NamedTuple):
    """One book evaluated and recorded: the evaluation, the recording, and the template cell of each leg."""

    evaluation: Evaluation
    recording: Recording
    cell: npt.NDArray[np.int64]


@cache
def both() -> Both:
    snapshot, rulebook = market(), rules(SPEC)
    book = compact(Book.from_accounts(random_accounts(SPEC, 3, 40)), snapshot, rulebook)
    moment = make_market(book.universe, snapshot, rulebook)
    resolved = unpack(book, moment, rulebook, 0, len(book))
    evaluation = Evaluation(resolved, rulebook)
    recording = Recording(template_of(book.universe, moment, rulebook), rulebook, moment.priced.refused)
    symbols = {name: n for n, name in enumerate(moment.priced.names.symbols)}
    names = [resolved.names.symbols[s] for s in resolved.contracts.symbol[resolved.legs.contract].tolist()]
    row_of = {int(c): n for n, c in enumerate(book.universe.rows.contract.tolist())}
    rows = np.asarray([row_of[_contract(symbols, name, book.universe.place)] for name in names])
    return Both(evaluation, recording, rows * SIDES + np.sign(resolved.legs.quantity).astype(np.int64) + 1)


def _contract(symbols: dict[str, int], name: str, place: Any) -> int:  # noqa: ANN401 - a mapping
    del symbols
    return int(place.get(name, place.get(f"\0{name}", -1)))


def formulas() -> st.SearchStrategy[str]:
    """Texts of formulas over leg measures."""
    leaf = st.one_of(st.sampled_from(LEAVES), st.sampled_from(["0", "1", "0.5", "3", "100"]))

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(pair, st.sampled_from("+-*")).map(lambda t: f"({t[0][0]} {t[1]} {t[0][1]})"),
            inner.map(lambda x: f"({x}) / price"),
            inner.map(lambda x: f"abs({x})"),
            st.tuples(pair, st.sampled_from(["min", "max"])).map(lambda t: f"{t[1]}({t[0][0]}, {t[0][1]})"),
            # of a number as it stands, or which side a tie takes would be a matter of rounding
            st.tuples(st.sampled_from(LEAVES), pair, st.sampled_from(["<", "<=", ">", ">="])).map(
                lambda t: f"when({t[0]} {t[2]} 0, {t[1][0]}, {t[1][1]})"
            ),
        )

    return st.recursive(leaf, grow, max_leaves=8)


@given(text=formulas())
def test_a_recorded_formula_is_the_formula(text: str) -> None:
    evaluation, recording, cell = both()
    formula = Formula(text, parse_expression(text))
    frames = [e.frame("leg", ()) for e in (evaluation, recording)]
    wanted = np.broadcast_to(evaluation.formula(formula, frames[0], "initial", {}), cell.shape)
    legs = evaluation.resolved.legs
    numbers = {name: np.asarray(getattr(legs, name)) for name in ("quantity", "cost", "accrued", "bids", "asks")}
    found = on_legs(recording.formula(formula, frames[1], "initial", {}), cell[frames[0].legs], numbers)
    scale = (
        np.abs(wanted) + np.abs(evaluation.measures["notional"]) ** 2 + 1.0
    )  # what sums in the tree may have cancelled
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted)) | (np.abs(found - wanted) <= 1e-12 * scale)
    assert same.all(), (text, found[~same][:3], wanted[~same][:3])


def leg_column(coefficient: float = 1.0) -> Column:
    sign = np.asarray([-1.0, 0.0, 1.0])
    return Column(Space("leg", 3, sign), Terms({QUANTITY: np.full(3, coefficient)}))


def test_what_the_side_decides_is_one_coefficient() -> None:
    q, f = leg_column(), RECORDED_FUNCTIONS
    assert f["abs"](q).node.by[QUANTITY].tolist() == [-1, 0, 1]
    assert f["max"](-q, 0.0).node.by[QUANTITY].tolist() == [-1, 0, 0]
    assert f["greater"](q, 0.0).tolist() == [False, False, True]
    assert set((2.0 * q + q * np.asarray([1.0, 2.0, 3.0])).node.by) == {QUANTITY}


def test_a_recorded_column_has_no_numbers_and_cannot_be_put_among_others() -> None:
    with pytest.raises(NotRecordableError):
        plain(leg_column())
    with pytest.raises(NotRecordableError):
        scatter(RECORDED_FUNCTIONS["sqrt"](leg_column()), np.arange(3), 3)


def test_columns_of_different_rows_do_not_meet() -> None:
    q = leg_column()
    with pytest.raises(NotRecordableError):
        q[np.asarray([0, 1])] + q
