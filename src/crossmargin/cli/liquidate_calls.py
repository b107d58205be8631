"""What `crossmargin liquidate` asks of the other rooms: which pools trigger, and each under procedure and plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from crossmargin.cli import calls
from crossmargin.cli.changes import parse_trade
from crossmargin.errors import Failure, FailureReason, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from crossmargin.account import Account
    from crossmargin.cli.calls import Loaded
    from crossmargin.liquidation import Beside, CostModel, Costs, PlanOptions
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.procedure import Procedure
    from crossmargin.margin.report import PoolReport
    from crossmargin.market import Snapshot

_SAME = 1e-6
_LIQUIDATED = frozenset({"liquidatable", "bankrupt"})


@dataclass(frozen=True, slots=True)
class Row:
    """One pool: under its procedure beside the plan, or why it was refused."""

    account: str
    pool: str
    asset: str
    found: Beside | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked beside accounts, market and rulebook."""

    procedure: Procedure
    model: CostModel
    options: PlanOptions
    lots: Mapping[str, Fraction]
    stated: Mapping[str, float]
    depth: Path | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """All pools that were looked at, and where their costs come from."""

    rows: tuple[Row, ...]
    looked_at: int
    rules: Rulebook
    procedure: str
    snapshot: Snapshot
    recorded: tuple[str, ...]


def parse_amounts(texts: Sequence[str], option: str) -> dict[str, Fraction]:
    """Return contracts by instrument, each above 0, of ``SYMBOL:CONTRACTS``."""
    found: dict[str, Fraction] = {}
    for text in texts:
        wrong = click.BadParameter(f"{text!r}: write SYMBOL:CONTRACTS, contracts above 0", param_hint=option)
        try:
            trade = parse_trade(text, option)
        except click.BadParameter:  # which speaks of trades, that have a side and may have a price
            raise wrong from None
        if trade.quantity <= 0 or trade.price is not None:
            raise wrong
        found[trade.instrument] = Fraction(trade.quantity)
    return found


def parse_stated(texts: Sequence[str], procedure: Procedure) -> dict[str, float]:
    """Return inputs of a procedure by name, of ``NAME=NUMBER``."""
    found: dict[str, float] = {}
    inputs = procedure.liquidation.inputs
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise click.BadParameter(f"{text!r}: write NAME=NUMBER, as in gas=5", param_hint="--state") from None
        if name.strip() not in inputs:
            message = f"the procedure of {procedure.name} has no input {name.strip()!r}; it has {_listed(inputs)}"
            raise click.BadParameter(message, param_hint="--state")
    return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def closed(loaded: Loaded, rules: Rulebook, asked: Asked, age: float, *, every: bool) -> Closed:
    """Return each pool that is to be liquidated; every pool where they were asked for by account."""
    from crossmargin.liquidation import stated_costs
    from crossmargin.sources.depth import load_depth

    market = loaded.snapshot
    books = {} if asked.depth is None else load_depth(asked.depth, market)
    for name in (*asked.lots, *asked.options.hedges):
        if name not in market.listings:
            raise InputError(FailureReason.UNKNOWN_INSTRUMENT, "the snapshot does not list it", instrument=name)
    costs = stated_costs(market, asked.model, books)
    assessed = calls.book_report(loaded, rules, age)
    rows: list[Row] = [_refused(row.account, row.failure) for row in assessed.rows if row.failure is not None]
    places = [place for place, row in enumerate(assessed.book.rows()) if row.failure is None]
    looked_at = 0
    for place in places:
        for pool in assessed.book.report(place).pools:
            looked_at += 1
            if every or pool.state.value in _LIQUIDATED:
                rows.append(_row(loaded.accounts[place], pool, _Desk(rules, market, costs, asked)))
    return Closed(tuple(rows), looked_at, rules, asked.procedure.name, market, tuple(books))


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every pool is closed with."""

    rules: Rulebook
    market: Snapshot
    costs: Costs
    asked: Asked


def _refused(account: str, failure: Failure) -> Row:
    return Row(account, "", "", failure=failure)


def _row(account: Account, pool: PoolReport, desk: _Desk) -> Row:
    """Return one pool closed, or why it cannot be."""
    from crossmargin.liquidation import Desk, Engine, beside, hedge_legs

    row = Row(account.id, pool.pool, pool.reporting_asset)
    engine = Engine(_shared(account), lambda _elapsed: desk.market, desk.rules, pool.pool, desk.asked.lots)
    try:
        opening = engine(engine.opening(), 0.0)
        if abs(float(opening.figures["maintenance"]) - pool.maintenance_margin) > _SAME * abs(pool.maintenance_margin):
            message = "an isolated position, or a pool by group, is closed as a whole by its venue: nothing is planned"
            return replace(row, failure=Failure(FailureReason.OUT_OF_SCOPE, message, account.id))
        hedges = hedge_legs(engine, _perpetuals(account, pool.reporting_asset, desk.market))
        found = beside(
            engine,
            desk.costs,
            desk.asked.options,
            procedure=desk.asked.procedure,
            desk=Desk(stated=desk.asked.stated),
            hedges=hedges,
        )
    except InputError as error:
        return replace(row, failure=Failure(error.reason, error.message, account.id, error.instrument))
    return replace(row, found=found)


def _shared(account: Account) -> Account:
    """Return the account without positions that stand alone."""
    from msgspec.structs import replace as changed

    from crossmargin.account import MarginMode

    kept = (one for one in account.positions if (one.margin_mode or account.margin_mode) != MarginMode.ISOLATED)
    return changed(account, positions=tuple(kept))


def _perpetuals(account: Account, asset: str, market: Snapshot) -> dict[str, str]:
    """Return the perpetual of each underlying held, of those that settle in the pool's asset where there is one."""
    held = {
        market.listings[one.instrument].underlying for one in account.positions if one.instrument in market.listings
    }
    found: dict[str, str] = {}
    for name, listing in market.listings.items():
        fits = listing.underlying not in found or listing.settlement_asset == asset
        if fits and listing.kind == "perpetual" and listing.underlying in held and listing.mark_price:
            found[listing.underlying] = name
    return found


