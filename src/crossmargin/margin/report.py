"""What `assess` returns: frozen data with the keys of the interchange."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum

import msgspec

from crossmargin.errors import Failure


class AccountState(StrEnum):
    """Where an account or pool stands. `margin_call`: below initial; `liquidatable`: the trigger holds."""

    HEALTHY = "healthy"
    MARGIN_CALL = "margin_call"
    LIQUIDATABLE = "liquidatable"
    BANKRUPT = "bankrupt"


class RulebookId(msgspec.Struct, frozen=True, kw_only=True):
    """Which methodology produced the figures."""

    name: str
    effective_from: date
    digest: str


class LineAmount(msgspec.Struct, frozen=True, kw_only=True):
    """One named line's amount under each requirement, reporting asset; `section` is values or charges."""

    section: str
    initial: float
    maintenance: float


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One summand of a requirement as the rulebook writes it; the summands add up to the requirement."""

    expression: str
    amount: float


class ScenarioRow(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of a scan on one row: its shocks in words, its weight, and the P&L after fold and weight."""

    name: str
    pnl: float
    worst: bool = False


class ScenarioTable(msgspec.Struct, frozen=True, kw_only=True):
    """All scenarios of one scan line on one row (a bucket such as BTC, or the whole pool).

    `counts` is the derivative of the requirement by the loss: 1 where it enters in full, 0 where another line decides.
    """

    line: str
    row: str
    requirement: str
    loss: float
    counts: float
    worst_scenario: str | None
    scenarios: tuple[ScenarioRow, ...]


class CollateralRow(msgspec.Struct, frozen=True, kw_only=True):
    """One balance: signed amount, price and value in the pool's reporting asset, and what each requirement counts.

    `haircut_*` is 1 - adjusted_value / value for a positive value; None for a debt or for nothing.
    """

    asset: str
    amount: float
    price: float
    value: float
    adjusted_value_initial: float
    adjusted_value_maintenance: float
    haircut_initial: float | None
    haircut_maintenance: float | None


class PoolReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pool - the part of an account that is assessed and liquidated alone. Amounts in `reporting_asset`.

    `scan_loss` is what the scans that decide bring into the initial margin of what is held (open orders add theirs in
    lines of their own), `worst_scenario` the one that brings most.
    """

    pool: str
    reporting_asset: str
    state: AccountState
    band: str | None
    equity: float
    adjusted_equity_initial: float
    adjusted_equity_maintenance: float
    initial_margin: float
    maintenance_margin: float
    coverage_ratio: float
    available_margin: float
    maintenance_headroom: float
    scan_loss: float
    worst_scenario: str | None
    requirements: Mapping[str, float]
    lines: Mapping[str, LineAmount]
    initial_terms: tuple[Term, ...]
    maintenance_terms: tuple[Term, ...]
    collateral: tuple[CollateralRow, ...]
    scenario_tables: tuple[ScenarioTable, ...]
    withdrawable: Mapping[str, float] | None = None


class MarginReport(msgspec.Struct, frozen=True, kw_only=True):
    """One account under one rulebook: what it is worth, what must back it, and the lines why.

    Account figures are sums over pools in `reporting_asset`; the state is the worst pool's.
    `warnings` name what was interpolated, ignored or is unverified.
    """

    schema_version: str
    engine_version: str
    rulebook: RulebookId
    as_of: datetime
    account: str
    reporting_asset: str
    state: AccountState
    worst_pool: str
    equity: float
    adjusted_equity_initial: float
    adjusted_equity_maintenance: float
    initial_margin: float
    maintenance_margin: float
    coverage_ratio: float
    available_margin: float
    maintenance_headroom: float
    scan_loss: float
    worst_scenario: str | None
    lines: Mapping[str, LineAmount]
    pools: tuple[PoolReport, ...]
    warnings: tuple[str, ...] = ()


class BookRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account of a book in short; `failure` instead of figures where it was refused."""

    account: str
    state: AccountState | None = None
    equity: float | None = None
    adjusted_equity_initial: float | None = None
    adjusted_equity_maintenance: float | None = None
    initial_margin: float | None = None
    maintenance_margin: float | None = None
    coverage_ratio: float | None = None
    available_margin: float | None = None
    maintenance_headroom: float | None = None
    failure: Failure | None = None
