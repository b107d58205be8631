"""What a plan costs beside each venue's procedure: on made-up accounts, on recorded order books and recorded quotes.

    python -m benchmarks.planner [synthetic] [recorded] [quotes] [above_lower_bound] [latency] [tables] [--accounts N]

Every rival is a document that the same runner runs, aimed at the plan's own end, and again at its own. Costs are the
equity that trades take, fees included; impact is charged on the total, books do not refill between rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import planner_accounts, planner_books, planner_quotes
from crossmargin.errors import InputError
from crossmargin.liquidation import Desk, Engine, Plan, PlanOptions, Venue, begun, hedge_legs, plan, run
from crossmargin.liquidation.plan_aim import Aim
from crossmargin.liquidation.plan_choice import _Search
from crossmargin.liquidation.plan_program import Program, least_cost
from crossmargin.liquidation.plan_surface import Surface
from crossmargin.liquidation.plan_ways import ways_of
from crossmargin.margin import parse_rulebook
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crossmargin.liquidation import Costs
    from crossmargin.margin.procedure import Procedure
    from crossmargin.market import Listing

HERE = Path(__file__).resolve().parents[1]
VENUES = (
    "deribit-portfolio",
    "okx-portfolio",
    "bybit-portfolio",
    "binance-portfolio",
    "hyperliquid-cross",
    "reference",
)
SOURCES: dict[str, Any] = {"synthetic": planner_accounts, "recorded": planner_books, "quotes": planner_quotes}
HEAD = "| against the plan | restored | cost / plan: median, p10..p90 | all together | plan strictly cheaper |"
HEDGES = "deribit-portfolio"  # the one document that opens hedges
HEDGED = f"{HEDGES}, against the plan with hedges"
STATED = {"gas": 0.0, "wanted": 1.0}
ABOVE = "maintenance_headroom >= above * maintenance"
_PLAIN = """
[rulebook]
name = "{name}"
effective_from = 2026-01-01
reporting = "USD"
scope = ["perpetual", "option", "asset"]
[sources]
S1 = {{ title = "a rival for the planner", status = "exact" }}
[charges.positions]
source = "S1"
of = "perpetual"
is = "rate * notional"
rate = 0.05
[values.holdings]
of = ["long asset", "perpetual"]
is = "value"
[equity]
adjusted = "holdings"
[requirement]
maintenance = "positions"
initial = "positions"
[liquidation]
trigger = "adjusted_equity < maintenance"
until = "{until}"
cadence = 1
source = "S1"
[liquidation.parameters]
source = "S1"
above = 0.02
[[liquidation.steps]]
name = "close"
do = "close"
{step}
"""
PLAIN = {
    "pro rata with restore": 'over = "account"\namount = "restore"',
    "largest first": 'rank = "notional"',
    "largest first, least that restores": 'rank = "notional"\namount = "restore * contracts_held"',
}
# steps that hand the account over: what is left is restored, but not by closing
_TAKEN = frozenset({"assume", "share"})


@cache
def rivals() -> dict[str, Procedure]:
    """The procedures by name."""
    plain = {
        name: parse_rulebook(_PLAIN.format(name="rival", until=ABOVE, step=step), "rival.toml").procedure
        for name, step in PLAIN.items()
    }
    return {**{f"{name}": load_rulebook(name).procedure for name in VENUES}, **plain}


def aimed(procedure: Procedure) -> Procedure:
    """The same procedure that goes on until 2 % above maintenance."""
    goal, rule = rivals()["largest first"].liquidation, procedure.liquidation
    parameters = {**rule.parameters, **goal.parameters}
    return replace(procedure, liquidation=replace(rule, until=goal.until, parameters=parameters))


@dataclass(frozen=True)
class Tried:
    """One procedure on one account beside the plan: whether it restored by closing, and both costs."""

    rival: str
    restored: bool
    cost: float
    planned: float
    unable: str = ""


def hedges(engine: Engine) -> dict[str, tuple[str, Fraction]]:
    """Of each underlying that is held a perpetual, a held one first, and contracts of all that is held of it."""
    listings = engine.market(0.0).listings
    held = {position.instrument: position.quantity for position in engine.account.positions}
    coins: dict[str, float] = {}
    for name, quantity in held.items():
        coins[listings[name].underlying] = coins.get(listings[name].underlying, 0.0) + _coins(listings[name]) * abs(
            float(quantity)
        )
    listed = sorted((one for one in listings.values() if one.kind == "perpetual"), key=lambda one: one.symbol in held)
    by_coin = {one.underlying: one for one in listed if one.underlying in coins}
    return {coin: (one.symbol, Fraction(round(coins[coin] / _coins(one)))) for coin, one in by_coin.items()}


def _coins(listing: Listing) -> float:
    """The coins that a contract is of."""
    margined = listing.contract == "inverse" and listing.kind != "option"
    return listing.multiplier / (listing.mark_price or 1.0) if margined else listing.multiplier


def beside(engine: Engine, costs: Costs, name: str, made: Plan, procedure: Procedure) -> Tried:
    """One rival run on one account."""
    start = {position.instrument: planner_accounts.exactly(position.quantity) for position in engine.account.positions}
    perpetuals = {underlying: name for underlying, (name, _) in hedges(engine).items()}
    venue = Venue(engine.account.id, "USD", fill=costs.fill(start), hedges=hedge_legs(engine, perpetuals))
    try:
        out = run(procedure, engine.opening(), engine, venue, Desk(stated=STATED), rounds=200)
    except InputError as error:
        return Tried(name, restored=False, cost=0.0, planned=made.cost, unable=error.message[:200])
    handed = any(taken.move.step.do in _TAKEN for taken in out.taken)
    cost = float(made.before.figures["equity"]) - float(out.pool.figures["equity"])
    return Tried(name, restored=out.ending == "ended" and not handed, cost=cost, planned=made.cost)


def lower_bound(engine: Engine, costs: Costs, procedure: Procedure) -> float:
    """A cost that no trades can undercut where the requirement is convex: tangents of the cost, no lots."""
    view = engine.view(engine.opening())
    pool = view.made
    ways = ways_of(engine, view, {}, realise=True)
    aim = Aim(procedure, begun(pool), Desk(stated=STATED))
    search = _Search(Surface(ways, engine.rulebook, aim, aim.figures(pool)), costs, None, 0.0)
    wanted = search.solved(Program(search.segments, ways.rate, search.tangents))
    amounts = np.zeros(len(ways)) if wanted is None else wanted.trades
    under = [
        costs.segments(way.name, way.terms, way.side, float(way.most), around=amount, under=True)
        for way, amount in zip(ways.listed, amounts.tolist(), strict=True)
    ]
    solved = least_cost(Program(under, ways.rate, search.tangents), 0.0)
    return float("nan") if solved is None else solved.total


def one(number: int, source: str, count: int) -> dict[str, Any]:
    """Everything about one account: the plan, greedy, a lower bound, and every rival at both ends."""
    engine, costs = case(source, count)[number]
    goal = aimed(engine.rulebook.procedure)
    desk = Desk(stated=STATED)
    made = plan(engine, costs, procedure=goal, desk=desk)
    greedy = plan(engine, costs, PlanOptions(method="greedy"), procedure=goal, desk=desk)
    rows = [beside(engine, costs, name, made, aimed(procedure)) for name, procedure in rivals().items()]
    hedged = plan(engine, costs, PlanOptions(hedges=dict(hedges(engine).values())), procedure=goal, desk=desk)
    rows.append(beside(engine, costs, HEDGED, hedged, aimed(rivals()[HEDGES])))
    rows.append(Tried("greedy", restored=greedy.restored, cost=greedy.cost, planned=made.cost))
    own = []
    for name in VENUES:
        procedure = rivals()[name]
        if number % OWN == 0:
            own_plan = plan(engine, costs, procedure=procedure, desk=desk)
            own.append(beside(engine, costs, name, own_plan, procedure))
    return {
        "restored": made.restored, "cost": made.cost, "trades": len(made.trades),
        "programs": made.rounds, "method": made.method,
        "rows": [vars(row) for row in rows], "own": [vars(row) for row in own],
    }  # fmt: skip


OWN = 2  # of every so many accounts the rivals are run to their own end too


@cache
def case(source: str, count: int) -> list[tuple[Engine, Costs]]:
    """The accounts of a source, with what assesses them and what trading costs."""
    return SOURCES[source].cases(count)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the plan costs beside each rival, over the accounts that both restore."""
    names = list(dict.fromkeys(row["rival"] for row in rows))
    out = {}
    for name in names:
        mine = [row for row in rows if row["rival"] == name]
        good = [row for row in mine if row["restored"] and row["planned"] > 0]
        ratio = np.asarray([row["cost"] / row["planned"] for row in good])
        unable = sorted({row["unable"] for row in mine if row["unable"]})
        out[name] = {"restored": sum(row["restored"] for row in mine), "of": len(mine), "unable": unable[:2]}
        if ratio.size:
            p10, p50, p90 = np.percentile(ratio, [10, 50, 90]).round(3).tolist()
            total = sum(row["cost"] for row in good) / sum(row["planned"] for row in good)
            out[name] |= {
                "cost_over_plan": {"p10": p10, "median": p50, "p90": p90, "least": round(float(ratio.min()), 4)},
                "sums": round(total, 3),
                "plan_cheaper": round(float((ratio > 1 + 1e-9).mean()), 4),
            }
    return out


