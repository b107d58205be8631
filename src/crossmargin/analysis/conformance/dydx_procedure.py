"""dYdX Chain: bankruptcy price, fillable price and the insurance fund's part, in exact integers.

What a position needs and what closing a part of it frees are the engine's own requirements, before and after.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import ProcedureFamily, Run, case_names, of_kind
from crossmargin.analysis.conformance.dydx import RULEBOOK
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.linear_market import decimal_at, perpetual, shift_at, snapshot_of
from crossmargin.analysis.conformance.procedure_lines import evaluated, line_run
from crossmargin.margin import with_values
from crossmargin.margin.exact import assess_exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.case import Rulebooks
    from crossmargin.margin import Rulebook
    from crossmargin.margin.exact import ExactPool

BANKRUPTCY: Final = "bankruptcy_price"
FILLABLE: Final = "fillable_price"
INSURANCE: Final = "insurance_fund_delta"
_PER_QUANTUM: Final = 10**6
_USDC: Final = "USDC"
_PPM: Final = -6


class _Subaccount:
    """The positions of a case, in markets of their own tiers."""

    def __init__(self, case: Fields, rulebooks: Rulebooks, more: Mapping[str, object]) -> None:
        self.given = case.needed("input")
        self.positions = {stated.text("market"): stated for stated in self.given.objects("positions")}
        if self.given.text("market") not in self.positions:
            refuse(f"one of {', '.join(self.positions)}", self.given.text("market"), self.given.at("market"))
        changes: dict[str, Any] = {}
        entries = {"initial_fraction": "initial_margin_ppm", "maintenance_fraction": "maintenance_fraction_ppm"}
        for entry, key in entries.items():
            table = {name: float(decimal_at(one, key).scaleb(_PPM)) for name, one in self.positions.items()}
            changes[f"charges.positions.{entry}"] = {"by": "bucket", **table}
        for entry in ("lower_cap", "upper_cap"):
            changes[f"charges.positions.{entry}"] = {"by": "bucket", "default": 0}
        self.rulebook: Rulebook = with_values(rulebooks(RULEBOOK), {**changes, **more}, source=case.at("input"))

    def price(self, market: str) -> Decimal:
        """Return the oracle price, USDC per coin."""
        stated = self.positions[market]
        return decimal_at(stated, "price").scaleb(shift_at(stated, "exponent"))

    def resolution(self, market: str) -> int:
        """Return the power of ten of one base quantum."""
        return shift_at(self.positions[market], "atomic_resolution")

    def held(self, market: str) -> Decimal:
        """Return signed coins."""
        return decimal_at(self.positions[market], "base_quantums").scaleb(self.resolution(market))

    def assessed(self, changed: Mapping[str, Decimal] | None = None) -> ExactPool:
        """Return the account in fractions, with other positions in some markets."""
        held = {market: self.held(market) for market in self.positions} | dict(changed or {})
        listings = {market: perpetual(market, float(self.price(market)), _USDC) for market in self.positions}
        positions = tuple(
            Position(instrument=listings[market].symbol, quantity=coins, entry_price=self.price(market))
            for market, coins in held.items()
            if coins
        )
        paid = sum((coins * self.price(market) for market, coins in held.items()), Decimal(0))
        quote = decimal_at(self.given, "quote_balance").scaleb(_PPM) + paid
        account = Account(id="subaccount", balances={_USDC: quote}, positions=positions)
        market = snapshot_of(listings.values(), _USDC)
        return assess_exact(account, market, self.rulebook, max_quote_age_seconds=None).pool

    def closing(self, change: Decimal) -> dict[str, Fraction]:
        """Return what the bankruptcy price of a change of position reads."""
        market = self.given.text("market")
        before = self.assessed()
        other = self.held(market) + change
        # an account that holds nothing needs nothing
        alone = len(self.positions) == 1 and not other
        after = Fraction(0) if alone else self.assessed({market: other}).requirements["maintenance"]
        needed = before.requirements["maintenance"]
        return {
            "net_value": before.adjusted["maintenance"],
            "maintenance": needed,
            "value_change": Fraction(change) * Fraction(self.price(market)),
            "freed": abs(needed - after),
        }


def pose_bankruptcy(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return what a part of a position brings when the account's value is used up by its share."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    account = _Subaccount(case, rulebooks, {})
    resolution = account.resolution(account.given.text("market"))
    change = decimal_at(account.given, "delta_base_quantums").scaleb(resolution)
    expected = {"bankruptcy_quote_quantums": _whole(case.needed("expected"), "bankruptcy_quote_quantums")}

    def read(_: str) -> Fraction:
        return evaluated_exactly(account, "bankruptcy", account.closing(change)) * _PER_QUANTUM

    return line_run(name, {key: (number, 0.0) for key, number in expected.items()}, read)


def evaluated_exactly(account: _Subaccount, line: str, stated: Mapping[str, Fraction]) -> Fraction:
    """Return a line of the procedure in fractions."""
    return Fraction(evaluated(account.rulebook, line, stated, exactly=True))


def _whole(fields: Fields, key: str) -> Fraction:
    return Fraction(decimal_at(fields, key))


def pose_fillable(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return the worst price of a liquidation order, quote quantums per base quantum."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given = case.needed("input")
    keys = {"adjust": "bankruptcy_adjustment_ppm", "spread": "spread_to_mm_ratio_ppm"}
    more = {f"liquidation.parameters.{ours}": float(decimal_at(given, key).scaleb(_PPM)) for ours, key in keys.items()}
    account = _Subaccount(case, rulebooks, more)
    ratio = case.needed("expected").items("price_quote_per_base_quantum")
    if len(ratio) != 2 or not all(isinstance(part, int) for part in ratio) or not ratio[1]:  # noqa: PLR2004 - a ratio
        refuse("a ratio of two integers", ratio, case.at("expected"))

    def read(_: str) -> Fraction:
        market = given.text("market")
        pool = account.assessed()
        coins = Fraction(account.held(market))
        stated = {
            "net_value": pool.adjusted["maintenance"],
            "maintenance": pool.requirements["maintenance"],
            "price": Fraction(account.price(market)),
            "positions": pool.on_row("positions", f"{market}-{_USDC}", "maintenance"),
            "quantity": coins,
        }
        found = evaluated_exactly(account, "fillable", stated)
        return found * _PER_QUANTUM * Fraction(Decimal(1).scaleb(account.resolution(market)))

    return line_run(name, {"price_quote_per_base_quantum": (Fraction(*ratio), 0.0)}, read)


def pose_insurance(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return what the insurance fund takes from a filled liquidation order, or adds to it, quote quantums."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given = case.needed("input")
    fee = float(decimal_at(given, "max_liquidation_fee_ppm").scaleb(_PPM))
    account = _Subaccount(case, rulebooks, {"liquidation.parameters.most_fee": fee})
    resolution = account.resolution(given.text("market"))
    filled = decimal_at(given, "fill_base_quantums")
    change = (filled if given.flag("is_buy") else -filled).scaleb(resolution)

    def read(_: str) -> Fraction:
        stated = {**account.closing(change), "filled_value": _filled(given, filled)}
        return evaluated_exactly(account, "fund_delta", stated) * _PER_QUANTUM

    return line_run(name, {INSURANCE: (_whole(case.needed("expected"), INSURANCE), 0.0)}, read)


def _filled(given: Fields, filled: Decimal) -> Fraction:
    """Return what the fill pays the account, USDC, in whole quantums; a purchase is below 0."""
    quantums = filled * decimal_at(given, "subticks").scaleb(shift_at(given, "quantum_conversion_exponent"))
    whole = Fraction(int(quantums), _PER_QUANTUM)
    return -whole if given.flag("is_buy") else whole


FAMILIES: Final = (
    ProcedureFamily("dydx_v4", BANKRUPTCY, of_kind(BANKRUPTCY), pose_bankruptcy),
    ProcedureFamily("dydx_v4", FILLABLE, of_kind(FILLABLE), pose_fillable),
    ProcedureFamily("dydx_v4", INSURANCE, of_kind(INSURANCE), pose_insurance),
)