def document(found: Closed, rules: Rulebook) -> dict[str, Any]:
    """Return the JSON document."""
    return calls.stamped(
        rulebook=calls.rulebook_id(rules),
        procedure=found.procedure,
        as_of=found.snapshot.as_of,
        pools_looked_at=found.looked_at,
        recorded_books=found.recorded,
        pools=[_told(row, row.found) for row in found.rows if row.found is not None],
        failures=[row.failure for row in found.rows if row.failure is not None],
    )


def _told(row: Row, found: Beside) -> dict[str, Any]:
    made = found.plan
    return {
        "account": row.account,
        "pool": row.pool,
        "reporting_asset": row.asset,
        "stage": found.stage,
        "trigger": found.trigger,
        "until": made.until,
        "slack": found.slack,
        "equity": float(made.before.figures["equity"]),
        "maintenance_margin": float(made.before.figures["maintenance"]),
        "venue": {
            "moves": [
                {
                    "time": move.time,
                    "step": move.step,
                    "do": move.do,
                    "about": move.about,
                    "amount": float(move.amount),
                    "cost": move.cost,
                    "slack": move.slack,
                }
                for move in found.moves
            ],
            "ending": found.ending or None,
            "restored": found.restored,
            "cost": found.cost,
            "unable": found.unable or None,
        },
        "plan": {
            "said": made.said,
            "restored": made.restored,
            "missing": made.missing,
            "cost": made.cost,
            "cancels_orders": made.cancels,
            "method": made.method,
            "maintenance_margin_after": float(made.after.figures["maintenance"]),
            "equity_after": float(made.after.figures["equity"]),
            "trades": [
                {
                    "instrument": trade.instrument,
                    "contracts": float(trade.contracts),
                    "held": float(trade.held),
                    "opens": trade.opens,
                    "price": float(trade.price),
                    "cost": trade.cost,
                    "relief": trade.relief,
                    "relief_alone": trade.alone,
                    "relief_per_cost": trade.per_cost,
                }
                for trade in made.trades
            ],
        },
    }
