"""Mango v4: cases of its liquidation instructions, each run on the account that the health cases pose."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account
from crossmargin.analysis.conformance import mango
from crossmargin.analysis.conformance.case import Figure, ProcedureFamily, Run, case_names, of_kind
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.quote_positions import DOLLAR, amount, asset_name
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.holdings import BASIS, HELD, WALLET, Entry, Holdings, Row
from crossmargin.liquidation.moves import Desk, scope_of
from crossmargin.liquidation.pools import Leg
from crossmargin.liquidation.postings import Venue
from crossmargin.liquidation.run import Outcome, run
from crossmargin.liquidation.waterfall import Paid, missing, pay
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Rulebooks
    from crossmargin.liquidation.formulas import Amount

TOKEN: Final = "liq_token_with_token"  # noqa: S105 - a kind of case
PERPETUAL: Final = "liq_perp_base_or_positive_pnl"
LOSS: Final = "liq_negative_pnl_or_bankruptcy"
_SCALE: Final = 10**9  # of a dollar, in which the waterfall pays
_OWNER: Final = "liqee"
_OTHER: Final = "liquidator"
_STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    TOKEN: ("token",),
    PERPETUAL: ("reduce to worthless", "settle", "reduce to settle", "settle again", "reduce at overall weight"),
    LOSS: ("settle loss",),
}
_NO_FEE: Final = {"by": "asset", "default": 0}


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """What an instruction left: the run, and what was paid of a loss."""

    engine: Engine
    outcome: Outcome
    paid: tuple[Paid, ...]
    settled_price: Fraction
    fund_price: Fraction = Fraction(1)

    def holds(self, owner: str, purse: str, asset: str, instrument: str = "") -> float:
        """Return a balance."""
        return float(self.outcome.holdings.get(owner, purse, asset, instrument))

    def from_layer(self, name: str) -> Fraction:
        """Return what one layer of the waterfall paid, dollars."""
        return sum((Fraction(one.allocation.paid, _SCALE) for one in self.paid if one.pay == name), Fraction(0))


def _engine(case: Fields, rulebooks: Rulebooks) -> tuple[Engine, Holdings]:
    """Return the account of a case before anything was done, as a book: a perpetual's quote is its basis."""
    tokens = case.needed("tokens")
    rulebook, market = mango.market_of(case, rulebooks, _more(case))
    account = Account(id=_OWNER)
    lots = {f"perpetual {number}": _lot(stated) for number, stated in enumerate(case.objects("perps"))}
    rows: list[Row] = []
    for token in tokens:
        rows += _both(WALLET, asset_name(token), "", Fraction(exact(amount(tokens.needed(token), "balance", 0.0))))
    for number, stated in enumerate(case.objects("perps")):
        symbol, asset = f"perpetual {number}", asset_name(stated.text("settle_token"))
        base = Fraction(exact(amount(stated, "base_lots", 0.0))) * _lot(stated)
        rows += _both(HELD, symbol, symbol, base)
        rows += _both(BASIS, asset, symbol, Fraction(exact(amount(stated, "quote", 0.0))))
    return Engine(account, lambda _elapsed: market, rulebook, lots=lots), Holdings().posted(rows)


def _lot(stated: Fields) -> Fraction:
    return Fraction(exact(amount(stated, "base_lot_size", 1.0)))


def _both(purse: str, asset: str, instrument: str, held: Fraction) -> tuple[Row, Row]:
    return Row(Entry(_OWNER, purse, asset, instrument), held), Row(Entry("world", purse, asset, instrument), -held)


def _more(case: Fields) -> dict[str, Any]:
    """Return the procedure's own numbers that the cases state: fees."""
    fee = amount(case, "positive_pnl_liq_fee", 0.0)
    return {"liquidation.parameters.token_fee": _NO_FEE, "liquidation.parameters.settle_fee": fee}


