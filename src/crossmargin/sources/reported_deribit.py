"""What Deribit reported: answers of pme/simulate, simulate_portfolio, get_account_summary (one or all), get_positions.

- Segregated: each currency is a pool with figures of its own, in coin.
- Cross: `balance` and `equity` are a currency's own, but `margin_balance`, `initial_margin`, `maintenance_margin` and
  `available_funds` of every currency are the whole portfolio in that currency. They are taken once, never summed.
- `aggregated_risk_vectors` hold, for each price step from the lowest, one number for each vol scenario. The middle one
  is today's vol; which of the outer two is vol up is not documented: the lesser of them is set beside ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from crossmargin.sources.reported_fields import Answer, Reported, as_rows, stated

_WHOLE_NOTE: Final = (
    "cross collateral: each currency's margin balance, margins and available funds are the whole portfolio in that "
    "currency; they are taken once, do not sum them"
)
_VECTOR_NOTE: Final = "the risk vectors of {} are passed over: {} numbers do not fit {} price steps"
_EXTENDED: Final = (-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)  # moves of the extended table, as the venue lists them
_VOLS: Final = ("down", "same", "up")
# of a currency's margin, the lines of the rulebooks that each part is the sum of
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "worst_case": ("worst_case",),
    "roll_shock": ("roll_perpetual", "roll_dated"),
    "delta_shock": ("delta_shock",),
    "correlation_contingency": ("correlation_contingency",),
}
_DETAILS: Final[Mapping[str, tuple[str, ...]]] = {
    "risk_matrix_margin": ("risk_matrix",),
    "spot_margin": ("spot_margin",),
    "mmp_margin": ("mmp_margin",),
    "open_orders_margin": ("orders",),
}


def result_of(document: object) -> object:
    """Return what stands in the envelope of an answer or a notification; the document itself where there is none."""
    if not isinstance(document, Mapping):
        return document
    notified = document.get("params")
    if isinstance(notified, Mapping) and "data" in notified:
        return notified["data"]
    return document.get("result", document)


def is_deribit(document: object) -> bool:
    """Return whether a document is one of these answers, in its envelope or without."""
    result = result_of(document)
    first = result[0] if isinstance(result, list) and result else result
    if not isinstance(first, Mapping):
        return False
    keys = set(first)
    return (
        isinstance(first.get("margins"), Mapping)
        or "summaries" in keys
        or {"currency", "equity", "margin_balance"} <= keys
        or {"instrument_name", "maintenance_margin"} <= keys
    )


def reported_from_deribit(document: object, name: str) -> Reported:
    """Return the `reported` block of an answer of Deribit."""
    result = result_of(document)
    place = f"{name}: $" if result is document else f"{name}: $.result"
    if isinstance(result, list):
        rows = as_rows(result, place)
        held = bool(rows) and "instrument_name" in rows[0]
        return stated(source="deribit get_positions", positions=_positions(rows)) if held else _summaries(rows)
    answer = Answer(result, place)
    if "margins" in answer.value:
        return _simulated(answer)
    return _summaries(answer.rows("summaries") if "summaries" in answer.value else [answer])


# --- account summaries


def _summaries(rows: list[Answer]) -> Reported:
    used = [row for row in rows if any(row.number(key) for key in ("equity", "balance", "initial_margin"))]
    whole = [row for row in used if _is_cross(row)]
    alone = [row for row in used if not _is_cross(row)]
    wallets = {row.needed("currency").upper(): row.number("balance") for row in used}
    return stated(
        source="deribit account summary",
        **(_portfolio(whole[0]) if whole else {}),
        pools={row.needed("currency").upper(): _pool(row) for row in alone},
        balances={asset: amount for asset, amount in wallets.items() if amount is not None},
        notes=[_WHOLE_NOTE] if whole else [],
    )


def _is_cross(row: Answer) -> bool:
    model = row.text("margin_model")
    return row.flag("cross_collateral_enabled") is True if model is None else model.startswith("cross")


def _portfolio(row: Answer) -> Reported:
    """Return the figures of a whole cross portfolio: in USD where they are stated, else in the row's currency."""
    in_usd = row.number("total_initial_margin_usd") is not None
    adjusted = row.number("total_margin_balance_usd" if in_usd else "margin_balance")
    return stated(
        asset="USD" if in_usd else row.needed("currency").upper(),
        equity=row.number("total_equity_usd"),
        adjusted_equity_initial=adjusted,
        adjusted_equity_maintenance=adjusted,
        initial_margin=row.number("total_initial_margin_usd" if in_usd else "initial_margin"),
        maintenance_margin=row.number("total_maintenance_margin_usd" if in_usd else "maintenance_margin"),
        available_margin=None if in_usd else row.number("available_funds"),
    )


def _pool(row: Answer) -> Reported:
    adjusted = row.number("margin_balance")
    return stated(
        asset=row.needed("currency").upper(),
        equity=row.number("equity"),
        adjusted_equity_initial=adjusted,
        adjusted_equity_maintenance=adjusted,
        initial_margin=row.number("initial_margin"),
        maintenance_margin=row.number("maintenance_margin"),
        available_margin=row.number("available_funds"),
    )


