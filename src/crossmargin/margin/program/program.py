"""A rulebook at one moment's prices as the engine's program: recorded on the template, then lowered."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.errors import InputError
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.program.columns import Column
from crossmargin.margin.program.lowering import lower
from crossmargin.margin.program.nodes import ONE, Node, Op, Terms
from crossmargin.margin.program.recording import Recording
from crossmargin.margin.program.template import SIDES, Template, make_template
from crossmargin.margin.program.universe import Universe, price
from crossmargin.margin.quotes import QuoteGuard, QuoteReader
from crossmargin.margin.resolve import SETTLEMENT
from crossmargin.margin.resolved import Resolved, Units
from crossmargin.margin.touched import looks_at_balances
from crossmargin.margin.trigger import coverage, states_of
from crossmargin.scenarios import ASSET, FUTURE, OPTION, PERPETUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import numpy.typing as npt

    from crossmargin.errors import Failure
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.universe import Priced
    from crossmargin.market import Snapshot
    from crossmargin.scenarios import Contracts

    Ints = npt.NDArray[np.int64]

__all__ = ["OUTPUTS", "Market", "Program", "make_market", "make_program"]

OUTPUTS: Final = ("initial", "maintenance", "adjusted_initial", "adjusted_maintenance", "equity", "coverage", "state")
"""What the engine gives for each pool, in order; after these, how many of its legs are refused, if any may be."""
_LEVELS: Final = ("strike", "expiry", "bucket", "asset")


@dataclass(frozen=True, slots=True)
class Market:
    """A universe at one moment. `numeraire` is by class of pools."""

    as_of: datetime
    reporting_asset: str
    in_settlement: bool
    priced: Priced
    reporting: Ints
    numeraire: npt.NDArray[np.float64]
    calibration: dict[str, object]


@dataclass(frozen=True, slots=True)
class Program:
    """The engine's arrays of a rulebook at one moment.

    Parameters
    ----------
    may_refuse
        The last output counts refused legs.
    beside
        The requirements whose adjusted equity and amount come after `OUTPUTS`, two outputs for each.
    """

    arrays: dict[str, Any]
    may_refuse: bool
    beside: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """How many figures the engine gives for each pool."""
        return len(OUTPUTS) + 2 * len(self.beside) + int(self.may_refuse)


def make_market(
    universe: Universe,
    snapshot: Snapshot,
    rulebook: Rulebook,
    *,
    max_quote_age_seconds: float | None = 3600.0,
    reports: Callable[[str], bool] | None = None,
) -> Market:
    """Return the universe at a snapshot's prices.

    Parameters
    ----------
    reports
        Whether some pool reports in an asset: the price of any other may be missing, whatever is listed in it. None:
        every class of pools counts.

    Raises
    ------
    InputError
        When it lacks the price of an asset that a pool reports in.
    """
    priced = price(
        universe.listings, universe.assets, universe.account_classes, snapshot, rulebook, max_quote_age_seconds
    )
    reader = QuoteReader(snapshot, QuoteGuard(None), rulebook)
    prices = {name: _numeraire(reader, name, reports) for name in {pool.reporting for pool in universe.pools}}
    code = {name: n for n, name in enumerate(priced.names.assets)}
    in_settlement = rulebook.reporting == SETTLEMENT
    return Market(
        as_of=snapshot.as_of,
        reporting_asset=snapshot.reporting_asset if in_settlement else rulebook.reporting,
        in_settlement=in_settlement,
        priced=priced,
        reporting=np.asarray([code.get(pool.reporting, -1) for pool in universe.pools], dtype=np.int64),
        numeraire=np.asarray([prices[pool.reporting] for pool in universe.pools], dtype=np.float64),
        calibration=dict(snapshot.calibration),
    )


def _numeraire(reader: QuoteReader, name: str, reports: Callable[[str], bool] | None) -> float:
    """Return a reporting asset's price, NaN where it has none and no pool reports in it."""
    try:
        return reader.asset_price(name)
    except InputError:
        if reports is None or reports(name):
            raise
        return nan


