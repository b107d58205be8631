"""Sums of one dimension only: what mixes money, USD, units and rates is refused at load."""

from __future__ import annotations

import pytest

from crossmargin.errors import RulebookError
from crossmargin.margin.dimensions import MONEY, QUANTITY, RATIO, USD, DimensionError, combined, read_dimension
from crossmargin.margin.parser import parse_rulebook
from tests.margin.rulebook_texts import PLAIN, SCAN, changed, line_with

WORTH = 'where.worth = "abs(quantity) * price"'
MIXED = [
    ("abs(quantity) * price + share", "adds money to a rate in `abs(quantity) * price + share`"),
    ("notional - quantity", "subtracts a quantity from money"),
    ("max(notional, quantity)", "`max` of money with a quantity"),
    ("min(0, notional, share)", "`min` of money with a rate"),
    ("when(quantity > price, notional, 0)", "compares a quantity with a price"),
    ("when(quantity > 0, notional, share)", "`when` of money with a rate"),
    ("clip(notional, 0, 1)", "`clip` of money with a rate"),
    ("ceil(notional, 1)", "`ceil` of money with a rate"),
    ("exp(notional)", "`exp` of money"),
    ("log(price) * notional", "`log` of a price"),
    ("share ** notional", "raises to a power that is money"),
    ("notional ** share", "no plain number"),
    ("root(notional, price)", "`root` correlates by a rate with a price"),
    ("sqrt(notional) + notional", "adds money**1/2 to money"),
    ("notional + numeraire * notional", "adds money to USD"),
]
SOUND = [
    "abs(quantity) * price",
    "max(0, notional, 0)",
    "sqrt(notional ** (1 + 1)) * 0 + notional",
    "sqrt(notional) * sqrt(notional)",
    "notional * exp(-years * rate) * share ** years",
    "when(days <= 0, notional, 0 - notional)",
    "largest(notional) + root(notional, share)",
    "ceil(notional, price * open_interest)",
    "notional * share / leverage",
    "gamma * price ** (1 + 1)",
]


def _worth(formula: str) -> str:
    text = changed(PLAIN, (WORTH, f'where.worth = "{formula}"'))
    return changed(
        text,
        ("[charges.perpetuals]\n", '[charges.keeps]\nis = "share * notional"\n[charges.perpetuals]\n'),
        ('"coins"', '"coins - keeps"'),
    )


@pytest.mark.parametrize(("formula", "message"), MIXED)
def test_mixed_arithmetic_is_refused_at_its_line(formula: str, message: str) -> None:
    text = _worth(formula)
    with pytest.raises(RulebookError) as caught:
        parse_rulebook(text, "book.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"book.toml:{line_with(text, 'where.worth')}: ")
    assert "unit = {" in str(caught.value)


@pytest.mark.parametrize("formula", [formula for formula in SOUND if "**" not in formula or "(1 + 1)" not in formula])
def test_sound_arithmetic_loads(formula: str) -> None:
    parse_rulebook(_worth(formula))


@pytest.mark.parametrize(
    ("swap", "held", "message"),
    [
        (('maintenance = "perpetuals"', 'maintenance = "share"'), 'maintenance = "sh', "comes out as a rate, and mo"),
        (('adjusted = "coins"', 'adjusted = "coins * coins"'), "adjusted =", "comes out as money**2, and money"),
        (('is = "value" }', 'is = "delta * delta" }'), "coins =", "comes out as quantity**2, and money or"),
        (("[values]", '[valuation.value]\nasset = "quantity"\n[values]'), "asset =", "comes out as a quantity"),
    ],
)  # fmt: skip
def test_results_must_be_money(swap: tuple[str, str], held: str, message: str) -> None:
    text = changed(PLAIN, swap)
    with pytest.raises(RulebookError, match=r"book\.toml:") as caught:
        parse_rulebook(text, "book.toml")
    assert message in str(caught.value)
    assert caught.value.line == line_with(text, held)


def test_a_dampener_in_usd_against_coin_is_refused_and_converted_it_loads() -> None:
    parse_rulebook(SCAN)
    with pytest.raises(RulebookError, match="comes out as USD, and money is needed"):
        parse_rulebook(changed(SCAN, ('"dampener / numeraire"', '"dampener"')))
    with pytest.raises(RulebookError, match="comes out as"):
        parse_rulebook(changed(SCAN, ("unit = { dampener", "unit = { width"), ('"USD"', '"USD"')))


def test_money_reported_in_usd_is_usd() -> None:
    text = changed(SCAN, ('reporting = "settlement"', 'reporting = "USD"'), ('"dampener / numeraire"', '"dampener"'))
    assert parse_rulebook(text).reporting == "USD"


def test_units_are_products_of_known_ones() -> None:
    assert read_dimension("1/quantity", "USDC") == RATIO / QUANTITY
    assert read_dimension("USDC / quantity", "USDC") == MONEY / QUANTITY
    assert read_dimension("USD", "USDC") == USD
    assert read_dimension("years", "USDC") == RATIO
    assert read_dimension("money ** -1 * usd", "USDC") == USD / MONEY
    with pytest.raises(DimensionError, match="units are products"):
        read_dimension("parsec", "USDC")
    with pytest.raises(DimensionError):
        read_dimension("2 usd", "USDC")


def test_zero_is_zero_of_anything() -> None:
    zero = RATIO * read_dimension("ratio", "USD")
    assert combined("+", MONEY, MONEY) == MONEY
    with pytest.raises(DimensionError, match="adds money to a rate"):
        combined("+", MONEY, zero)


def test_an_unknown_unit_is_refused_at_its_number() -> None:
    text = changed(SCAN, ('dampener = "USD"', 'dampener = "dollars"'))
    with pytest.raises(RulebookError, match="units are products") as caught:
        parse_rulebook(text, "book.toml")
    assert caught.value.line == line_with(text, "dampener = 100_000")