def costs_of(source: str, count: int, workers: int) -> dict[str, Any]:
    """The report of one source."""
    total = len(case(source, count))
    with ProcessPoolExecutor(workers) as pool:
        found = list(pool.map(one, range(total), [source] * total, [count] * total, chunksize=2))
    planned = [row for row in found if row["restored"]]
    return {
        "accounts": total,
        "rulebook": case(source, count)[0][0].rulebook.name,
        "plan_restored": len(planned),
        "methods": {name: sum(row["method"] == name for row in found) for name in ("program", "greedy", "none")},
        "programs": max(row["programs"] for row in found),
        "trades_median": float(np.median([row["trades"] for row in planned])),
        "same_end": summary([row for account in found for row in account["rows"]]),
        "own_end": summary([row for account in found for row in account["own"]]),
    }


def bounds(source: str, count: int) -> dict[str, float]:
    """How far plans lie above a lower bound of their cost."""
    gaps = []
    for engine, costs in case(source, count):
        goal = aimed(engine.rulebook.procedure)
        made, bound = plan(engine, costs, procedure=goal), lower_bound(engine, costs, goal)
        if made.restored and bound > 0:
            gaps.append(made.cost / bound - 1)
    return dict(zip(("median", "p95"), np.percentile(gaps, [50, 95]).round(4).tolist(), strict=True))