def _played(case: Fields, kind: str, rulebooks: Rulebooks) -> Left:
    """Return what one call of an instruction leaves: its steps once, and where it has to, the waterfall."""
    engine, holdings = _engine(case, rulebooks)
    procedure = engine.rulebook.procedure
    about = {"L/A"} if kind == TOKEN else {"perpetual 0"}
    stated: dict[str, Amount] = _limits(case)
    desk = Desk(stated=stated, steps=frozenset(_STEPS[kind]), about=frozenset(about))
    outcome = run(procedure, holdings, engine, Venue(_OWNER, DOLLAR), desk, rounds=1)
    price = Fraction(exact(case.needed("tokens").needed("S").number("price"))) if kind == LOSS else Fraction(1)
    if kind != LOSS or outcome.ending == "ended":
        return Left(engine, outcome, (), price)
    leg = outcome.pool.leg("perpetual 0")
    if leg is None:
        return Left(engine, outcome, (), price)
    worth = Fraction(exact(case.number("insurance_price"))) * Fraction(exact(case.number("insurance_fund")))
    scope = scope_of(procedure, outcome.pool, outcome.case, Desk(stated={**stated, "fund": worth}), leg)
    loss = missing(scope, _SCALE)
    payers = {"fund": [Leg("fund", {"fund": worth})], "open_interest": [Leg("all", {"open_interest_value": 1.0})]}
    paid, _ = pay(loss, procedure.waterfall, payers, scope, _SCALE)
    return Left(engine, outcome, paid, price, Fraction(exact(case.number("insurance_price"))))


def _limits(case: Fields) -> dict[str, Amount]:
    names = {"max_base": "max_base", "max_pnl": "max_pnl", "max_liab_transfer": "max_transfer"}
    found: dict[str, Amount] = {ours: abs(amount(case, key)) for key, ours in names.items() if key in case}
    if "settle_limit" in case:
        found["settle_limit"] = amount(case, "settle_limit")
    return found


def pose(kind: str, document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return one case, ready to be run."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    expected, tolerance = case.needed("expected"), amount(case, "tolerance", 0.01)
    figures = []
    for key in expected:
        if key == "success":
            figures.append(Figure(key, float(expected.flag(key)), _acted, tolerance=0.0))
        elif key in _READ:
            figures.append(Figure(key, expected.number(key), _READ[key], tolerance))
        else:
            refuse(f"one of {', '.join(('success', *_READ))}", key, expected.place)
    return Run(name, tuple(figures), partial(_played, case, kind, rulebooks))


def _acted(left: Left) -> float:
    return float(bool(left.outcome.taken) or any(one.allocation.paid for one in left.paid))


def _wallet(owner: str, asset: str) -> Callable[[Left], float]:
    return lambda left: left.holds(owner, WALLET, asset)


def _quote(left: Left) -> float:
    """Return the account's quote: what it has, with what was paid for it."""
    covered = sum((Fraction(one.allocation.paid, _SCALE) for one in left.paid), Fraction(0)) / left.settled_price
    return left.holds(_OWNER, BASIS, "S", "perpetual 0") + float(covered)


def _other_quote(left: Left) -> float:
    """Return the liquidator's quote: what it settled, and what it took over for the fund's money."""
    return left.holds(_OTHER, BASIS, "S", "perpetual 0") - float(left.from_layer("fund") / left.settled_price)


_READ: Final[Mapping[str, Callable[[Left], float]]] = {
    "liqee_asset_after": _wallet(_OWNER, "A"),
    "liqee_liab_after": _wallet(_OWNER, "L"),
    "settle_token_after": _wallet(_OWNER, "S"),
    "base_after": lambda left: left.holds(_OWNER, HELD, "perpetual 0", "perpetual 0"),
    "quote_after": lambda left: left.holds(_OWNER, BASIS, "S", "perpetual 0"),
    "liqee_settle_token": _wallet(_OWNER, "S"),
    "liqee_perp_quote": _quote,
    "liqor_settle_token": _wallet(_OTHER, "S"),
    "liqor_perp_quote": _other_quote,
    "liqor_insurance_received": lambda left: float(left.from_layer("fund") / left.fund_price),
    "socialized_loss": lambda left: float(left.from_layer("open_interest") / left.settled_price),
}


def _family(kind: str) -> ProcedureFamily:
    return ProcedureFamily("mango_v4", kind, of_kind(kind), partial(pose, kind))


FAMILIES: Final = tuple(_family(kind) for kind in (TOKEN, PERPETUAL, LOSS))
