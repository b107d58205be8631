"""Aave v3: the format of its cases on the health factor, of one collateral and one debt.

The health factor is the coverage ratio. Where a case moves the debt's price, it is assessed again at the moved price;
what stands at a boundary is assessed on fractions.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crossmargin.account import Account
from crossmargin.analysis.conformance.case import (
    Case,
    Family,
    Figure,
    Outcome,
    Rulebooks,
    Steps,
    case_names,
    holds_kind,
    of_kind,
)
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.linear_market import decimal_at
from crossmargin.margin import with_values
from crossmargin.margin.exact import assess_exact
from crossmargin.market import AssetQuote, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Read

RULEBOOK: Final = "aave-v3@2026-01-27"
RATIO: Final = "v3_hf_ratio"
BOUNDARY: Final = "v3_emode_boundary"
COLLATERAL: Final = "WETH"
DEBT: Final = "WSTETH"
CATEGORY: Final = "ETH_CORRELATED"
"""The cases do not name assets; these two share a category of the rulebook."""
_AS_OF: Final = datetime(2026, 1, 27, tzinfo=UTC)
_LENT: Final = 10_000.0
"""Cases that state only shares: any value serves."""
_PER_UNIT: Final = 10_000
"""Shares are stated in hundredths of a per cent."""


def number(fields: Fields, key: str) -> float:
    """Return a number that is stated as one or as its decimal text."""
    return float(decimal_at(fields, key))


def pose_ratio(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a case that borrows a share of what its collateral allows."""
    case = document.objects("cases")[index]
    stated = case.needed("input")
    changes: dict[str, Any] = {
        "charges.haircuts.threshold": _by("asset", COLLATERAL, number(stated, "liquidation_threshold")),
        "charges.haircuts.loan": _by("asset", COLLATERAL, number(stated, "collateral_ltv")),
    }
    lent = _case(document, index, rulebooks, changes, debt=0.0)
    borrowed = number(stated, "fraction_of_available_borrowed") * lent.assess().report.available_margin
    posed = _case(document, index, rulebooks, changes, debt=borrowed)
    return replace(posed, figures=tuple(_ratio_figures(case, posed)))


def _ratio_figures(case: Fields, posed: Case) -> list[Figure]:
    stated, expected = case.needed("input"), case.needed("expected")
    after = partial(_moved, posed, number(stated, "debt_price_multiplier"))
    reads: dict[str, Read] = {
        "hf_before": _health,
        "hf_after": lambda outcome: _health(after(outcome)),
        "liquidation_threshold_bps": _threshold,
    }
    out = [Figure(name, number(expected, name), read) for name, read in reads.items() if name in expected]
    if "liquidatable_after" in expected:
        out.append(_flag(expected, "liquidatable_after", lambda outcome: _health(after(outcome)) < 1.0))
    share = "fraction_of_available_borrowed"
    return [*_some(out, expected), Figure(share, number(stated, share), _borrowed_share)]


