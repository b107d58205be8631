"""A rulebook in memory: frozen data, no behaviour. The parser makes it, the engine reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from crossmargin.margin.expression import Computed, Name, computed, names
from crossmargin.margin.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from crossmargin.margin.expression import Expression
    from crossmargin.margin.procedure import Procedure

Level: TypeAlias = Literal["leg", "strike", "expiry", "bucket", "asset", "account"]
LEVELS: Final = ("leg", "strike", "expiry", "bucket", "asset", "account")
MAINTENANCE: Final = "maintenance"
INITIAL: Final = "initial"
TRANSFER: Final = "transfer"  # what must stay when funds leave, where a rulebook asks for more than initial


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers come from. `status` is exact, retold, inferred or memory."""

    key: str
    title: str
    at: str | None
    seen: date | None
    status: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which source covers a number; `unverified` when nothing public confirms it."""

    source: str
    unverified: bool


@dataclass(frozen=True, slots=True)
class Constant:
    """A number of the document."""

    value: float
    provenance: Provenance | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Tiers:
    """A tier table: row i holds from the previous bound up to `upto[i]`; the last bound is infinite."""

    upto: tuple[float, ...]
    rate: tuple[float, ...]
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression of the document with its parsed tree, every name that it reads, and what computes it."""

    text: str
    tree: Expression
    reads: frozenset[Name] = field(init=False, repr=False, compare=False)
    value: Computed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Walk the tree once: both are asked for at every evaluation."""
        object.__setattr__(self, "reads", names(self.tree))
        object.__setattr__(self, "value", computed(self.tree))

    def __reduce__(self) -> tuple[type[Formula], tuple[str, Expression]]:
        """Travel as text and tree, from which the rest is made."""
        return Formula, (self.text, self.tree)


@dataclass(frozen=True, slots=True)
class Keyed:
    """A table that each row looks up by its own key (bucket, instrument, asset, class, ...).

    Without a `default` an unknown key is refused - and only selected rows ask.
    """

    by: str
    entries: Mapping[str, Constant | Tiers | Formula]
    default: Constant | Tiers | Formula | None
    listed: tuple[Constant | Tiers | Formula, ...] = field(init=False, repr=False, compare=False)
    form: type[Constant | Tiers | Formula] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """List the entries, the default last, and say of which form all are (None: of several)."""
        listed = (*self.entries.values(), *(() if self.default is None else (self.default,)))
        object.__setattr__(self, "listed", listed)
        object.__setattr__(self, "form", type(listed[0]) if len(set(map(type, listed))) == 1 else None)


@dataclass(frozen=True, slots=True)
class Variants:
    """One parameter for each requirement: ``{ maintenance = 0.03, initial = 0.04 }``."""

    by_requirement: Mapping[str, Constant | Tiers | Formula | Keyed]

    def of(self, requirement: str) -> Constant | Tiers | Formula | Keyed:
        """Return a requirement's entry. One that the table leaves out never reads it: shown, it is as for initial."""
        stated = self.by_requirement
        return stated.get(requirement) or stated.get(INITIAL) or next(iter(stated.values()))


Parameter: TypeAlias = "Constant | Tiers | Formula | Keyed | Variants"


