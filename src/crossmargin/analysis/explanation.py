"""What `explain` returns: the tree with figures, contributions, Greeks, liquidation prices, efficiency."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (msgspec reads annotations at run time)

import msgspec

from crossmargin.margin.report import MarginReport  # noqa: TC001


class FormulaNode(msgspec.Struct, frozen=True, kw_only=True):
    """One formula on one row with its figures: `expression` over `figures` gives `value`.

    `row` names the place (``BTC``, ``BTC 2026-03-27``, a position); `figures` hold each name's number on that row,
    or a tier table ``[[upto, rate], ...]``. `inactive` are the arguments of min, max and when that do not decide.
    A name whose figure is the sum of finer rows is a child per row; the children of one name add up to its figure.
    For a kind (`scan` and so on) `expression` says the kind's rule in words over `figures`.
    """

    name: str
    level: str
    row: str
    kind: str
    requirement: str
    expression: str
    figures: Mapping[str, float | tuple[tuple[float, float], ...] | tuple[float, ...]]
    value: float
    inactive: tuple[str, ...] = ()
    children: tuple[FormulaNode, ...] = ()
    unverified: bool = False


class PoolTree(msgspec.Struct, frozen=True, kw_only=True):
    """The expressions of one pool: adjusted equity and each requirement."""

    pool: str
    reporting_asset: str
    adjusted_equity: Mapping[str, FormulaNode]
    requirements: Mapping[str, FormulaNode]


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one position or balance adds to each requirement, reporting asset; contributions sum to the total.

    `method` is ``euler`` (derivative times quantity: the requirement is proportional) or ``ray_average`` (the mean
    derivative along the pool scaled from 0 to 1).
    """

    pool: str
    name: str
    quantity: float
    initial_margin: float
    maintenance_margin: float
    adjusted_equity_initial: float
    adjusted_equity_maintenance: float
    method: str


class GreeksRow(msgspec.Struct, frozen=True, kw_only=True):
    """Greeks of one underlying in one pool. `delta` in units of the underlying; the rest in the pool's reporting asset.

    `gamma`: change of delta_value for a 1 % move; `vega`: for one vol point (0.01); `theta`: for one day;
    `rho`: for one basis point.
    """

    pool: str
    underlying: str
    delta: float
    delta_value: float
    gamma: float
    vega: float
    theta: float
    rho: float


class LiquidationPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Where the trigger flips along one named path. Prices are of `underlying`; None where it never flips.

    `path` says what moves. `below` and `above` are the nearest flips on each side of `spot`;
    `already_liquidatable` when the trigger holds at `spot` (then they are where it stops holding).
    `safe_regions` are all price intervals of the scan in which the trigger does not hold.
    """

    pool: str
    underlying: str
    path: str
    spot: float
    below: float | None
    above: float | None
    already_liquidatable: bool
    safe_regions: tuple[tuple[float, float], ...]


class ProfilePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the liquidation profile: everything at `multiple` times today's price along the path."""

    multiple: float
    adjusted_equity: float
    maintenance_margin: float
    coverage_ratio: float
    liquidatable: bool


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Coverage against price along one path of one pool."""

    pool: str
    underlying: str
    path: str
    points: tuple[ProfilePoint, ...]


class CapitalEfficiency(msgspec.Struct, frozen=True, kw_only=True):
    """Required capital of the whole against the sum of its positions alone, under the same rulebook.

    `efficiency` is 1 - cross / standalone: 0.4 means 40 % less capital. It may be negative.
    """

    cross: float
    standalone: float
    efficiency: float | None
    positions: Mapping[str, float]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole explanation of one account."""

    report: MarginReport
    trees: tuple[PoolTree, ...]
    contributions: tuple[Contribution, ...]
    greeks: tuple[GreeksRow, ...]
    liquidation_prices: tuple[LiquidationPrice, ...]
    profiles: tuple[Profile, ...]
    capital_efficiency: CapitalEfficiency | None
    required_capital: float
