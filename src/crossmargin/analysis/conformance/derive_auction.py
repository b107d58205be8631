"""Derive's Dutch auction: the curve, single bids, and whole auctions run on accounts under portfolio margin.

In a whole auction the first portfolio margin assesses the account at the feeds of every bid, before and after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.analysis.conformance import derive_pm1
from crossmargin.analysis.conformance.case import Figure, ProcedureFamily, Run, case_names, of_kind
from crossmargin.analysis.conformance.derive_market import STABLE
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.procedure_lines import evaluated
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.case import Case, Done
from crossmargin.liquidation.holdings import HELD, WALLET
from crossmargin.liquidation.moves import Desk, Move, next_move, scope_of
from crossmargin.liquidation.pools import Pool
from crossmargin.liquidation.postings import Venue
from crossmargin.liquidation.run import begun, run
from crossmargin.margin import with_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.analysis.conformance.case import Amount, Rulebooks
    from crossmargin.margin import Rulebook
    from crossmargin.margin.procedure import Procedure

SIMULATION: Final = "liquidation_simulation"
_KINDS: Final = ("solvent", "insolvent", "curve")
_OWNER: Final = "account"
_BIDDER: Final = "bidder"
_PARAMETERS: Final[Mapping[str, str]] = {
    **{name: name for name in ("start", "cutoff", "fast_len", "slow_len", "insolvent_len", "fee")},
    "cushion_share": "buffer",
}
_SIMULATED: Final = 1e-9  # the files state 15 digits


def _own(stated: Fields) -> dict[str, Any]:
    return {f"liquidation.parameters.{ours}": stated.number(key) for ours, key in _PARAMETERS.items()}


# --- single bids


@dataclass(frozen=True, slots=True, eq=False)
class _Bid:
    """One bid on an account whose net margin and mark value the case states."""

    given: Fields
    rulebook: Rulebook

    @property
    def told(self) -> dict[str, Amount]:
        """What the case states, as the lines call it."""
        given = self.given
        found: dict[str, Amount] = {"t": given.number("t"), "reserved": given.number("reserved_cash", 0.0)}
        for ours, key in (("maintenance_headroom", "mm"), ("equity", "mtm"), ("wanted", "bid_fraction")):
            if key in given:
                found[ours] = given.number(key)
        # an auction that was declared insolvent stays so
        return {**found, "discount": 0.0} if given.text("kind") == "insolvent" else found

    def line(self, name: str) -> float:
        """Return a line of the procedure."""
        return float(evaluated(self.rulebook, name, self.told))

    @property
    def move(self) -> Move:
        """What the bid takes, and at which price."""
        pool = Pool(self.told)
        steps = frozenset({"auction", "insolvent auction"})
        move, _ = next_move(self.rulebook.procedure, pool, begun(pool), Desk(stated=self.told, steps=steps))
        return move if move is not None else refuse("a bid that takes something", None, self.given.place)

    @property
    def paid(self) -> float:
        """What the bidder pays; below 0 it is paid."""
        return float(self.move.amount * (self.move.price or 0))


def _price(bid: _Bid) -> float:
    return bid.line("insolvent_price" if bid.given.text("kind") == "insolvent" else "bid_price")


# figure: what it reads, and how many digits behind the point the file cuts it to (None: it does not)
_BID: Final[Mapping[str, tuple[Callable[[_Bid], float], int | None]]] = {
    "discount": (lambda bid: bid.line("discount"), None),
    "bid_price": (_price, None),
    "max_proportion_trunc3": (lambda bid: bid.line("max_share"), 3),
    "max_proportion_trunc4": (lambda bid: bid.line("max_share"), 4),
    "final_fraction": (lambda bid: float(bid.move.amount), None),
    "cash_from_bidder": (lambda bid: bid.paid, None),
    "cash_from_bidder_trunc": (lambda bid: bid.paid, 0),
    "cash_to_bidder": (lambda bid: -bid.paid, None),
}


def takes_bid(case: Mapping[str, object]) -> bool:
    """Return whether a case is a single bid, or a point of the curve."""
    given = case.get("input")
    return isinstance(given, Mapping) and given.get("kind") in _KINDS and isinstance(given.get("params"), Mapping)


def pose_bid(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return one bid, or one point of the curve."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    given, expected = case.needed("input"), case.needed("expected")
    rulebook = with_values(rulebooks(derive_pm1.RULEBOOK), _own(given.needed("params")), source=given.at("params"))
    return Run(name, tuple(_bid_figure(expected, key) for key in expected), lambda: _Bid(given, rulebook))


def _bid_figure(expected: Fields, key: str) -> Figure:
    if key not in _BID:
        refuse(f"one of {', '.join(_BID)}", key, expected.place)
    read, digits = _BID[key]
    if digits is None:
        return Figure(key, expected.number(key), read)
    scale = 10**digits
    return Figure(
        key, round(expected.number(key) * scale), lambda bid: read(bid) * scale, truncated=True, tolerance=0.0
    )


# --- whole auctions


@dataclass(frozen=True, slots=True)
class _Held:
    """What the account still holds: cash, and the amount of each option of the case."""

    money: float
    options: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Auction:
    """One auction of a case."""

    case: Fields
    rulebook: Rulebook

    @property
    def procedure(self) -> Procedure:
        """The rulebook's procedure."""
        return self.rulebook.procedure

    def engine(self, held: _Held, time: float, feeds: Fields) -> Engine:
        """Return what assesses the account at some feeds."""
        options = self.case.needed("initial_portfolio").objects("options")
        vols = {_contract(row): row.number("vol") for row in feeds.objects("vols")}
        listed = [
            {
                "expiry_secs": option.number("expiry_ts") - time,
                "strike": option.number("strike"),
                "is_call": option.flag("is_call"),
                "amount": amount,
                "vol": vols[_contract(option)],
            }
            for option, amount in zip(options, held.options, strict=True)
        ]
        expiries = [
            {
                "expiry_secs": row.number("expiry_ts") - time,
                "forward": row.number("forward"),
                "rate": row.number("rate"),
            }
            for row in feeds.objects("expiries")
        ]
        market = {"spot": feeds.number("spot"), "stable_price": feeds.number("stable_price"), "expiries": expiries}
        desk = derive_pm1.desk_of(
            Fields({"cash": held.money, "options": listed}, self.case.at("initial_portfolio")),
            Fields(market, feeds.place),
        )
        snapshot = desk.snapshot()
        return Engine(desk.account(_OWNER), lambda _elapsed: snapshot, self.rulebook)

    def line(self, name: str, pool: Pool, memory: Case) -> float:
        """Return a line of the procedure at a moment of the auction."""
        return float(scope_of(self.procedure, pool, memory, Desk()).named(name))

    def played(self) -> dict[str, float]:
        """Return every figure: the fee, and of each bid how the account stood before and after it."""
        portfolio = self.case.needed("initial_portfolio")
        amounts = tuple(option.number("amount") for option in portfolio.objects("options"))
        held, started = _Held(portfolio.number("cash"), amounts), self.case.number("start_time")
        engine = self.engine(held, started, self.case.needed("initial_feeds"))
        pool = engine(engine.opening(), 0.0)
        memory = begun(pool, started)
        desk = Desk(steps=frozenset({"start"}))
        venue = Venue(_OWNER, STABLE)
        out = run(self.procedure, engine.opening(), engine, venue, desk, rounds=1, case=memory)
        fee = float(out.holdings.get("fund", WALLET, STABLE))
        held, found = replace(held, money=held.money - fee), {"expected_liquidation_fee": fee}
        for number, action in enumerate(self.case.objects("actions")):
            held, memory, figures = self.bid(held, memory, action)
            found |= {f"actions[{number}].{key}": value for key, value in figures.items()}
        return found

    def bid(self, held: _Held, memory: Case, action: Fields) -> tuple[_Held, Case, dict[str, float]]:
        """Return what the account holds after one bid, the memory, and the bid's figures."""
        time = action.number("time")
        engine = self.engine(held, time, action.needed("feeds"))
        memory = replace(memory, time=time, position=0, passed=frozenset())
        before = engine(engine.opening(), 0.0)
        found = {f"pre_{key}": self.line(line, before, memory) for key, line in _STANDS.items()}
        desk = Desk(stated={"wanted": action.number("bid_fraction_wanted")}, steps=frozenset({"auction"}))
        out = run(self.procedure, engine.opening(), engine, Venue(_OWNER, STABLE), desk, rounds=1, case=memory)
        done: tuple[Done, ...] = out.case.done[len(memory.done) :]
        memory = replace(memory, done=out.case.done)
        found |= {f"post_{key}": self.line(line, out.pool, memory) for key, line in _STANDS.items()}
        found["bid_cash"] = float(sum((one.paid_in for one in done), Fraction(0)))
        found["final_fraction_of_current"] = float(sum((one.amount for one in done), Fraction(0)))
        names = [p.instrument for p in engine.account.positions]
        left = tuple(float(out.holdings.get(_OWNER, HELD, name, name)) for name in names)
        return _Held(float(out.holdings.get(_OWNER, WALLET, STABLE)), left), memory, found


