"""Who pays what of a loss: exact, conserving, whatever the caps, the weights and the order."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.liquidation.allocate import Payer, Rule, allocate, parted, water_filled

RULES: tuple[Rule, ...] = ("queue", "pro_rata", "water_fill")
AMOUNT = st.integers(0, 10**6)
CAP = st.none() | st.integers(0, 10**5)


@st.composite
def payers(draw: st.DrawFn) -> list[Payer]:
    rows = draw(st.lists(st.tuples(CAP, AMOUNT, st.integers(-5, 5), st.integers(-10, 10**5)), max_size=12))
    return [Payer(f"p{i}", cap, weight, Fraction(rank), equity) for i, (cap, weight, rank, equity) in enumerate(rows)]


def most(payer: Payer, loss: int, rule: Rule) -> int:
    """The most that a payer can be asked for under a rule."""
    cap = loss if payer.cap is None else min(payer.cap, loss)
    if rule == "pro_rata":
        return cap if payer.weight > 0 else 0
    if rule == "water_fill":
        return min(payer.weight if payer.cap is None else min(payer.cap, payer.weight), loss) if payer.equity > 0 else 0
    return cap


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("remainder", ["largest", "last"])
@given(loss=AMOUNT, listed=payers())
def test_what_is_paid_and_unpaid_is_the_loss(rule: Rule, remainder: str, loss: int, listed: list[Payer]) -> None:
    found = allocate(loss, listed, rule, remainder=remainder)  # type: ignore[arg-type]
    assert found.paid + found.unpaid == loss
    able = sum(most(payer, loss, rule) for payer in listed)
    assert found.paid == min(loss, able)
    for payer, share in zip(listed, found.shares, strict=True):
        assert share.name == payer.name
        assert share.paid >= 0
        assert payer.cap is None or share.paid <= payer.cap


@given(loss=AMOUNT, listed=payers())
def test_a_payment_rule_takes_no_more_than_the_weight(loss: int, listed: list[Payer]) -> None:
    found = allocate(loss, listed, "pro_rata", rounding="payment", remainder="last")
    assert found.paid + found.unpaid == loss
    assert all(share.paid <= payer.weight for payer, share in zip(listed, found.shares, strict=True))
    assert found.unpaid == 0 or found.paid == sum(min(most(p, loss, "pro_rata"), p.weight) for p in listed)


@pytest.mark.parametrize("rule", RULES)
@given(loss=AMOUNT, listed=payers(), data=st.data())
def test_order_matters_only_by_a_unit(rule: Rule, loss: int, listed: list[Payer], data: st.DataObject) -> None:
    """Pro rata and water filling move rounding units alone; a queue of different ranks nothing."""
    ranked = [Payer(p.name, p.cap, p.weight, Fraction(i), p.equity) for i, p in enumerate(listed)]
    free = [Payer(p.name, None, p.weight, p.rank, p.equity) for p in ranked] if rule != "queue" else ranked
    mixed = data.draw(st.permutations(free))
    first = {share.name: share.paid for share in allocate(loss, free, rule).shares}
    second = {share.name: share.paid for share in allocate(loss, mixed, rule).shares}
    assert all(abs(first[name] - second[name]) <= (0 if rule == "queue" else 1) for name in first)


@given(loss=AMOUNT, weights=st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
def test_pro_rata_is_within_a_unit_of_the_exact_share(loss: int, weights: list[int]) -> None:
    listed = [Payer(f"p{i}", None, weight) for i, weight in enumerate(weights)]
    for share, weight in zip(allocate(loss, listed, "pro_rata").shares, weights, strict=True):
        assert abs(share.paid - Fraction(loss * weight, sum(weights))) < 1


@given(
    rows=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**5)), min_size=1, max_size=12),
    share=st.fractions(0, 1),
)
def test_water_filling_makes_the_largest_leverage_as_small_as_it_can_be(
    rows: list[tuple[int, int]], share: Fraction
) -> None:
    listed = [Payer(f"p{i}", None, notional, Fraction(0), equity) for i, (notional, equity) in enumerate(rows)]
    total = int(share * sum(notional for notional, _ in rows))
    paid = water_filled(total, listed)
    assert sum(paid) == total
    left = [Fraction(p.weight - cut, p.equity) for p, cut in zip(listed, paid, strict=True)]
    unit = Fraction(1, min(p.equity for p in listed))
    payers_left = [level for level, cut in zip(left, paid, strict=True) if cut]
    # whoever paid stands at one level, and nobody stands above it, up to a unit of rounding
    if payers_left:
        assert max(payers_left) - min(payers_left) <= 2 * unit
        assert max(left) <= min(payers_left) + 2 * unit


CASES: Sequence[tuple[int, list[Payer], Rule, list[int], int]] = (
    (100, [Payer("a", 30, rank=Fraction(1)), Payer("b", 90, rank=Fraction(2))], "queue", [10, 90], 0),
    (100, [Payer("a", 30), Payer("b", 50)], "queue", [30, 50], 20),
    (10, [Payer("a", None, 1), Payer("b", None, 1), Payer("c", None, 1)], "pro_rata", [4, 3, 3], 0),
    (10, [Payer("a", 1, 5), Payer("b", None, 1), Payer("c", None, 0)], "pro_rata", [1, 9, 0], 0),
    (50, [Payer("a", None, 100, equity=10), Payer("b", None, 60, equity=10)], "water_fill", [45, 5], 0),
    (50, [Payer("a", None, 100, equity=0), Payer("b", None, 60, equity=10)], "water_fill", [0, 50], 0),
    (5, [], "pro_rata", [], 5),
    (0, [Payer("a")], "queue", [0], 0),
)


@pytest.mark.parametrize(("loss", "listed", "rule", "paid", "unpaid"), CASES)
def test_cases_by_hand(loss: int, listed: list[Payer], rule: Rule, paid: list[int], unpaid: int) -> None:
    found = allocate(loss, listed, rule)
    assert [share.paid for share in found.shares] == paid
    assert found.unpaid == unpaid


def test_the_remainder_goes_where_the_rule_says() -> None:
    listed = [Payer("a", None, 2), Payer("b", None, 1)]
    assert [s.paid for s in allocate(4, listed, "pro_rata").shares] == [3, 1]
    assert [s.paid for s in allocate(4, listed, "pro_rata", remainder="last").shares] == [2, 2]


@pytest.mark.parametrize(
    ("loss", "listed"),
    [(-1, []), (1, [Payer("a", -1)]), (1, [Payer("a", None, -1)]), (1, [Payer("a"), Payer("a")])],
)
def test_what_cannot_be_is_refused(loss: int, listed: list[Payer]) -> None:
    with pytest.raises(InputError):
        allocate(loss, listed, "pro_rata")


@given(money=st.integers(-(10**9), 10**9), contracts=st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
def test_what_counterparties_pay_together_is_the_whole(money: int, contracts: list[int]) -> None:
    found = parted(money, contracts)
    assert sum(found) == money
    whole = sum(contracts)
    for paid, part in zip(found, contracts, strict=True):
        assert abs(paid - Fraction(money * part, whole)) <= len(contracts)


def test_nobody_pays_for_no_contracts() -> None:
    assert parted(0, []) == []
    with pytest.raises(InputError):
        parted(5, [0])
    with pytest.raises(InputError):
        parted(5, [-1, 2])