def pose_boundary(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a case whose collateral and debt share a category, at the price where its health factor is 1."""
    case = document.objects("cases")[index]
    stated = case.needed("input")
    changes: dict[str, Any] = {
        "charges.haircuts.category_threshold": _by("class", CATEGORY, number(stated, "liquidation_threshold")),
        "charges.haircuts.category_loan": _by("class", CATEGORY, number(stated, "ltv")),
    }
    lent, borrowed = number(stated, "collateral_usd"), number(stated, "borrowed_usd")
    if borrowed <= 0:
        refuse("a debt above 0", stated.get("borrowed_usd"), stated.at("borrowed_usd"))
    posed = _case(document, index, rulebooks, changes, lent=lent, debt=borrowed, category=CATEGORY)
    return replace(posed, figures=tuple(_boundary_figures(case, posed)))


def _boundary_figures(case: Fields, posed: Case) -> list[Figure]:
    stated, expected = case.needed("input"), case.needed("expected")
    unit = Fraction(exact(number(stated, "debt_price_unit")))
    if unit <= 0:
        refuse("a unit above 0", stated.get("debt_price_unit"), stated.at("debt_price_unit"))
    out = [Figure("hf_before", number(expected, "hf_before"), _health)] if "hf_before" in expected else []
    flags: Mapping[str, Callable[[Outcome], bool]] = {
        "hf_gt_1_at_price_times_hf": lambda outcome: _at_boundary(posed, outcome, unit, 0) > 1,
        "hf_lt_1_one_price_unit_above": lambda outcome: _at_boundary(posed, outcome, unit, 1) < 1,
    }
    out += [_flag(expected, name, holds) for name, holds in flags.items() if name in expected]
    return _some(out, expected)


def _at_boundary(posed: Case, outcome: Outcome, unit: Fraction, beyond: int) -> Fraction:
    """Return the health factor at the debt's price times the health factor, cut to the unit, and so many units on."""
    case = _under(posed, outcome)
    price = _exact_health(case) // unit * unit + beyond * unit
    return _exact_health(_at_price(case, float(price)))


def _exact_health(case: Case) -> Fraction:
    pool = assess_exact(case.account, case.snapshot, case.rulebook, max_quote_age_seconds=None).pool
    return pool.adjusted["maintenance"] / pool.requirements["maintenance"]


def _moved(posed: Case, price: float, outcome: Outcome) -> Outcome:
    return _at_price(_under(posed, outcome), price).assess()


def _under(posed: Case, outcome: Outcome) -> Case:
    return replace(posed, rulebook=outcome.book.rulebook)


def _at_price(case: Case, price: float) -> Case:
    assets = {**case.snapshot.assets, DEBT: AssetQuote(price=price)}
    return replace(case, snapshot=msgspec.structs.replace(case.snapshot, assets=assets))


def _health(outcome: Outcome) -> float:
    return outcome.pool.coverage_ratio


def _threshold(outcome: Outcome) -> float:
    lines = outcome.report.lines
    return _PER_UNIT * (1.0 - lines["haircuts"].maintenance / lines["collateral"].maintenance)


def _borrowed_share(outcome: Outcome) -> float:
    report = outcome.report
    return report.initial_margin / (report.initial_margin + report.available_margin)


def _flag(expected: Fields, name: str, holds: Callable[[Outcome], bool]) -> Figure:
    return Figure(name, float(expected.flag(name)), lambda outcome: float(holds(outcome)), tolerance=0.0)


def _some(figures: list[Figure], expected: Fields) -> list[Figure]:
    return figures or refuse("a figure to compare", expected.value, expected.place)


def _by(key: str, name: str, value: float) -> dict[str, Any]:
    return {"by": key, name: value, "default": 0}


def _case(
    document: Fields,
    index: int,
    rulebooks: Rulebooks,
    changes: Mapping[str, object],
    *,
    debt: float,
    lent: float = _LENT,
    category: str | None = None,
) -> Case:
    name = case_names(document)[index]
    place = document.objects("cases")[index].at("input")
    held = {COLLATERAL: exact(lent), **({DEBT: -exact(debt)} if debt else {})}
    balances: dict[str, Decimal] = {asset: amount for asset, amount in held.items() if amount}
    assets = {COLLATERAL: AssetQuote(price=1.0), DEBT: AssetQuote(price=1.0)}
    return Case(
        name=name,
        account=Account(id=name, class_=category, balances=balances),
        snapshot=Snapshot(as_of=_AS_OF, reporting_asset="USD", assets=assets, listings={}),
        rulebook=with_values(rulebooks(RULEBOOK), changes, source=place),
        figures=(),
        changes=changes,
    )


def ratio_parameters(_document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters of a case stand."""
    return {key: ("cases", index, "input", key) for key in ("collateral_ltv", "liquidation_threshold")}


def boundary_parameters(_document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters of a case stand; nothing that it states depends on its loan to value."""
    return {key: ("cases", index, "input", key) for key in ("ltv", "liquidation_threshold")}


FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        "aave",
        RATIO,
        holds_kind(RATIO, keys=("liquidation_threshold",)),
        case_names,
        pose_ratio,
        ratio_parameters,
        of_kind(RATIO),
    ),
    Family(
        "aave",
        BOUNDARY,
        holds_kind(BOUNDARY, keys=("debt_price_unit",)),
        case_names,
        pose_boundary,
        boundary_parameters,
        of_kind(BOUNDARY),
    ),
)
