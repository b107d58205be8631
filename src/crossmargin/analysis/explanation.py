"""What `explain` returns: the tree with figures, contributions, Greeks, liquidation prices, efficiency."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from crossmargin.liquidation.prices import LiquidationPrice, Profile, ProfilePoint
from crossmargin.margin.report import MarginReport

__all__ = [
    "CapitalEfficiency",
    "CoinGreeks",
    "Contribution",
    "Explanation",
    "FormulaNode",
    "GreeksRow",
    "LiquidationPrice",
    "PoolTree",
    "Profile",
    "ProfilePoint",
]


class FormulaNode(msgspec.Struct, frozen=True, kw_only=True):
    """One formula on one row with its figures: `expression` over `figures` gives `value`.

    `row` names the place (``BTC``, ``BTC 2026-03-27``, a position); `figures` hold each name's number on that row,
    a tier table ``[[upto, rate], ...]``, or the numbers ``[x, ...]`` that `largest`, `root`, or a kind's rule reads.
    `inactive` are the arguments of min, max and when that do not decide. A name that is a line or a formula is a
    child per row behind it; the children of one name add up to its figure (a line none of whose legs is selected
    is 0 and has no child). For a kind (`scan` and so on) `expression` says the kind's rule over `figures`; see
    `kind_nodes`.
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
    derivative along the pool scaled from 0 to 1). Two more rows stand for themselves and are never spread over
    positions: ``constant`` (what is left of the empty pool: a venue's own figures) and ``jump`` (steps that the
    derivative does not see).
    """

    pool: str
    name: str
    quantity: float
    initial_margin: float
    maintenance_margin: float
    adjusted_equity_initial: float
    adjusted_equity_maintenance: float
    method: str


class CoinGreeks(msgspec.Struct, frozen=True, kw_only=True):
    """Greeks of coin-settled options in `asset`: `delta` adjusted for the premium, the rest as in GreeksRow."""

    asset: str
    delta: float
    vega: float
    theta: float
    rho: float


class GreeksRow(msgspec.Struct, frozen=True, kw_only=True):
    """Greeks of one underlying in one pool. `delta` in units of the underlying; the rest in the pool's reporting asset.

    `gamma`: change of delta for a 1 % move, at today's index; `vega`: for one vol point (0.01); `theta`: for one
    day; `rho`: for one basis point. Coin-settled options count at the index; `in_coin` states them in coin too.
    """

    pool: str
    underlying: str
    delta: float
    delta_value: float
    gamma: float
    vega: float
    theta: float
    rho: float
    in_coin: CoinGreeks | None = None


class CapitalEfficiency(msgspec.Struct, frozen=True, kw_only=True):
    """Required capital of the whole against the sum of its parts alone, under the same rulebook.

    Parts are positions entered at the mark, and balances other than the reporting asset (a coin's haircut and a
    debt's charge are capital too). `efficiency` is 1 - cross / standalone: 0.4 means 40 % less capital. It may be
    negative; None where the parts require nothing.
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
