"""Deribit's documented examples of a linear perpetual: a base rate and a slope on the position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Case, Family, Figure, Read, Rulebooks, Steps, any_case, has_keys
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Outcome

RULEBOOK: Final = "deribit-standard@2024-04-01"
_REQUIREMENTS: Final = {"IM": "initial", "MM": "maintenance"}


def names(document: Fields) -> list[str]:
    """Return what each example is about."""
    return [_name(case, index) for index, case in enumerate(document.items("cases"))]


def _name(case: object, index: int) -> str:
    stated = case if isinstance(case, Mapping) else {}
    told = [str(stated[key]) for key in ("sym", "size", "kind") if key in stated]
    return f"cases[{index}] {' '.join(told)}".strip()


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one example as an account, a market and a rulebook."""
    case = document.objects("cases")[index]
    symbol, price, kind = case.text("sym"), case.number("price"), case.text("kind")
    if kind not in _REQUIREMENTS:
        refuse("IM or MM", kind, case.at("kind"))
    underlying, _, quote = symbol.replace("-", "_").partition("_")
    quote = quote.split("_")[0]
    if not underlying or not quote:
        refuse("a pair such as BTC_USDC", symbol, case.at("sym"))
    requirement = _REQUIREMENTS[kind]
    changes: dict[str, Any] = {
        f"charges.linear_futures.base.{requirement}": {"by": "bucket", underlying: case.number("base")},
        "charges.linear_futures.slope": {"by": "bucket", underlying: case.number("slope")},
    }
    listing = Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        underlying=underlying,
        quote_asset=quote,
        settlement_asset=quote,
        mark_price=price,
        index_price=price,
    )
    other = _other_base(underlying, requirement)
    name = names(document)[index]
    return Case(
        name=name,
        account=_account(name, symbol, case),
        snapshot=Snapshot(
            as_of=AS_OF,
            reporting_asset="USD",
            assets={quote: AssetQuote(price=1.0), underlying: AssetQuote(price=price)},
            listings={symbol: listing},
        ),
        rulebook=with_values(rulebooks(RULEBOOK), {**other, **changes}, source=case.place),
        figures=(Figure(kind, case.number("expected"), _READ[kind]),),
        changes=changes,
    )


def _other_base(underlying: str, stated: str) -> dict[str, Any]:
    """Return a base of 0 for the requirement that the example does not state, so that any coin has one."""
    other = "maintenance" if stated == "initial" else "initial"
    return {f"charges.linear_futures.base.{other}": {"by": "bucket", underlying: 0.0}}


def _account(name: str, symbol: str, case: Fields) -> Account:
    quantity = case.number("size")
    position = Position(instrument=symbol, quantity=exact(quantity), entry_price=exact(case.number("price")))
    return Account(id=name, positions=(position,) if quantity else ())


def _initial(outcome: Outcome) -> float:
    return outcome.report.initial_margin


def _maintenance(outcome: Outcome) -> float:
    return outcome.report.maintenance_margin


_READ: Final[Mapping[str, Read]] = {"IM": _initial, "MM": _maintenance}


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where an example's rates stand, by contract, requirement and key."""
    case = document.objects("cases")[index]
    label = f"{case.text('sym')} {case.text('kind')}"
    return {f"{label} {key}": ("cases", index, key) for key in ("base", "slope")}


def recognises(document: Mapping[str, object]) -> bool:
    """Return whether a document holds examples with a base rate and a slope."""
    return any_case(document, lambda case: has_keys(case, "sym", "price", "size", "base", "slope", "kind"))


FAMILY: Final = Family("deribit_standard", "linear_perpetual", recognises, names, pose, parameters)