def make_program(
    universe: Universe, market: Market, rulebook: Rulebook, ops: Mapping[str, int], beside: tuple[str, ...] = ()
) -> Program:
    """Return the program of a rulebook over a universe at one moment, with further requirements `beside`.

    Raises
    ------
    NotRecordableError
        When the rulebook does what a program cannot.
    """
    template = template_of(universe, market, rulebook)
    recording = Recording(template, rulebook, market.priced.refused)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        arrays = lower(_outputs(recording, beside), template.resolved.legs.contract, ops)
    arrays |= _row_arrays(universe, template, rulebook)
    arrays |= _trade_arrays(universe, market.priced.contracts, rulebook, recording.refusals)
    return Program(arrays, bool(recording.refusals), beside)


def template_of(universe: Universe, market: Market, rulebook: Rulebook) -> Template:
    """Return the template of a universe at one moment."""
    pools = universe.pools
    units = Units(
        account=np.arange(len(pools)),
        label=tuple(pool.reporting for pool in pools),
        reporting=market.reporting,
        numeraire=market.numeraire,
        account_class=np.asarray([pool.account_class for pool in pools], dtype=np.int64),
        isolated=np.asarray([pool.isolated for pool in pools], dtype=bool),
    )
    like = Resolved(
        as_of=market.as_of,
        account_ids=(),
        reporting_asset=market.reporting_asset,
        names=market.priced.names,
        contracts=market.priced.contracts,
        legs=None,  # type: ignore[arg-type]  # the template's own take its place
        units=units,
        levels={},
        inputs=dict.fromkeys(rulebook.inputs),  # type: ignore[arg-type]  # as above
        failures={},
        warnings={},
        in_settlement=market.in_settlement,
        calibration=market.calibration,
    )
    priced = market.priced
    return make_template(universe.rows, priced.contracts, units, priced.names, like, priced.refused)


def _outputs(recording: Recording, beside: tuple[str, ...]) -> list[Node]:
    """Return the columns of `OUTPUTS`, of what is asked for beside, and of the refused legs where there may be any."""
    rulebook = recording.rulebook
    equity = recording.equity()
    adjusted = {name: recording.adjusted(name) for name in (INITIAL, MAINTENANCE)}
    required = {name: recording.requirement(name) for name in rulebook.requirements}
    ratio = coverage(adjusted[MAINTENANCE], required[MAINTENANCE], equity, recording.functions)
    state = states_of(recording, equity, adjusted, required, ratio)
    wanted: list[Any] = [
        required[INITIAL], required[MAINTENANCE], adjusted[INITIAL], adjusted[MAINTENANCE], equity, ratio, state,
    ]  # fmt: skip
    wanted += [column for name in beside for column in (recording.adjusted(name), required[name])]
    if recording.refusals:
        refused = np.zeros(recording.spaces["leg"].count)
        refused[list(recording.refusals)] = 1.0
        wanted.append(Column(recording.spaces["account"], Op("legsum", "account", (Terms({ONE: refused}),))))
    return [recording.unit_column(x) for x in wanted]


def _row_arrays(universe: Universe, template: Template, rulebook: Rulebook) -> dict[str, Any]:
    rows, levels = universe.rows, template.resolved.levels
    asset = template.resolved.contracts.kind[rows.contract] == ASSET
    counts = asset if looks_at_balances(rulebook) else np.zeros_like(asset)
    return {
        "level_row": np.stack([template.level_row(level) for level in _LEVELS]).astype(np.int32),
        "level_rows": np.asarray([len(levels[level]) for level in _LEVELS], dtype=np.int64),
        "class_count": len(universe.pools),
        "always_active": counts.astype(np.uint8),
    }


def _trade_arrays(
    universe: Universe, c: Contracts, rulebook: Rulebook, refusals: Mapping[int, Failure]
) -> dict[str, Any]:
    contract = universe.rows.contract
    kind, inverse = c.kind[contract], c.inverse[contract]
    margined = np.isin(kind, [PERPETUAL, FUTURE])
    trade = np.where(kind == OPTION, 1, np.where(margined, np.where(inverse, 3, 2), 0))
    trade[np.asarray(sorted({leg // SIDES for leg in refusals}), dtype=np.int64)] = 0
    return {
        "trade_kind": trade.astype(np.uint8),
        "multiplier": np.asarray(c.multiplier[contract], dtype=np.float64),
        "by_side": int(rulebook.opposite_positions != "net"),
    }