@dataclass(frozen=True, slots=True)
class Slopes:
    """Two slopes and a kink on a netted number x: min(gain max(x, 0), gain_cap) + min(loss min(x, 0) + deductible, 0).

    The members are expressions over the rows of the level where they stand.
    """

    gain: Parameter
    loss: Parameter
    gain_cap: Parameter | None = None
    deductible: Parameter | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """The `scan` kind: P&L rows of the legs, close-out and fold on the way up, then one measure of the row.

    `exposure` says what stands in the rows: `pnl`, or `delta`, units of the underlying at the shocked price and vol.
    """

    scenarios: str
    measure: str = "worst"
    exposure: str = "pnl"
    confidence: Parameter | None = None
    weight: Parameter | None = None
    close_out: Mapping[str, Slopes] = field(default_factory=dict)
    fold: Mapping[str, Slopes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """One offsetting pair of the `pairing` kind: two keys, units of the second per unit of the first, a rate."""

    of: tuple[str, str]
    rate: Parameter
    ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Pairing:
    """The `pairing` kind: opposite amounts matched in listed order.

    `between` names the key (asset, bucket, expiry) whose groups are matched, `exposure` the measure or line that is.
    `tiers` name ranges of days to expiry, each with its last day, the last without end. `worth` is a line by bucket:
    what one matched unit stands for, where the rate is a share of it.
    """

    between: str
    exposure: str
    pairs: tuple[Pair, ...]
    tiers: Mapping[str, float] = field(default_factory=dict)
    worth: str | None = None


@dataclass(frozen=True, slots=True)
class Either:
    """The `either` kind: open orders whose reserve may land in either of two assets, the worse worth counted."""

    balance: Parameter
    asset_worth: Parameter
    liability_worth: Parameter
    asset_price: Parameter | None = None
    liability_price: Parameter | None = None


@dataclass(frozen=True, slots=True)
class WorstSide:
    """The `worst_side` kind: another line with all bids, or all asks, filled; the largest."""

    line: str


@dataclass(frozen=True, slots=True)
class MaxLoss:
    """The `max_loss` kind: the worst payoff over price 0 and every strike."""


@dataclass(frozen=True, slots=True)
class CustomKind:
    """A kind from outside the package, under the entry point group ``crossmargin.kinds``.

    Parameters
    ----------
    read
        What makes the line's parameters of its table (keys of every line, such as `of` and `level`, left out).
        It raises ValueError for a table that makes no sense.
    compute
        ``compute(evaluation, line, requirement, key)`` returns the line [rows of its level]; what it read stands in
        ``line.spec.parameters``. It may keep what `explain` should know in ``evaluation.details[key]``.
    levels
        Where such a line may stand.
    """

    read: Callable[[Mapping[str, Any]], Any]
    compute: Callable[[Any, Line, str, tuple[str, str]], Any]
    levels: tuple[str, ...] = LEVELS


@dataclass(frozen=True, slots=True)
class Custom:
    """A line of a kind from outside: the kind, and what it read of the line's table."""

    kind: CustomKind
    parameters: Any


@dataclass(frozen=True, slots=True)
class Line:
    """One named line: a value (builds equity, may be negative) or a charge (builds requirements, >= 0).

    Parameters
    ----------
    of
        A union of conjunctions of words; empty selects every leg. No selected leg: the line is 0.
    spec
        The formula (one, or one for each requirement), or the parameters of a kind.
    parameters
        The line's own numbers and local definitions, before any other name.
    haircut
        Whether the line is a haircut on collateral (the report shows it beside the balance).
    """

    name: str
    section: Literal["values", "charges"]
    level: str
    of: tuple[frozenset[str], ...]
    kind: str
    spec: Any  # a Parameter for formulas, else the kind's own struct above
    parameters: Mapping[str, Parameter]
    haircut: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a scenario set: the product of its axes, or supplied rows.

    `spot` in fractions (times `scale`), `vol` names of shocked vols, `rate` absolute, `basis` relative at one
    year, `time` in years, `peg` relative for pegged and wrapped assets. `supplied` names a table in the snapshot's
    calibration: moves by bucket, or, where `rows` says how many, rows of figures by instrument (gains of one contract,
    or its deltas); `take` says which of them, counted from 1.
    """

    spot: tuple[float, ...]
    vol: tuple[str, ...]
    rate: tuple[float, ...]
    basis: tuple[float, ...]
    time: tuple[float, ...]
    peg: tuple[float, ...]
    scale: Parameter | None
    weight: Parameter | tuple[float, ...] | None
    fold: Mapping[str, Slopes]
    supplied: str | None = None
    rows: int | None = None
    take: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Shocks:
    """Named shocked vols over one option's columns, and their helpers and numbers."""

    vol: Mapping[str, Formula]
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class Tag:
    """A word that the rulebook declares for `of`: legs by asset, instrument, underlying or settlement asset."""

    assets: frozenset[str]
    instruments: frozenset[str]
    underlyings: frozenset[str]


@dataclass(frozen=True, slots=True)
class Input:
    """A figure of the account that only the venue knows, with what it counts as when absent."""

    default: float
    unit: str


@dataclass(frozen=True, slots=True)
class KnownDefect:
    """A semantic error that was live at the venue and is kept on purpose."""

    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Rulebook:
    """A venue's methodology as of a date. See docs/concepts/rulebooks.md for the grammar.

    `reporting` is an asset, or ``settlement`` (each pool in its own settlement asset). `scope` are the instrument
    kinds it margins, `contracts` the forms of settlement (linear, inverse, quanto); anything else is refused by name.
    `document` is the merged TOML it was read from, `digest` its SHA-256. `kinds` are those from outside it may use.
    """

    name: str
    effective_from: date
    title: str
    reporting: str
    scope: frozenset[str]
    contracts: frozenset[str]
    sources: Mapping[str, Source]
    parameters: Mapping[str, Parameter]
    valuation: Mapping[str, Formula]
    discount: bool
    shocks: Shocks
    scenarios: Mapping[str, tuple[Block, ...]]
    values: Mapping[str, Line]
    charges: Mapping[str, Line]
    adjusted: Parameter
    requirements: Mapping[str, Parameter]
    pool_by: Literal["account", "settlement_asset", "position", "group"]
    opposite_positions: Literal["net", "gross", "larger"]
    tags: Mapping[str, Tag]
    inputs: Mapping[str, Input]
    procedure: Procedure
    known_defects: tuple[KnownDefect, ...]
    document: Mapping[str, Any]
    digest: str
    path: str | None = None
    kinds: Mapping[str, CustomKind] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts, init=False, repr=False, compare=False)

    def line(self, name: str) -> Line:
        """Return a value or a charge by name."""
        return self.values[name] if name in self.values else self.charges[name]

    @property
    def lines(self) -> dict[str, Line]:
        """All lines by name, values first."""
        return {**self.values, **self.charges}
