"""What OKX reported: answers of its position builder, of account/balance and of account/positions.

- The position builder states, in USD, each risk unit with its MR1 to MR9 and the grid of MR1. MR8, the charge on what
  is borrowed, stands in every unit as the whole account's: it is taken once, from the account's own figures.
- `eq` and `adjEq` are adjusted equity; `totalEq` is equity.
- `marginRatio` and `mgnRatio` count liquidation fees beside the requirement, which no document states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crossmargin.sources.reported_fields import Answer, Reported, as_number, as_rows, stated

_CURRENCY: Final = "USD"
# of a unit's MRs, the lines that each is the sum of, where a rulebook splits it
_LINES: Final[Mapping[str, tuple[str, ...]]] = {
    "mr1": ("mr1",),
    "mr2": ("mr2",),
    "mr3": ("mr3",),
    "mr4": ("mr4", "mr4_perpetual", "mr4_dated"),
    "mr5": ("mr5",),
    "mr6": ("mr6",),
    "mr7": ("mr7",),
    "mr9": ("mr9",),
}
_VOLS: Final = {"volShockDown": "down", "volSame": "same", "volShockUp": "up"}
_RATIO_NOTE: Final = (
    "coverage ratio: the venue's counts liquidation and trading fees beside the requirement; ours is adjusted equity "
    "over the requirement"
)
_BORROWED_NOTE: Final = "mr8 stands in every risk unit as the whole account's: it is taken once, do not sum it"


def rows_of(document: object) -> object:
    """Return what stands in the envelope of an answer: its `data`; the document itself where there is none."""
    return document["data"] if isinstance(document, Mapping) and isinstance(document.get("data"), list) else document


def is_okx(document: object) -> bool:
    """Return whether a document is one of the three answers, in its envelope or without."""
    rows = rows_of(document)
    first = rows[0] if isinstance(rows, list) and rows else rows
    if not isinstance(first, Mapping):
        return False
    keys = set(first)
    return bool({"riskUnitData", "totalEq", "adjEq"} & keys) or {"instId", "posSide"} <= keys


def reported_from_okx(document: object, name: str) -> Reported:
    """Return the `reported` block of an answer of OKX."""
    place = f"{name}: $.data" if rows_of(document) is not document else f"{name}: $"
    rows = rows_of(document)
    answers = as_rows(rows, place) if isinstance(rows, list) else [Answer(rows, place)]
    if not answers:
        return {"source": "okx"}
    first = answers[0]
    if "riskUnitData" in first.value:
        return _builder(first)
    return _positions(answers) if "instId" in first.value else _balance(first)


def _builder(answer: Answer) -> Reported:
    units = answer.rows("riskUnitData")
    equity = answer.number("eq")
    initial = [amount for row in answer.rows("assets") if (amount := row.number("borrowImr")) is not None]
    account_lines = [
        _line("mr8", answer.number("borrowMmr"), requirement="maintenance"),
        _line("mr8", sum(initial) if initial else None, requirement="initial"),
        _line("derivMmr", answer.number("derivMmr"), ("unit",), requirement="maintenance"),
    ]
    lines = [*account_lines, *(line for unit in units for line in _unit_lines(unit))]
    notes = [_BORROWED_NOTE] if len(units) > 1 and any(unit.number("mr8") for unit in units) else []
    ratio = answer.number("marginRatio")
    return stated(
        source="okx position builder",
        asset=_CURRENCY,
        adjusted_equity_initial=equity,
        adjusted_equity_maintenance=equity,
        initial_margin=answer.number("totalImr"),
        maintenance_margin=answer.number("totalMmr"),
        coverage_ratio=ratio,
        lines=[line for line in lines if line is not None],
        scenarios=[scenario for unit in units for scenario in _scenarios(unit)],
        positions=[_held(row) for unit in units for row in unit.rows("portfolios") if row.text("instType") != "SPOT"],
        notes=notes + ([_RATIO_NOTE] if ratio is not None else []),
    )


def _line(name: str, amount: float | None, lines: tuple[str, ...] = (), **more: object) -> Reported | None:
    return None if amount is None else {"name": name, "amount": amount, "lines": list(lines or (name,)), **more}


def _unit_lines(unit: Answer) -> list[Reported | None]:
    bucket = unit.needed("riskUnit")
    found = [_line(name, unit.number(name), lines, bucket=bucket) for name, lines in _LINES.items()]
    found.append(_line("mmr", unit.number("mmr"), ("unit",), bucket=bucket, requirement="maintenance"))
    found.append(_line("imr", unit.number("imr"), ("unit",), bucket=bucket, requirement="initial", carried=True))
    return found


def _scenarios(unit: Answer) -> list[Reported]:
    """Return the grid of MR1, and the worst move of MR6 before its weight."""
    bucket = unit.needed("riskUnit")
    grids = unit.inner("mr1Scenarios")
    found = [
        {"line": "mr1", "bucket": bucket, "spot": as_number(move, grid.at(move)), "vol": vol, "pnl": grid.number(move)}
        for key, vol in _VOLS.items()
        for grid in [grids.inner(key)]
        for move in grid.value
        if grid.number(move) is not None
    ]
    extreme = unit.inner("mr6FinalResult")
    spot, pnl = extreme.number("spotShock"), extreme.number("pnl")
    if spot is not None and pnl is not None:
        found.append({"line": "mr6", "bucket": bucket, "spot": spot, "vol": "same", "pnl": pnl})
    return found


def _held(row: Answer) -> Reported:
    return stated(
        instrument=row.needed("instId"),
        mark_price=row.number("markPx"),
        unrealized_pnl=row.number("floatPnl", "upl"),
        initial_margin=row.number("imr"),
        maintenance_margin=row.number("mmr"),
        liquidation_price=row.number("liqPx"),
    )


def _positions(rows: list[Answer]) -> Reported:
    held = [row for row in rows if row.number("pos") != 0.0 and row.text("instType") != "MARGIN"]
    return stated(source="okx account/positions", positions=[_held(row) for row in held])


def _balance(answer: Answer) -> Reported:
    adjusted = answer.number("adjEq")
    ratio = answer.number("mgnRatio")
    wallets = {row.needed("ccy"): row.number("cashBal") for row in answer.rows("details")}
    return stated(
        source="okx account/balance",
        asset=_CURRENCY,
        equity=answer.number("totalEq"),
        adjusted_equity_initial=adjusted,
        adjusted_equity_maintenance=adjusted,
        initial_margin=answer.number("imr"),
        maintenance_margin=answer.number("mmr"),
        available_margin=answer.number("availEq"),
        coverage_ratio=ratio,
        balances={asset: amount for asset, amount in wallets.items() if amount is not None},
        notes=[_RATIO_NOTE] if ratio is not None else [],
    )
