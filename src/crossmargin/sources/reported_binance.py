"""What Binance reported: answers of futures accounts (fapi), of portfolio-margin accounts (papi) and positionRisk.

- A futures account's totals are in USD where several assets are margin, and count USDT alone where one is; then each
  asset is a pool with figures of its own.
- `accountEquity` of a portfolio-margin account is after haircuts, `actualEquity` before; `uniMMR` is the coverage
  ratio.
- A liquidation price of 0 means that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crossmargin.sources.reported_fields import Answer, Reported, as_rows, stated

_SINGLE: Final = "USDT"
_SINGLE_NOTE: Final = "one asset as margin: the account's totals count USDT alone; other assets stand by themselves"
_SEVERAL_NOTE: Final = (
    "several assets as margin: totalMarginBalance is set beside adjusted equity; the venue does not say whether it is "
    "before or after collateral rates"
)


def is_binance(document: object) -> bool:
    """Return whether a document is an account of the futures or of portfolio margin, or a list of position risks."""
    if isinstance(document, Mapping):
        keys = set(document)
        return {"totalMaintMargin", "totalInitialMargin"} <= keys or bool({"accountMaintMargin", "uniMMR"} & keys)
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, Mapping) and {"symbol", "positionAmt"} <= set(first)


def reported_from_binance(document: object, name: str) -> Reported:
    """Return the `reported` block of an answer of Binance."""
    place = f"{name}: $"
    if isinstance(document, list):
        return stated(source="binance positionRisk", positions=_positions(as_rows(document, place)))
    answer = Answer(document, place)
    return _portfolio(answer) if {"accountMaintMargin", "uniMMR"} & set(answer.value) else _futures(answer)


def _portfolio(answer: Answer) -> Reported:
    adjusted = answer.number("accountEquity")
    return stated(
        source="binance papi/account",
        asset="USD",
        equity=answer.number("actualEquity"),
        adjusted_equity_initial=adjusted,
        adjusted_equity_maintenance=adjusted,
        initial_margin=answer.number("accountInitialMargin"),
        maintenance_margin=answer.number("accountMaintMargin"),
        available_margin=answer.number("totalAvailableBalance"),
        coverage_ratio=answer.number("uniMMR"),
        positions=_positions(answer.rows("positions")),
    )


def _futures(answer: Answer) -> Reported:
    assets = [row for row in answer.rows("assets") if row.number("walletBalance") or row.number("marginBalance")]
    others = {row.needed("asset") for row in assets} - {_SINGLE}
    several = answer.flag("multiAssetsMargin")
    single = not (bool(others) if several is None else several)
    common = stated(
        source="binance fapi/account",
        balances={row.needed("asset"): row.number("walletBalance") for row in assets},
        positions=_positions(answer.rows("positions")),
    )
    if single and others:
        pools = {row.needed("asset"): _asset_figures(row) for row in assets}
        return {**common, "pools": pools, "notes": [_SINGLE_NOTE]}
    adjusted = answer.number("totalMarginBalance")
    return stated(
        **common,
        asset=_SINGLE if single else "USD",
        equity=adjusted if single else None,
        adjusted_equity_initial=adjusted,
        adjusted_equity_maintenance=adjusted,
        initial_margin=answer.number("totalInitialMargin"),
        maintenance_margin=answer.number("totalMaintMargin"),
        available_margin=answer.number("availableBalance"),
        notes=[] if single else [_SEVERAL_NOTE],
    )


def _asset_figures(row: Answer) -> Reported:
    adjusted = row.number("marginBalance")
    return stated(
        asset=row.needed("asset"),
        equity=adjusted,
        adjusted_equity_initial=adjusted,
        adjusted_equity_maintenance=adjusted,
        initial_margin=row.number("initialMargin"),
        maintenance_margin=row.number("maintMargin"),
    )


def _positions(rows: list[Answer]) -> list[Reported]:
    return [_position(row) for row in rows if row.number("positionAmt")]


def _position(row: Answer) -> Reported:
    return stated(
        instrument=row.needed("symbol"),
        mark_price=row.number("markPrice"),
        unrealized_pnl=row.number("unRealizedProfit", "unrealizedProfit"),
        initial_margin=row.number("initialMargin"),
        maintenance_margin=row.number("maintMargin"),
        liquidation_price=row.number("liquidationPrice") or None,
    )
