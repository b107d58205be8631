"""A procedure in memory: bands, the liquidation's steps, who pays what is missing. Frozen data, no behaviour.

A rulebook holds one, and one rulebook's procedure may be run over another's requirements.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin.model import Formula, Parameter, Tag
    from crossmargin.margin.procedure_prices import Prices

STAGES: Final = ("healthy", "warned", "called", "reduce_only", "liquidating", "bankrupt", "closed")
"""Stages of an account's life, each worse than the one before."""

BAND_STAGES: Final = ("warned", "called", "reduce_only", "liquidating")
"""Stages that a band may lead to; the others follow from what the account holds."""

Kind: TypeAlias = Literal["cancel", "hedge", "close", "assume", "share", "exchange", "settle"]
KINDS_OF_STEP: Final = ("cancel", "hedge", "close", "assume", "share", "exchange", "settle")
"""What a step may move: reserves, an opposite delta, contracts, contracts with their basis, a share of everything for
cash, collateral for debt, unrealised P&L into the wallet."""

PAYERS: Final = (
    *("collateral", "surplus", "skin", "fund", "vault", "assess", "adl"),
    *("gains", "equity", "deposits", "open_interest", "deficit", "halt"),
)
"""Who may pay what is missing. `deficit` and `halt` pay nothing: the first books the rest as a debt of the venue."""

RULES: Final = ("queue", "pro_rata", "water_fill")
REMAINDERS: Final = ("largest", "last")
ROUNDINGS: Final = ("loss", "payment")
"""What is rounded down of a share: what the payer loses, or what is still paid to it."""

MARKET: Final = "book"
"""Who stands on the other side of a trade that names nobody."""


@dataclass(frozen=True, slots=True)
class Band:
    """What follows when a condition holds, and until when.

    Parameters
    ----------
    then
        A stage, or a word of the venue's own that only the report shows.
    below
        The coverage ratio below which it holds, where the document says it so.
    when
        The condition.
    until
        The condition that ends it; None: that `when` holds no more.
    deadline
        Seconds until the next stage follows although nothing got worse; None: never.
    cure
        The requirement up to which the account must come to be cured.
    """

    then: str
    when: Formula
    below: float | None = None
    until: Formula | None = None
    deadline: Parameter | None = None
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a liquidation; what each kind moves, and in what its amount is, stands in the documentation.

    Parameters
    ----------
    of
        Which legs: a union of conjunctions of words, as in a line; empty: all that the kind can move.
    holder
        Whose legs: the account's own, or those that an owner took over.
    rank
        Legs in falling order of it; None: as they are listed.
    when
        A condition, asked before each leg.
    amount
        None: all of it.
    price
        None: at the market.
    fees
        Money by the owner who receives it.
    fees_in
        Of an exchange: the side in whose asset its fees are. Collateral is paid out of what the other side receives; a
        debt grows by them.
    over
        Whether the step is asked once for each leg, or once.
    pairs
        Whether two opposite legs of one underlying are closed together.
    clearing
        Of an auction: `first` bidder first, or `uniform` price of all bids of a window.
    window
        Seconds that `used_in_window` looks back, or that an auction collects bids.
    window_of
        Whose moves `used_in_window` and `last` count: those of the case, or of all cases on the same instrument.
    """

    name: str
    do: Kind
    of: tuple[frozenset[str], ...] = ()
    holder: str | None = None
    rank: Formula | None = None
    when: Formula | None = None
    amount: Formula | None = None
    price: Formula | None = None
    to: str = MARKET
    fees: Mapping[str, Formula] = field(default_factory=dict)
    fees_in: Literal["collateral", "debt"] = "collateral"
    over: Literal["leg", "account"] = "leg"
    pairs: bool = False
    clearing: Literal["first", "uniform"] = "first"
    window: Parameter | None = None
    window_of: Literal["case", "market"] = "case"


@dataclass(frozen=True, slots=True)
class Payment:
    """One layer of the waterfall: who pays, by which rule, how much at most.

    Parameters
    ----------
    rank, weight, cap
        Formulas over one payer's figures; `cap` None: without limit; `weight` None: equal.
    price
        Of an auto-deleveraging: the price at which positions are taken.
    keep
        What stays in the fund, money.
    """

    pay: str
    rule: Literal["queue", "pro_rata", "water_fill"] = "queue"
    when: Formula | None = None
    rank: Formula | None = None
    weight: Formula | None = None
    cap: Formula | None = None
    price: Formula | None = None
    keep: Formula | None = None
    rounding: Literal["loss", "payment"] = "loss"
    remainder: Literal["largest", "last"] = "largest"


@dataclass(frozen=True, slots=True)
class Fund:
    """The insurance fund: how much it should hold, what flows in, who stands behind it, and its own assets.

    Parameters
    ----------
    target
        Money; may read `cover_1` and `cover_2`, the worst scenario's largest and two largest shortfalls.
    inflow
        Money that a liquidation leaves to it.
    skin
        Money of the venue's own that pays before it.
    assessment
        The most that each member is asked for when it is empty, money.
    haircuts
        The share that a sale of each of its assets would cost.
    """

    target: Formula | None = None
    inflow: Formula | None = None
    skin: Formula | None = None
    assessment: Formula | None = None
    haircuts: Mapping[str, float] = field(default_factory=dict)

    @property
    def reads_stress(self) -> bool:
        """Whether the target stands on what a stress finds."""
        return self.target is not None and any(name.name in {"cover_1", "cover_2"} for name in self.target.reads)


@dataclass(frozen=True, slots=True)
class Halt:
    """When something stops on an underlying, and when it resumes. `what` holds `risk`, `liquidation` or both.

    Parameters
    ----------
    until
        None: as soon as `when` holds no more.
    window
        Seconds that `price_move` and `liquidated` look back.
    wait
        The most seconds that liquidation stands still; None: as long as risk does.
    """

    when: Formula
    until: Formula | None
    what: tuple[str, ...]
    window: float | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Liquidation:
    """When a pool is liquidated, how, and how far.

    Parameters
    ----------
    trigger
        One comparison.
    target
        The requirement that must be met again, where the document names one.
    until
        One comparison that ends it; None: the target's headroom, or that of maintenance, is at least 0.
    cadence
        Seconds between rounds; 0: all in one instant.
    lockout
        Whether the trader may not trade meanwhile.
    realised
        Where the profit of what is closed goes: into the wallet, or it stays with the position.
    loss
        What is missing where no step can restore the account, money; None: a negative equity.
    loss_lock
        When nobody may withdraw: while any case that is open lacks something, or while all of them lack more than the
        fund holds; None: never.
    inputs
        Names that whoever runs it may state, with what they are otherwise (None: they must be stated).
    """

    trigger: Formula
    target: str | None = None
    until: Formula | None = None
    cadence: Parameter | None = None
    lockout: bool = False
    pin: str | None = None
    realised: Literal["wallet", "basis"] = "wallet"
    loss: Formula | None = None
    loss_lock: Literal["any", "fund"] | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    lines: Mapping[str, Formula] = field(default_factory=dict)
    inputs: Mapping[str, float | None] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Procedure:
    """What happens to an account that falls short, from the first call to who pays what is missing.

    `parameters` and `tags` are the document's own, which its formulas and `of` may name.
    """

    name: str
    bands: tuple[Band, ...]
    liquidation: Liquidation
    waterfall: tuple[Payment, ...] = ()
    fund: Fund = Fund()
    halts: tuple[Halt, ...] = ()
    prices: Prices | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    tags: Mapping[str, Tag] = field(default_factory=dict)
