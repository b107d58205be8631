"""The account engine against its plain twin: the same numbers however it is run, and no wrong input gets in."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.kernels import account_engine, kernels_here, threads_in_use, use_kernel
from tests.kernels.engine_desk import make_desk, twin_check
from tests.kernels.engine_programs import Maker, aligned
from tests.kernels.engine_twin import NONE, UNIT, Twin

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.kernels.native_accounts import AccountEngine

    Floats = npt.NDArray[np.float64]
    Mapping = dict[str, Any]

LEVELS = [name for name in kernels_here() if name != "numpy"]
OPS: dict[str, int] = dict(import_module("crossmargin.kernels.operations").OPS)
NAMES = {number: name for name, number in OPS.items()}
SEEDS = st.integers(0, 1 << 30)
UNFILLED = 7e77
pytestmark = pytest.mark.usefixtures("native")


def made(seed: int, units: int = 9, *, strange: bool = False) -> tuple[Mapping, Mapping]:
    rng = np.random.default_rng(seed)
    maker = Maker(rng, OPS, strange=strange)
    return maker.book(units), maker.program()


def filled(
    engine: AccountEngine, outputs: int, units: int, threads: int = 1, listed: npt.NDArray[np.int64] | None = None
) -> Floats:
    out = np.full((outputs, units if listed is None else len(listed)), UNFILLED)
    engine.run(listed, out, threads)
    return out


def close(found: Floats, wanted: Floats, largest: float = 0.0) -> None:
    """Equal but for rounding, of themselves and of the `largest` number that was met; without end is alike either way.

    The sign of a division by zero is that of the zero, and a sum's that of the first nothing in it.
    """
    found, wanted = (np.where(np.isinf(x), np.inf, x) for x in (found, wanted.reshape(found.shape)))
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-9 + 1e-13 * largest)


def bits(found: Floats) -> bytes:
    """The bits of numbers; what is none is alike, whatever its sign."""
    return np.where(np.isnan(found), np.nan, found).tobytes()


def shaken(book: Mapping, program: Mapping) -> Twin:
    """The twin of a book and a program whose numbers differ in their last digits."""
    rng = np.random.default_rng(0)

    def moved(given: Mapping, names: tuple[str, ...]) -> Mapping:
        return given | {name: given[name] * (1 + 1e-13 * rng.uniform(-1, 1, given[name].shape)) for name in names}

    numbers = moved(program, ("tables", "lanes", "matrices", "constants", "tier_upto", "tiers"))
    return Twin(moved(book, ("quantity", "extra_value", "inputs")), numbers, NAMES)


def settled(wanted: Floats, other: Floats, largest: float) -> npt.NDArray[np.bool_]:
    """Which figures do not hang on the last digits of what they are made of: no residue is divided by, or compared."""
    with np.errstate(all="ignore"):
        near = np.isclose(other, wanted, rtol=1e-10, atol=1e-10 * max(1.0, largest), equal_nan=True)
    return np.asarray(near)


@given(SEEDS, st.booleans(), st.integers(0, 12))
def test_a_program_gives_what_its_twin_gives(seed: int, strange: bool, units: int) -> None:
    book, program = made(seed, units, strange=strange)
    engine = account_engine(book, program)
    outputs = len(program["outputs"])
    found = filled(engine, outputs, units)
    twin = Twin(book, program, NAMES)
    wanted = twin.run() if units else found
    sure = settled(wanted, shaken(book, program).run() if units else found, twin.largest)
    close(found[sure], wanted[sure], twin.largest)
    listed = np.random.default_rng(seed).integers(0, max(units, 1), 5 if units else 0)
    assert bits(filled(engine, outputs, units, 1, listed)) == bits(found[:, listed])
    for level in LEVELS:
        use_kernel(level)
        assert bits(filled(engine, outputs, units)) == bits(found)


@given(SEEDS, st.data())
def test_a_trade_gives_what_its_twin_gives(seed: int, data: st.DataObject) -> None:
    book, program = made(seed)
    program["trade_kind"][:] = np.maximum(program["trade_kind"], 1)
    rows = len(program["multiplier"])
    if rows == 1:
        return
    if data.draw(st.booleans()):
        book["inputs"] = book["inputs"][:, :0].copy()
    rng = np.random.default_rng(data.draw(SEEDS))
    desk = make_desk(rng, book, program)
    engine, twin, other = account_engine(book, program, desk), Twin(book, program, NAMES), shaken(book, program)
    before = {name: array.copy() for name, array in book.items()}
    count = 8
    account, contract = rng.integers(0, len(desk["first"]), count), rng.integers(0, rows, count)
    quantity, price = (
        rng.choice([-12.5, -3.0, -1.0, 0.0, 0.5, 2.0, 7.0, 9.5], count),
        rng.choice([0.25, 4.0, 100.0, np.nan], count),
    )
    many, aside = np.empty((4, count)), np.empty(count, dtype=np.uint8)
    engine.checks(account, contract, quantity, price, rng.permutation(count), many, aside, 1)
    for i in range(count):
        stated = None if np.isnan(price[i]) else float(price[i])
        level = float(desk["mark"][contract[i]]) if stated is None else stated
        found = engine.check(int(account[i]), int(contract[i]), float(quantity[i]), stated)
        wanted = twin_check(twin, desk, int(account[i]), int(contract[i]), float(quantity[i]), level)
        assert bool(aside[i]) == (wanted is None)
        if wanted is None:
            assert np.isnan(many[:, i]).all()
        else:
            again = twin_check(other, desk, int(account[i]), int(contract[i]), float(quantity[i]), level)
            assert again is not None
            largest = max(twin.largest, np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
            sure = settled(wanted, again, largest)
            close(many[sure, i], wanted[sure], largest)
        assert (found is None) == (not np.isfinite(many[:, i]).all())
        assert found is None or np.array(found).tobytes() == many[:, i].tobytes()
    assert all(array.tobytes() == before[name].tobytes() for name, array in book.items())


def one_scan(
    columns: int = 64, chain: tuple[int, ...] = (3,), measure: int = 0, depth: int = 1, *, folded: bool = False
) -> Mapping:
    """Return a program of one scan, summed to the unit, over a template of 60 rows in 3 buckets."""
    rng = np.random.default_rng(7)
    rows, pitch = 60, -(-columns // 8) * 8
    matrix = np.zeros((rows, pitch))
    matrix[:, :columns] = rng.normal(size=(rows, columns))
    index = np.arange(rows)
    line = chain[-1]
    code = [(OPS["scan"], line, 0, 0, 0, 0, 0, 0)]
    if line != UNIT:
        code.append((OPS["sum"], UNIT, 0, 0, line, 0, 0, 0))
    return {
        "level_row": np.vstack([index, index // 5, index // 20, index % 3]).astype(np.int32),
        "level_rows": np.array([rows, 12, 3, 3]), "class_count": 1,
        "always_active": np.zeros(rows, dtype=np.uint8), "constants": np.array([0.5, 1.0, np.inf]),
        "tables": np.zeros(0), "tier_upto": np.zeros(0), "tiers": np.zeros((0, 4)),
        "tier_sets": np.zeros((0, 4), dtype=np.int64), "which": index.repeat(3).astype(np.int32),
        "code": np.array(code, dtype=np.int32),
        "registers": np.array([0, 0, 1, 1, 0, 1]), "lane_groups": np.zeros((0, 10), dtype=np.int64),
        "lanes": np.zeros(0), "matrices": aligned(matrix.ravel()),
        "scans": np.array([(0, 0, pitch, *chain, *[0] * (3 - len(chain)), 0, 1, 0, int(folded), 0)]),
        "folds": np.array([(0, chain[0], 0, columns, -1, -2, -3, NONE)] * int(folded), dtype=np.int64).reshape(-1, 8),
        "segments": np.array([(0, columns, measure, depth, 0, 0, -2, 0)]), "shares": np.full(depth, 1.0 / depth),
        "outputs": np.zeros(1, dtype=np.int32), "trade_kind": np.full(rows, 2, dtype=np.uint8),
        "multiplier": np.ones(rows), "by_side": 0,
    }  # fmt: skip


def plain_book(units: int, legs: int, rows: int = 60) -> Mapping:
    """Return units of as many legs each, without extras, side by side."""
    rng = np.random.default_rng(units)
    return {
        "row": np.sort(rng.integers(0, rows, (units, legs)), axis=1).astype(np.uint16).ravel(),
        "quantity": rng.normal(size=units * legs), "start": np.arange(units, dtype=np.uint32) * np.uint32(legs),
        "count": np.full(units, legs, dtype=np.uint32), "extra_start": np.zeros(units, dtype=np.uint32),
        "extra_count": np.zeros(units, dtype=np.uint32), "extra_leg": np.zeros(0, dtype=np.uint32),
        "extra_value": np.zeros(0), "pool_class": np.zeros(units, dtype=np.uint8), "inputs": np.zeros((0, units)),
    }  # fmt: skip


@pytest.mark.parametrize("chain", [(3,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize("measure", [0, 1])
def test_threads_and_levels_give_the_same_bits(chain: tuple[int, ...], measure: int) -> None:
    program = one_scan(130, chain, measure, 9, folded=len(chain) > 1)
    engine = account_engine(plain_book(20_000, 12), program)
    wanted = filled(engine, 1, 20_000).tobytes()
    for level in LEVELS:
        use_kernel(level)
        for threads in (1, 2, 4):
            assert filled(engine, 1, 20_000, threads).tobytes() == wanted


@pytest.mark.parametrize("columns", [70, 1_000, 5_000])
def test_long_tails_are_exact(columns: int) -> None:
    program, book = one_scan(columns, (5,), 1, columns // 40), plain_book(50, 10)
    book["quantity"] *= np.repeat(10.0 ** np.random.default_rng(1).integers(-9, 9, 50), 10)
    book["quantity"][:20] = 0.0
    close(filled(account_engine(book, program), 1, 50), Twin(book, program, NAMES).run())


def test_a_unit_of_a_hundred_thousand_legs() -> None:
    book = plain_book(3, 100_000)
    book["count"][:] = 1, 100_000, 0
    program = one_scan(64, (3, 5), folded=True)
    found = filled(account_engine(book, program), 1, 3)
    row, quantity = book["row"][100_000:200_000], book["quantity"][100_000:200_000]
    held = np.bincount(row, weights=quantity, minlength=60)
    pnl = (held[:, None] * program["matrices"].reshape(60, 64)).reshape(3, 20, 64).sum(axis=1)
    total = (0.5 * np.maximum(pnl, 0.0) + np.minimum(pnl, 0.0)).sum(axis=0)
    assert found[0, 1] == pytest.approx(-total.min(), rel=1e-9)
    assert found[0, 2] == 0.0


def payoffs() -> Mapping:
    """Return a program of the worst payoff of each bucket: of options on strikes 0, 1, ..., every other one a call."""
    program = one_scan(8)
    strike, put = np.repeat(np.arange(60.0), 3), np.repeat(np.arange(60) % 2 == 0, 3)
    program |= {"tables": strike, "lanes": np.concatenate([np.ones(180), put * strike, -1.0 * put])}
    program["lane_groups"] = np.array([(at, *[-1] * 9) for at in (0, 180, 360)])
    program["registers"] = np.array([1, 0, 1, 3, 0, 1])
    sums = [
        (OPS["legsum"], 0, 0, 0, 0, 0, 0, 1),
        (OPS["legsum"], 3, 1, 0, 0, 0, 1, 1),
        (OPS["legsum"], 3, 2, 0, 0, 0, 2, 1),
    ]
    worst = [(OPS["max_loss"], 3, 0, 0, 1, 2, 0, 1), (OPS["sum"], 5, 0, 0, 3, 0, 0, 1)]
    program["code"] = np.array([*sums, *worst], dtype=np.int32)
    return program


def test_an_account_of_many_options_takes_no_square_of_time() -> None:
    count = 100_000
    program, book = payoffs(), plain_book(1, count, 60)
    program["level_row"][2], program["level_rows"][2] = 0, 1
    found = filled(account_engine(book, program), 1, 1)[0, 0]
    held, strike = np.bincount(book["row"], weights=book["quantity"], minlength=60), np.arange(60.0)
    away = strike[:, None] - strike
    payoff = (held * np.maximum(np.where(strike % 2 == 1, away, -away), 0.0)).sum(axis=1)
    assert found == pytest.approx(max(0.0, -payoff.min()), rel=1e-9)


def test_two_threads_run_one_engine() -> None:
    book = plain_book(5_000, 12)
    engine = account_engine(book, one_scan(), plain_desk(book))
    wanted = filled(engine, 1, 5_000).tobytes()
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(filled, engine, 1, 5_000, 1 + i % 3) for i in range(12)]
        for i in range(2_000):
            engine.check(i, 3, 1.0, 2.0)
        assert all(run.result().tobytes() == wanted for run in runs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process")  # newer Pythons warn of forks among threads: that is what is tried
def test_the_engine_runs_in_a_child() -> None:
    engine = account_engine(plain_book(20_000, 12), one_scan())
    wanted = filled(engine, 1, 20_000, 4).tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if filled(engine, 1, 20_000, 4).tobytes() == wanted else 1)
    assert os.waitpid(child, 0)[1] == 0


def with_orders(units: int) -> tuple[Mapping, Mapping, Mapping]:
    """Return units of two legs with a bid each, a program that takes the worst side of their sums, and a desk."""
    rows, book = 4, plain_book(units, 2)
    book["row"], book["quantity"] = np.tile(np.arange(2, dtype=np.uint16), units), np.ones(2 * units)
    book |= {
        "extra_start": np.arange(units, dtype=np.uint32), "extra_count": np.ones(units, np.uint32),
        "extra_leg": np.full(units, 4 << 28, np.uint32), "extra_value": np.full(units, 3.0),
    }  # fmt: skip
    program = one_scan() | {
        "level_row": np.zeros((4, rows), np.int32), "level_rows": np.ones(4, np.int64),
        "always_active": np.zeros(rows, np.uint8), "which": np.zeros(0, np.int32),
        "lane_groups": np.array([[0] + [-1] * 9]), "lanes": np.ones(3 * rows), "scans": np.zeros((0, 11), np.int64),
        "segments": np.zeros((0, 8), np.int64), "registers": np.array([0, 0, 0, 0, 0, 2]),
        "outputs": np.array([1], np.int32), "trade_kind": np.full(rows, 2, np.uint8), "multiplier": np.ones(rows),
        "code": np.array([(OPS["legsum"], 5, 0, 0, 0, 0, 0, 1), (OPS["worst_side"], 5, 1, 0, 0, 0, 0, 0)], np.int32),
    }  # fmt: skip
    desk = {
        "first": np.arange(units, dtype=np.int32), "follow": np.full(units, -1, np.int32),
        "key": np.zeros(units, np.int32), "account_class": np.zeros(units, np.uint8),
        "refused": np.zeros(units, np.uint8), "figures": np.zeros((4, units)), "rate": np.ones(1),
        "mark": np.ones(rows), "rows": np.arange(rows, dtype=np.int32)[None], "pays": np.ones(rows, np.int32),
        "lands": np.zeros(rows, np.int32), "opens": np.zeros((1, rows), np.int32),
        "outputs": np.array([0, 0, 0, 0, -1], np.int32),
    }  # fmt: skip
    return book, program, desk


def test_many_trades_of_units_with_orders_in_a_thread_that_has_run_nothing() -> None:
    units = 200
    engine = account_engine(*with_orders(units))
    figures, aside = np.empty((4, units)), np.empty(units, dtype=np.uint8)
    trades = np.arange(units), np.zeros(units, np.int64), np.ones(units), np.full(units, 2.0), np.arange(units)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(engine.checks, *trades, figures, aside, 1).result()
    assert not aside.any()
    assert (figures[0] == 2.0 + 1.0 + 3.0).all()  # what is held, bought and bid for


def test_a_name_whose_search_drops_another_is_left_alone() -> None:
    book, program, desk = with_orders(3)
    numbers = {"account": int("1" + "0" * 18)}

    class Dropping:
        def __hash__(self) -> int:
            numbers.clear()
            return 5

    engine = account_engine(book, program, desk | {"numbers": numbers, "places": {"contract": 0}})
    assert engine.check("account", Dropping(), 1.0, 1.0) is None
    assert not numbers


def test_a_book_that_is_rewritten_shows() -> None:
    book, program = plain_book(4, 5), one_scan()
    engine = account_engine(book, program)
    filled(engine, 1, 4)
    book["quantity"] *= 2.0
    program["matrices"] *= 5.0
    close(filled(engine, 1, 4), Twin(book, program, NAMES).run())


@pytest.mark.parametrize(
    ("name", "change", "error", "match"),
    [
        ("row", lambda a: a + 60, IndexError, "unit 0: a leg's row is outside"),
        ("row", lambda a: a[::-1].copy(), ValueError, "unit 0: expected legs in ascending order"),
        ("start", lambda a: a + np.uint32(1 << 31), IndexError, "unit 0: its legs or extras are outside"),
        ("count", lambda a: a + np.uint32(4_000_000_000), IndexError, "outside the arena"),
        ("extra_count", lambda a: a + np.uint32(1), IndexError, "outside the arena"),
        ("pool_class", lambda a: a + np.uint8(1), IndexError, "its pool_class is not below class_count"),
    ],
)
def test_a_book_is_checked_while_it_runs(
    name: str, change: Callable[[Any], Any], error: type[Exception], match: str
) -> None:
    book = plain_book(4, 5)
    book[name] = change(book[name])
    engine = account_engine(book, one_scan())
    with pytest.raises(error, match=match):
        filled(engine, 1, 4)


@pytest.mark.parametrize("code", [5, 1 << 28, 9 << 28, 15 << 28])
def test_a_strange_extra_is_refused(code: int) -> None:
    book = plain_book(4, 5)
    book["extra_leg"], book["extra_value"] = np.array([code], dtype=np.uint32), np.ones(1)
    book["extra_count"][1] = 1
    engine = account_engine(book, one_scan())
    if code == 1 << 28:
        filled(engine, 1, 4)
        return
    with pytest.raises(IndexError, match="unit 1: expected extras in the order of its legs, of columns 1 to 8"):
        filled(engine, 1, 4)


@pytest.mark.parametrize(
    ("part", "name", "value", "error", "match"),
    [
        ("book", "quantity", np.zeros(19), ValueError, "quantity: expected 20 along axis 0, found 19"),
        ("book", "quantity", np.zeros(20, dtype=np.float32), TypeError, "quantity: expected items of float64"),
        ("book", "quantity", np.zeros(40)[::2], ValueError, "quantity: expected items that lie side by side"),
        ("book", "quantity", None, TypeError, "quantity: expected an array"),
        ("book", "row", np.zeros(20, dtype=np.int64), TypeError, "row: expected items of uint16 or int32"),
        ("book", "inputs", np.zeros((2, 3)), ValueError, "inputs: expected 4 along axis 1, found 3"),
        ("program", "class_count", 999, ValueError, "class_count: expected 0 to 256"),
        ("program", "class_count", "x", TypeError, "int"),
        ("program", "which", np.full(180, 9999, dtype=np.int32), ValueError, "a matrix within matrices"),
        ("program", "which", np.full(180, -1, dtype=np.int32), ValueError, "rows of a matrix"),
        ("program", "which", np.zeros(179, dtype=np.int32), ValueError, "a matrix row for each leg's key"),
        ("program", "level_row", np.full((4, 60), 99, dtype=np.int32), ValueError, "row 0 of level 1 is out of range"),
        ("program", "level_row", np.array([np.arange(60) % 2] * 4, np.int32), ValueError, "does not lie with its like"),
        ("program", "registers", np.full(6, -1), ValueError, "registers: level 0 is out of range"),
        ("program", "outputs", np.array([1], dtype=np.int32), ValueError, "outputs: 1 is not written"),
        ("program", "code", np.array([(OPS["table"], 5, *[0] * 6)], dtype=np.int32), ValueError, "within tables"),
        ("program", "segments", np.array([(0, 99, 0, 1, 0, 0, -2, 0)]), ValueError, "columns of a segment"),
        ("program", "segments", np.array([(0, 64, 1, 65, 0, 0, -2, 0)]), ValueError, "a depth within the segment"),
        ("program", "segments", np.array([(0, 60, 3, 1, -1, 0, -2, 0)]), ValueError, "a destination among the regist"),
        ("program", "scans", np.array([(0, 0, 64, 3, 0, 0, 0, 1, 0, 0, 256)]), ValueError, "a bit for each"),
        ("program", "scans", np.array([(-1, 9, 64, 3, 0, 0, 0, 1, 0, 0, 0)]), ValueError, "a matrix within"),
        ("program", "code", np.array([(99, 0, 0, 0, 0, 0, 0, 0)], dtype=np.int32), ValueError, "a number of OPS"),
        ("program", "code", np.array([(1, 5, 0, 0, 0, 0, 0, 0)], dtype=np.int32), ValueError, "written before"),
        ("program", "code", np.array([(1, 9, 0, 0, 0, 0, 0, 0)], dtype=np.int32), ValueError, "a level from 0 to 5"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_at_the_door(
    part: str, name: str, value: object, error: type[Exception], match: str
) -> None:
    given_parts = {"book": plain_book(4, 5), "program": one_scan()}
    given_parts[part][name] = value
    with pytest.raises(error, match=match):
        account_engine(given_parts["book"], given_parts["program"])


def carrying(takes: int, cells: tuple[int, int] = (0, 8), *, left: bool = True) -> Mapping:
    """A program whose scan leaves cells in registers from 1 on, from which `takes` sums of legs go on."""
    program = one_scan() | {"lane_groups": np.full((1, 10), -1)}
    scan, up = program["code"].tolist()
    program["code"] = np.array([scan, (OPS["legsum"], 3, 1, 0, 1, 0, 0, takes), up], dtype=np.int32)
    program["segments"] = np.array([*program["segments"].tolist(), *[(*cells, 3, 1, -1, 1, -2, 0)] * left])
    program["scans"] = np.array([(*program["scans"][0, :7], 1 + left, *program["scans"][0, 8:])])
    program["registers"] = np.array([0, 0, 0, 10, 0, 1])
    return program


def test_sums_go_on_from_registers_that_are_written() -> None:
    account_engine(plain_book(4, 5), carrying(8))
    account_engine(plain_book(4, 5), carrying(2, (60, 63)))
    for program in (carrying(9), carrying(4, (60, 63)), carrying(1, left=False)):
        with pytest.raises(ValueError, match="sums that are written before"):
            account_engine(plain_book(4, 5), program)
    with pytest.raises(ValueError, match="a destination among the registers"):
        account_engine(plain_book(4, 5), carrying(8, (0, 10)))


def test_strikes_ascend_within_a_row() -> None:
    program = payoffs()
    account_engine(plain_book(4, 5), program)
    for place, strike in ((30, 9.0), (30, 12.0), (0, -1.0)):
        changed = program | {"tables": program["tables"].copy()}
        changed["tables"][place] = strike
        if strike == 9.0:
            account_engine(plain_book(4, 5), changed)
            continue
        with pytest.raises(ValueError, match="strikes that ascend"):
            account_engine(plain_book(4, 5), changed)


def test_what_takes_quantities_without_their_sign_is_a_short_row() -> None:
    program = one_scan(columns=256)
    program["scans"][0, -1] = 1
    with pytest.raises(ValueError, match="if short"):
        account_engine(plain_book(4, 5), program)


def test_a_matrix_has_a_row_for_each_row_of_the_template() -> None:
    program = one_scan()
    program["scans"][0, 0] = -1
    account_engine(plain_book(4, 5), program)
    program["matrices"] = program["matrices"][:-8].copy()
    with pytest.raises(ValueError, match="a matrix within matrices"):
        account_engine(plain_book(4, 5), program)


def test_sums_of_legs_know_the_side_of_each() -> None:
    program, book = one_scan(), plain_book(40, 5)
    program["code"] = np.array([(OPS["legsum"], UNIT, 0, 0, 0, 0, 0, 1)], dtype=np.int32)
    program["lane_groups"] = np.array([(0, *[-1] * 9)])
    program["lanes"] = np.tile([1.0, 0.0, 10.0], 60)
    wanted = np.where(book["quantity"] > 0, 10.0, 1.0) * book["quantity"]
    found = filled(account_engine(book, program), 1, 40)[0]
    np.testing.assert_allclose(found, wanted.reshape(40, 5).sum(axis=1), rtol=1e-12)


def test_a_worst_cell_without_end_is_a_loss_without_end() -> None:
    program = one_scan()
    program["matrices"][[0, 8]] = np.inf, -np.inf  # of the first row, and of one lane
    book = plain_book(1, 1)
    book["row"][:], book["quantity"][:] = 0, 1.0
    for level in LEVELS:
        use_kernel(level)
        assert filled(account_engine(book, program), 1, 1).tolist() == [[np.inf]]


def test_a_sum_of_legs_may_read_columns_of_the_same_coefficients() -> None:
    program = one_scan()
    program["code"] = np.array([(OPS["legsum"], UNIT, 0, 0, 0, 0, 0, 1)], dtype=np.int32)
    program["lane_groups"] = np.array([(0, 0, *[-1] * 8)])
    program["lanes"] = np.ones(180)
    book = plain_book(4, 5)
    found = filled(account_engine(book, program), 1, 4)
    np.testing.assert_allclose(found[0], book["quantity"].reshape(4, 5).sum(axis=1), rtol=1e-12)
    for offset in (1, -2):
        program["lane_groups"][0, 4] = offset
        with pytest.raises(ValueError, match="within lanes"):
            account_engine(book, program)


def test_what_is_missing_is_named() -> None:
    for part in (0, 1):
        parts = [plain_book(4, 5), one_scan()]
        for name in list(parts[part]):
            value = parts[part].pop(name)
            with pytest.raises(ValueError, match=f"expected an entry {name}"):
                account_engine(*parts)
            parts[part][name] = value


def test_the_doors_of_run_and_what_if_are_narrow() -> None:
    engine = account_engine(plain_book(4, 5), one_scan())
    out = np.empty((1, 4))
    with pytest.raises(ValueError, match="out: expected 4 along axis 1, found 3"):
        engine.run(None, np.empty((1, 3)), 1)
    with pytest.raises(ValueError, match="out: expected 1 along axis 0, found 2"):
        engine.run(None, np.empty((2, 4)), 1)
    with pytest.raises(IndexError, match="unit 4 is outside the book"):
        engine.run(np.array([4]), out, 1)
    with pytest.raises(ValueError, match="side by side"):
        engine.run(None, np.empty((1, 8))[:, ::2], 1)
    out.flags.writeable = False
    with pytest.raises(TypeError, match="a writable array"):
        engine.run(None, out, 1)


def test_the_doors_of_checks_are_narrow() -> None:
    book = plain_book(4, 5)
    engine = account_engine(book, one_scan(), plain_desk(book))
    good = engine.check(0, 3, 1.0, 1.0)
    assert good is not None
    assert good == engine.check(0, 3, 1.0, None)
    asked: list[tuple[Any, ...]] = [
        (-1, 3, 1.0, 1.0), (4, 3, 1.0, 1.0), (0, -1, 1.0, 1.0), (0, 60, 1.0, 1.0), (0, 50, 1.0, 1.0),
        ("a", 3, 1.0, 1.0), (0, 3, np.nan, 1.0), (0, 3, 0.0, 1.0), (0, 3, "b", 1.0), (0, 3, 1.0, np.inf),
        (0, 3, 1.0, 0.0), (0, 3, 1.0, np.nan), (2**70, 3, 1.0, 1.0),
    ]  # fmt: skip
    assert [engine.check(*one) for one in asked] == [None] * len(asked)
    with pytest.raises(TypeError, match="expected 4 arguments, found 2"):
        engine.check(1, 1)
    numbers, prices = np.zeros(2, dtype=np.int64), np.ones(2)
    right: tuple[Any, ...] = (
        numbers,
        numbers + 3,
        prices,
        prices,
        np.arange(2),
        np.empty((4, 2)),
        np.empty(2, dtype=np.uint8),
        1,
    )
    engine.checks(*right)
    wrong = (
        (1, numbers[:1]),
        (2, prices[:1]),
        (4, np.arange(3)),
        (5, np.empty((3, 2))),
        (6, np.empty(1, dtype=np.uint8)),
    )
    for place, value in wrong:
        with pytest.raises(ValueError, match="expected"):
            engine.checks(*(*right[:place], value, *right[place + 1 :]))
    with pytest.raises(IndexError):
        engine.checks(*(*right[:4], np.array([0, 2]), *right[5:]))
    assert account_engine(book, one_scan()).check(0, 3, 1.0, 1.0) is None
    with pytest.raises(ValueError, match="without a desk"):
        account_engine(book, one_scan()).checks(*right)


def test_a_check_goes_by_name_and_not_while_an_event_is_under_way() -> None:
    class Answer(NamedTuple):
        initial: float
        maintenance: float
        available: float
        headroom: float

    book = plain_book(4, 5)
    desk = plain_desk(book)
    wanted = account_engine(book, one_scan(), desk).check(2, 3, 1.0, 1.0)
    quiet = np.ones(1, dtype=np.uint8)
    named = desk | {"numbers": {"a": 2}, "places": {"x": 3}, "answer": Answer, "quiet": quiet}
    engine = account_engine(book, one_scan(), named)
    assert wanted is not None
    assert engine.check("a", "x", 1.0, 1.0) == engine.check(2, "x", 1.0, 1.0) == wanted
    assert isinstance(engine.check("a", "x", 1.0, 1.0), Answer)
    strange: list[Any] = ["b", None, 2.0, [], "x"]
    assert [engine.check(one, "x", 1.0, 1.0) for one in strange] == [None] * len(strange)
    assert [engine.check("a", one, 1.0, 1.0) for one in (*strange[:-1], 3)] == [None] * len(strange)
    quiet[0] = 0
    assert engine.check("a", "x", 1.0, 1.0) is None
    wrong: dict[str, Any] = {"numbers": [], "places": None, "answer": list}
    for name, value in wrong.items():
        with pytest.raises(TypeError, match="expected tables by name"):
            account_engine(book, one_scan(), named | {name: value})


def plain_desk(book: Mapping) -> Mapping:
    """Return a desk of an account for each unit, in which everything is paid by contract 50."""
    units, zeros = len(book["start"]), np.zeros(60, dtype=np.int32)
    return {
        "first": np.arange(units, dtype=np.int32), "follow": np.full(units, -1, dtype=np.int32),
        "key": np.zeros(units, dtype=np.int32), "account_class": np.zeros(units, dtype=np.uint8),
        "refused": np.zeros(units, dtype=np.uint8), "figures": np.zeros((4, units)), "rate": np.ones(1),
        "mark": np.ones(60), "rows": np.arange(60, dtype=np.int32)[None], "pays": zeros + 50, "lands": zeros,
        "opens": zeros[None], "outputs": np.array([0, 0, 0, 0, -1], dtype=np.int32),
    }  # fmt: skip


@given(SEEDS)
def test_random_integers_give_errors_and_no_crash(seed: int) -> None:
    book, program = made(seed, 4, strange=True)
    rng = np.random.default_rng(seed)
    wild = [-1, 0, 1, 2, 3, 5, 7, 8, 63, 64, 1 << 20, -(1 << 20), 2**31 - 1, NONE, 2**62, -(2**62), 2**63 - 1, -(2**63)]
    desk = make_desk(rng, book, program)
    integers = [
        value
        for value in (*program.values(), *desk.values())
        if isinstance(value, np.ndarray) and value.dtype.kind == "i" and value.size
    ]
    for _ in range(int(rng.integers(1, 4))):
        array = integers[int(rng.integers(0, len(integers)))]
        fitting = [w for w in wild if np.iinfo(array.dtype).min <= w <= np.iinfo(array.dtype).max]
        array.reshape(-1)[rng.integers(0, array.size)] = fitting[int(rng.integers(0, len(fitting)))]
    for name in ("row", "start", "count", "extra_start", "extra_count", "extra_leg", "pool_class"):
        if book[name].size and rng.random() < 0.1:
            book[name][rng.integers(0, book[name].size)] = np.iinfo(book[name].dtype).max
    try:
        engine = account_engine(book, program, desk)
        found = filled(engine, len(program["outputs"]), 4)
        for account in range(2):
            engine.check(account, 0, 1.0, 1.0)
    except (ValueError, IndexError):
        return
    assert not (found == UNFILLED).any()  # every unit was answered


def test_numpy_has_no_engine() -> None:
    use_kernel("numpy")
    with pytest.raises(InputError, match="the NumPy kernel serves"):
        account_engine({}, {})
    assert threads_in_use() >= 1
