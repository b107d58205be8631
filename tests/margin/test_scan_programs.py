"""Scans as a program lays them out: folds behind the measure, shared columns, sums of legs beside them.

Whatever a rulebook's scans are, the engine gives what the evaluation does, which knows nothing of columns.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import kernels
from crossmargin.account import Account, Book
from crossmargin.margin import assess_book, compact
from crossmargin.margin.program.assess import program_of
from crossmargin.margin.program.program import make_market
from tests.margin.rules import made
from tests.margin.test_program import FIGURES, gross
from tests.strategies.books import LATEST, market, position, random_accounts, snapshot_of

if TYPE_CHECKING:
    from crossmargin.margin import CompactReport, Rulebook
    from crossmargin.market import Snapshot

pytestmark = pytest.mark.skipif(not kernels.operations(), reason="programs are compiled, and the NumPy kernel serves")

REFERENCE = next(spec for spec in LATEST if spec.startswith("reference@"))
_HEAD = """
[parameters]
range = { by = "bucket", BTC = 0.15, ETH = 0.2, default = 0.3 }
lift = 0.4
[shocks]
vol.up = "iv * (1 + lift)"
[scenarios]
"""
_SCENARIOS = {
    "moves": '[{ spot = [-1, 0, 1], vol = ["up", "same"], scale = "range" }, { spot = [-0.5, 0.5], weight = 0.5 }]',
    "folded": '[{ spot = [-1, 1], vol = ["up"], scale = "range", fold.bucket = { gain = 0.5, loss = 1 } }]',
    "few": '[{ spot = [-1, 1], vol = ["up"], scale = "range" }]',
    "eight": '[{ spot = [-1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1], vol = ["up"], scale = "range" }]',
}
_SUMS = """
[charges.size]
is = "rate * abs(quantity) * price"
rate = 0.01
of = ["option", "perpetual", "future"]
[charges.sold]
is = "rate * max(0, -quantity) * price"
rate = 0.02
of = "option"
[charges.odd]
is = "rate * max(0, quantity) * price + other * max(0, -quantity) * price"
rate = 0.01
other = 0.03
of = ["perpetual", "future"]
[charges.net]
level = "bucket"
is = "rate * abs(delta_value)"
rate = 0.01
of = ["option", "perpetual", "future"]
"""
_KINDS = [f"{money} {kind}" for money in ("inverse", "linear") for kind in ("option", "perpetual", "future")]


@st.composite
def slopes(draw: st.DrawFn, name: str) -> tuple[str, dict[str, int]]:
    """A fold and the amounts that it names; one in some makes a loss of a gain, or turns the order of losses round."""
    gain, loss = draw(st.sampled_from([0, 0, 0.5, 1, -0.5])), draw(st.sampled_from([1, 1, 0.5, 2, 0, -1]))
    cap, deductible = draw(st.sampled_from([None, 300, -50])), draw(st.sampled_from([None, 500, 50_000, -20]))
    amounts = {f"{name}_cap": cap, f"{name}_less": deductible}
    more = "".join(
        f', {part} = "{amount} / numeraire"'
        for part, amount in zip(("gain_cap", "deductible"), amounts, strict=True)
        if amounts[amount] is not None
    )
    found = {amount: value for amount, value in amounts.items() if value is not None}
    return f"{{ gain = {gain}, loss = {loss}{more} }}", found


@st.composite
def scan_lines(draw: st.DrawFn, scenarios: str) -> str:
    """One scan, of the contracts of one money or of any, folded at its own level, at expiries, or not."""
    level = draw(st.sampled_from(["bucket", "bucket", "bucket", "account", "expiry"]))
    some = st.lists(st.sampled_from(_KINDS), min_size=1, unique=True)
    of = draw(st.one_of(st.sampled_from([_KINDS[:3], _KINDS[3:]]), some))
    measure = draw(st.sampled_from(["worst", "worst", "worst", "mean", "expected_shortfall"]))
    lines = [f'kind = "scan"\nlevel = "{level}"\nscenarios = "{scenarios}"\nmeasure = "{measure}"']
    lines += [f"of = {of}".replace("'", '"'), *(["confidence = 0.7"] if measure == "expected_shortfall" else [])]
    amounts: dict[str, int] = {}
    for at in sorted({level, "expiry"}):
        if draw(st.booleans()):
            fold, named = draw(slopes(at))
            lines.append(f"fold.{at} = {fold}")
            amounts |= named
    lines += [f"{name} = {value}" for name, value in amounts.items()]
    lines += ["unit = { " + ", ".join(f'{name} = "USD"' for name in amounts) + " }"] if amounts else []
    return "\n".join([*lines, *draw(st.sampled_from([[], [], ['weight = "half"', "half = 0.5"]]))])


@st.composite
def rulebooks(draw: st.DrawFn) -> Rulebook:
    """One to three scans, with sums of legs by quantity, by size and by side, or without."""
    read = draw(st.lists(st.sampled_from(sorted(_SCENARIOS)), min_size=1, max_size=3))
    body = "".join(f"{name} = {_SCENARIOS[name]}\n" for name in sorted(set(read)))
    body += "".join(f"[charges.scan{n}]\n{draw(scan_lines(name))}\n" for n, name in enumerate(read))
    sums = draw(st.booleans())
    names = [f"scan{n}" for n in range(len(read))] + (["size", "sold", "odd", "net"] if sums else [])
    return made(_HEAD + body + (_SUMS if sums else ""), requirement=" + ".join(names))


@cache
def moment(money_by_bucket: bool) -> tuple[Book, Snapshot]:
    """Some accounts and their market; in it each bucket has contracts of one money, or of any."""
    snapshot, accounts = market(), list(random_accounts(REFERENCE, 5, 25, orders=False))
    if not money_by_bucket:
        return Book.from_accounts(accounts), snapshot
    kept = {s: one for s, one in snapshot.listings.items() if (one.contract == "inverse") == (one.underlying == "BTC")}
    return Book.from_accounts([_of(account, kept) for account in accounts]), snapshot_of(list(kept.values()))


def _of(account: Account, listings: dict[str, Any]) -> Account:
    held = tuple(one for one in account.positions if one.instrument in listings)
    return type(account)(id=account.id, balances=account.balances, positions=held)


@given(rulebooks(), st.booleans())
def test_the_engine_gives_what_the_evaluation_does(rulebook: Rulebook, money_by_bucket: bool) -> None:
    assert check(rulebook, *moment(money_by_bucket)).engine


def check(rulebook: Rulebook, book: Book, snapshot: Snapshot) -> CompactReport:
    """Return the report of a compact book, which has the figures and the refusals of the book."""
    wanted = assess_book(book, snapshot, rulebook)
    found = assess_book(compact(book, snapshot, rulebook), snapshot, rulebook)
    assert found.failures == wanted.failures
    for name in FIGURES:
        off = found.account_sum(getattr(found, f"unit_{name}")) - wanted.account_sum(getattr(wanted, f"unit_{name}"))
        assert (np.abs(off) <= 1e-12 * gross(wanted)).all(), name
    return found


def _arrays(scenarios: str, body: str, names: str, *, money_by_bucket: bool) -> dict[str, Any]:
    book, snapshot = moment(money_by_bucket)
    rulebook = made(f"{_HEAD}{scenarios} = {_SCENARIOS[scenarios]}\n{body}", requirement=names)
    universe = compact(book, snapshot, rulebook).universe
    program = program_of(universe, make_market(universe, snapshot, rulebook), rulebook)
    assert program is not None
    return program.arrays


def _line(name: str, kinds: list[str], scenarios: str = "eight", more: str = "") -> str:
    of = f"of = {kinds}".replace("'", '"')
    return f'[charges.{name}]\nkind = "scan"\nlevel = "bucket"\n{of}\nscenarios = "{scenarios}"\n{more}\n'


@pytest.mark.parametrize(
    ("money_by_bucket", "more", "pitch"), [(True, "", 8), (False, "", 16), (True, 'weight = "half"\nhalf = 0.5', 24)]
)
def test_lines_that_never_meet_share_columns(money_by_bucket: bool, more: str, pitch: int) -> None:
    body = _line("a", _KINDS[:3]) + _line("b", _KINDS[3:], more=more)
    assert _arrays("eight", body, "a + b", money_by_bucket=money_by_bucket)["scans"][:, 2].tolist() == [pitch]
    check(made(f"{_HEAD}eight = {_SCENARIOS['eight']}\n{body}", requirement="a + b"), *moment(money_by_bucket))


def test_a_line_with_folds_of_its_own_and_of_its_scenarios_folds_twice() -> None:
    line = _line("a", _KINDS, "folded", "fold.bucket = { gain = 0.25, loss = 2 }")
    check(made(f"{_HEAD}folded = {_SCENARIOS['folded']}\n{line}", requirement="a"), *moment(money_by_bucket=False))


@pytest.mark.parametrize("slope", ["gain", "loss"])
def test_a_slope_without_end_is_refused_on_every_path(slope: str) -> None:
    other = "loss" if slope == "gain" else "gain"
    line = _line("a", _KINDS, more=f'fold.bucket = {{ {slope} = "one / none", {other} = 1 }}\none = 1\nnone = 0')
    book, snapshot = moment(money_by_bucket=False)
    rulebook = made(f"{_HEAD}eight = {_SCENARIOS['eight']}\n{line}", requirement="a")
    wanted = assess_book(book, snapshot, rulebook)
    assert wanted.failures
    assert assess_book(compact(book, snapshot, rulebook), snapshot, rulebook).failures.keys() == wanted.failures.keys()


def test_close_outs_above_a_finer_fold_are_evaluated() -> None:
    block = "[{ spot = [-0.2, 0.2], fold.expiry = { gain = 0.5, loss = 1 } }]"
    line = _line("a", ["linear option", "linear perpetual"], "few", "close_out.bucket = { gain = 0.9, loss = 1.1 }")
    rulebook = made(f"[scenarios]\nfew = {block}\n{line}", requirement="a")
    assert not check(rulebook, *moment(money_by_bucket=False)).engine


def test_a_leg_adds_the_same_product_beside_a_scan() -> None:
    """Equity equals the requirement to the bit: a position that is paid for in full is healthy."""
    body = (
        _line("a", ["linear perpetual"], "few")
        + """