def tables(found: dict[str, Any]) -> str:
    """The costs as the page has them, in Markdown."""
    lines = []
    for name, end in product(SOURCES, ("same_end", "own_end")):
        lines += ["", f"{name}, {end}", "", HEAD, "| --- | --- | --- | --- | --- |"]
        for rival, row in found.get(name, {}).get(end, {}).items():
            ratio = row.get("cost_over_plan")
            if ratio is None:
                lines.append(f"| {rival} | {row['restored']}/{row['of']} | | | |")
                continue
            spread = f"{ratio['median']:.2f}, {ratio['p10']:.2f}..{ratio['p90']:.2f}"
            cheaper = f"{100 * row['plan_cheaper']:.0f} %"
            lines.append(f"| {rival} | {row['restored']}/{row['of']} | {spread} | {row['sums']:.2f} | {cheaper} |")
    return "\n".join(lines)


def latency(rounds: int = 5) -> dict[str, Any]:
    """How long a plan of 50 positions takes, its book open: from the account, and from its assessment."""
    rows = case("synthetic", 40)
    for engine, costs in rows[:3]:
        plan(engine, costs)
    loads = [os.getloadavg()[0]]
    kinds = ("wall", "cpu", "assessed_wall", "assessed_cpu")
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for engine, costs in rows:
        holdings = engine.opening()
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            fresh = engine.view(holdings)  # what a plan keeps of it the next one would find
            for prefix, given in (("", {"holdings": holdings}), ("assessed_", {"view": fresh})):
                wall, cpu = time.perf_counter(), time.process_time()
                plan(engine, costs, **given)
                taken[f"{prefix}wall"].append(time.perf_counter() - wall)
                taken[f"{prefix}cpu"].append(time.process_time() - cpu)
        for kind, seconds in taken.items():
            found[kind].append(float(np.median(seconds)))
        loads.append(os.getloadavg()[0])
    out: dict[str, Any] = {
        "accounts": len(rows),
        "rounds": rounds,
        "load": [round(min(loads), 2), round(max(loads), 2)],
    }
    for kind, seconds in found.items():
        p50, p95, most = np.percentile(np.asarray(seconds) * 1e3, [50, 95, 100]).round(1).tolist()
        out[f"{kind}_ms"] = {"p50": p50, "p95": p95, "max": most}
    return out


def main(words: Sequence[str]) -> None:
    """Write what was asked for, beside what an earlier run of the same day wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=[*SOURCES, "above_lower_bound", "latency"])
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(words)
    day = datetime.now(UTC).date().isoformat()
    out = asked.out or HERE / "docs" / "data" / f"planner-{day}.json"
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"date": day}
    making: dict[str, Callable[[], Any]] = {
        **{name: partial(costs_of, name, asked.accounts, asked.workers) for name in SOURCES},
        "latency": latency,
        "above_lower_bound": lambda: {name: bounds(name, asked.accounts) for name in SOURCES},
    }
    if asked.what == ["tables"]:
        print(tables(found))
        return
    for name in _known(asked.what, making):
        found[name] = making[name]()
        print(name, json.dumps(found[name], indent=1))
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _known(words: Iterable[str], known: dict[str, Callable[[], Any]]) -> list[str]:
    listed = list(words)
    for word in listed:
        if word not in known:
            raise SystemExit(f"{word!r} is none of {', '.join(known)}")
    return listed


if __name__ == "__main__":
    main(sys.argv[1:])