def _positions(rows: list[Answer]) -> list[Reported]:
    return [_position(row) for row in rows if row.number("size") != 0.0]


def _position(row: Answer) -> Reported:
    premium_paid = (row.text("kind") or "").startswith("option")  # its profit is not margined: its value is
    return stated(
        instrument=row.needed("instrument_name"),
        mark_price=row.number("mark_price"),
        unrealized_pnl=None if premium_paid else row.number("total_profit_loss"),
        initial_margin=row.number("initial_margin"),
        maintenance_margin=row.number("maintenance_margin"),
        liquidation_price=row.number("estimated_liquidation_price"),
    )


# --- the extended risk matrix


def _simulated(answer: Answer) -> Reported:
    margins = {key.upper(): row for key, row in answer.inner("margins").objects()}
    by_pool = {key: row for key, row in margins.items() if key != "CROSS"}
    scenarios, notes = _vectors(answer, set(margins))
    figures = dict.fromkeys(margins, ("initial_margin", "maintenance_margin"))
    whole = margins.get("CROSS")
    tickers = answer.inner("ticker").objects()
    marks = [stated(instrument=symbol, mark_price=row.number("mark_price")) for symbol, row in tickers]
    return stated(
        source="deribit pme/simulate",
        **({} if whole is None else stated(**{name: whole.number(name) for name in figures["CROSS"]})),
        pools={
            key: stated(asset=key, **{name: row.number(name) for name in figures[key]}) for key, row in by_pool.items()
        },
        lines=[line for key, row in margins.items() for line in _lines(row, {} if key == "CROSS" else {"pool": key})],
        scenarios=scenarios,
        positions=[mark for mark in marks if "mark_price" in mark],
        notes=notes,
    )


def _lines(row: Answer, place: Mapping[str, str]) -> Iterator[Reported]:
    details = row.inner("initial_margin_details")
    inside = details.inner("risk_matrix_margin_details")
    for source, parts in ((inside, _PARTS), (details, _DETAILS)):
        for name, lines in parts.items():
            amount = source.number(name)
            if amount is not None:
                yield {"name": name, "amount": amount, "lines": list(lines), **place, **_only_initial(name)}


def _only_initial(name: str) -> Reported:
    return {"requirement": "initial"} if name in {"mmp_margin", "open_orders_margin", "spot_margin"} else {}


def _vectors(answer: Answer, pools: set[str]) -> tuple[list[Reported], list[str]]:
    """Return the scenarios of the aggregated vectors, and what is said of those that cannot be read."""
    found: list[Reported] = []
    notes: list[str] = []
    parameters = answer.inner("model_params")
    steps = parameters.inner("general").number("buckets_count")
    vols = parameters.inner("general").number("vol_scenarios_count")
    for key, row in answer.inner("aggregated_risk_vectors").objects():
        place = _place(key.upper().split("_"), pools)
        ranges = _price_range(parameters.inner("currency_pair"), place["bucket"])
        standard, extended = row.numbers("standard"), row.numbers("extended")
        fits = vols == len(_VOLS) and steps is not None and len(standard) == len(_VOLS) * (2 * steps + 1)
        if steps is not None and ranges is not None and fits:
            found += _standard(standard, int(steps), ranges, place)
        elif standard:
            notes.append(_VECTOR_NOTE.format(key, len(standard), "unknown" if steps is None else f"{steps:g}"))
        if len(extended) == len(_EXTENDED):
            found += [
                {"line": "extended", **place, "spot": spot, "vol": list(_VOLS), "pnl": pnl, "weighted": True}
                for spot, pnl in zip(_EXTENDED, extended, strict=True)
            ]
    return found, notes


def _place(halves: list[str], pools: set[str]) -> dict[str, str]:
    """Return the pool and the bucket in a key such as `btc_btc`: the half that has margins is the pool."""
    pool = next((half for half in halves if half in pools), None)
    bucket = next((half for half in halves if half != pool), halves[0])
    return {"bucket": bucket} if pool is None else {"pool": pool, "bucket": bucket}


def _price_range(pairs: Answer, bucket: str) -> float | None:
    found = (row.number("price_range") for key, row in pairs.objects() if key.upper().split("_")[0] == bucket)
    return next(found, None)


def _standard(numbers: list[float], steps: int, price_range: float, place: Mapping[str, str]) -> Iterator[Reported]:
    for step in range(2 * steps + 1):
        spot = (step - steps) / steps * price_range
        first, middle, last = numbers[step * len(_VOLS) : (step + 1) * len(_VOLS)]
        common = {"line": "matrix", **place, "spot": spot}
        yield {**common, "vol": "same", "pnl": middle}
        yield {**common, "vol": ["down", "up"], "pick": "least", "pnl": min(first, last)}
        yield {**common, "vol": ["down", "up"], "pick": "most", "pnl": max(first, last)}