_STANDS: Final[Mapping[str, str]] = {"mtm": "equity", "mm": "net", "bm": "buffer_margin", "max_fraction": "max_share"}


def _contract(row: Fields) -> tuple[float, float]:
    return row.number("expiry_ts"), row.number("strike")


def pose_simulation(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return one whole auction."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    changes = {**derive_pm1.changes_of(document.needed("pmrm1_parameters")), **_own(case.needed("auction_params"))}
    rulebook = with_values(rulebooks(derive_pm1.RULEBOOK), changes, source=case.at("auction_params"))
    expected = {"expected_liquidation_fee": case.number("expected_liquidation_fee")}
    for number, action in enumerate(case.objects("actions")):
        stated = action.needed("expected")
        expected |= {f"actions[{number}].{key}": stated.number(key) for key in stated}
    figures = tuple(Figure(key, value, partial(_of, key), _SIMULATED) for key, value in expected.items())
    return Run(name, figures, _Auction(case, rulebook).played)


def _of(key: str, found: Mapping[str, float]) -> float:
    return found[key]


FAMILIES: Final = (
    ProcedureFamily("derive_dutch_auction", "bid", takes_bid, pose_bid),
    ProcedureFamily("derive_dutch_auction", SIMULATION, of_kind(SIMULATION), pose_simulation),
)