[charges.paid]
of = "option"
is = "max(quantity, 0) * price + rate * max(-quantity, 0) * index"
rate = 0.15
[charges.bucket]
level = "bucket"
is = "paid"
"""
    )
    rulebook, snapshot = made(f"{_HEAD}few = {_SCENARIOS['few']}\n{body}", requirement="a + bucket"), market()
    options = [one for one in snapshot.listings.values() if one.kind == "option" and one.contract == "linear"]
    accounts = [
        Account(id=f"{one.symbol} {n}", positions=(position(one, 0.1 * (1 + n)),)) for one in options for n in range(9)
    ]
    book = Book.from_accounts(accounts)
    for either in (book, compact(book, snapshot, rulebook)):
        assert {row.state for row in assess_book(either, snapshot, rulebook).rows()} == {"healthy"}


def test_a_fold_that_keeps_the_order_bends_the_worst_loss_alone() -> None:
    def folds(of: str) -> int:
        line = _line("a", _KINDS, more=f'fold.bucket = {of}\nless = 100\nunit = {{ less = "USD" }}')
        return int(_arrays("eight", line, "a", money_by_bucket=False)["folds"].shape[0])

    assert folds('{ gain = 0.5, loss = 2, deductible = "less / numeraire" }') == 0
    assert folds('{ gain = -0.5, loss = 1, deductible = "less / numeraire" }') == 1
    assert folds('{ gain = 0, loss = -1, deductible = "less / numeraire" }') == 1
    assert folds('{ gain = 1, loss = 1, deductible = "-less / numeraire" }') == 1


def test_sums_of_legs_stand_in_what_a_scan_leaves_of_its_vector() -> None:
    kept = "[charges.net]" + _SUMS.split("[charges.net]")[1]
    size = _SUMS.split("[charges.sold]", maxsplit=1)[0]
    for sums, names, unsigned in ((kept, "net", False), (kept + size, "net + size", True)):
        arrays = _arrays("few", _line("a", _KINDS, "few") + sums, f"a + {names}", money_by_bucket=False)
        assert arrays["scans"][:, 2].tolist() == [8]
        assert bool(arrays["scans"][0, -1]) == unsigned
        assert [row[4] for row in arrays["code"].tolist() if row[0] == kernels.operations()["legsum"]] == [1]
