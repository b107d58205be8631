"""Vega: losses that winners share, and the network's disposal of a position it took over, run through the rulebook."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from crossmargin.analysis.conformance.case import Figure, ProcedureFamily, Run, case_names, of_kind
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.linear_market import decimal_of
from crossmargin.liquidation.holdings import BASIS, HELD, WALLET, Entry, Holdings, Row
from crossmargin.liquidation.moves import Desk, scope_of
from crossmargin.liquidation.pools import Leg, Pool, Terms
from crossmargin.liquidation.postings import Venue
from crossmargin.liquidation.run import Outcome, run
from crossmargin.liquidation.waterfall import pay
from crossmargin.margin import with_values
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.analysis.conformance.case import Rulebooks
    from crossmargin.margin import Rulebook

RULEBOOK: Final = "vega@2026-01-20"
SHARED: Final = "loss_socialisation"
DISPOSAL: Final = "network_position_disposal"
_PARTY: Final = 3  # name, contracts, balance


def pose_shared(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return one settlement whose losers cannot pay in full."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    stated, expected = case.needed("input"), case.needed("expected")
    cuts = expected.needed("haircut")
    figures = [Figure(f"haircut.{party}", cuts.number(party), partial(_lost, party), tolerance=0.0) for party in cuts]
    if "insurance_pool_after" in expected:
        left = expected.number("insurance_pool_after")
        figures.append(Figure("insurance_pool_after", left, lambda paid: paid["fund left"], tolerance=0.0))
    return Run(name, tuple(figures), partial(_settled, stated, rulebooks(RULEBOOK)))


def _lost(party: str, paid: dict[str, int]) -> int:
    return paid[party]


def _settled(stated: Fields, rulebook: Rulebook) -> dict[str, int]:
    """Return what each winner gives up, and what the insurance pool has left."""
    move = Fraction(exact(stated.number("new_mark"))) - Fraction(exact(stated.number("old_mark")))
    parties = [_party(stated, row, number) for number, row in enumerate(stated.items("parties"))]
    gains = [(name, contracts * move, balance) for name, contracts, balance in parties]
    short = [-gain - balance for _, gain, balance in gains if balance is not None and -gain > balance]
    fund = Fraction(exact(stated.number("insurance_pool")))
    winners = [Leg(name, {"profit": gain}) for name, gain, _ in gains if gain > 0]
    payers: dict[str, Sequence[Leg]] = {"fund": [Leg("fund", {"fund": fund})], "gains": winners}
    scope = scope_of(rulebook.procedure, Pool({}), None, Desk(exactly=True))
    layers, _ = pay(int(sum(short, Fraction(0))), rulebook.procedure.waterfall, payers, scope)
    found = {winner.name: 0 for winner in winners} | {"fund": 0}
    found |= {share.name: share.paid for layer in layers for share in layer.allocation.shares}
    return found | {"fund left": int(fund) - found["fund"]}


def _party(stated: Fields, row: object, number: int) -> tuple[str, Fraction, Fraction | None]:
    place = f"{stated.at('parties')}[{number}]"
    if not isinstance(row, list) or len(row) != _PARTY or not isinstance(row[0], str):
        refuse("a party: its name, its contracts, its balance or null", row, place)
    balance = None if row[2] is None else Fraction(decimal_of(row[2], place))
    return row[0], Fraction(decimal_of(row[1], place)), balance


@dataclass(frozen=True, slots=True)
class _Network:
    """The network's position, assessed by one question: whether anything is left."""

    entry: Fraction
    fill: Fraction
    depth: Fraction

    def opening(self, contracts: Fraction) -> Holdings:
        """Return the network as it took the position over."""
        rows = []
        for owner, sign in (("network", 1), ("world", -1)):
            rows.append(Row(Entry(owner, HELD, "market", "market"), sign * contracts))
            rows.append(Row(Entry(owner, BASIS, "asset", "market"), -sign * contracts * self.entry))
        return Holdings().posted(rows)

    def __call__(self, holdings: Holdings, _elapsed: float) -> Pool:
        """Return what is left as a pool."""
        held = holdings.get("network", HELD, "market", "market")
        terms = Terms("asset", mark=self.fill)
        figures = {"contracts_held": abs(held), "quantity": held, "price": self.fill, "depth": self.depth}
        legs = (Leg("market", figures, terms=terms),) if held else ()
        # whatever it stands at: the network goes on until all is disposed of
        return Pool({"gross": abs(held) * self.fill, "adjusted_equity": Fraction(0)}, legs)


DISPOSAL_KEYS: Final = MappingProxyType(
    {
        "liquidation.parameters.fraction": "disposal_fraction",
        "liquidation.parameters.full_quantity": "full_disposal_size",
        "liquidation.parameters.most_consumed": "max_fraction_consumed",
    }
)
"""Where the document keeps what a case of a disposal states."""


def pose_disposal(document: Fields, index: int, rulebooks: Rulebooks) -> Run:
    """Return one position that the network closes piece by piece."""
    case, name = document.objects("cases")[index], case_names(document)[index]
    stated, expected = case.needed("input"), case.needed("expected")
    changes = {ours: stated.number(key) for ours, key in DISPOSAL_KEYS.items()}
    rulebook = with_values(rulebooks(RULEBOOK), changes, source=case.at("input"))
    figures = []
    for number, closed in enumerate(expected.numbers("sizes")):
        figures.append(Figure(f"sizes[{number}]", closed, partial(_closed, number), tolerance=0.0))
    for number, gain in enumerate(expected.numbers("realised_pnl")):
        figures.append(Figure(f"realised_pnl[{number}]", gain, partial(_realised, number), tolerance=0.0))
    figures.append(Figure("steps", len(expected.numbers("sizes")), lambda out: len(out.taken), tolerance=0.0))
    return Run(name, tuple(figures), partial(_disposed, stated, rulebook))


def _disposed(stated: Fields, rulebook: Rulebook) -> Outcome:
    numbers = ("entry_price", "fill_price", "available_volume_each_step")
    network = _Network(*(Fraction(exact(stated.number(key))) for key in numbers))
    holdings = network.opening(Fraction(exact(stated.number("network_position"))))
    desk = Desk(holder="network", exactly=True)
    return run(rulebook.procedure, holdings, network, Venue("network", "asset"), desk)


def _closed(number: int, outcome: Outcome) -> Fraction:
    return outcome.taken[number].move.amount if number < len(outcome.taken) else Fraction(0)


def _realised(number: int, outcome: Outcome) -> Fraction:
    """Return what the network's wallet had made by then."""
    return (
        outcome.taken[number].holdings.get("network", WALLET, "asset") if number < len(outcome.taken) else Fraction(0)
    )


FAMILIES: Final = (
    ProcedureFamily("vega", SHARED, of_kind(SHARED), pose_shared),
    ProcedureFamily("vega", DISPOSAL, of_kind(DISPOSAL), pose_disposal),
)
