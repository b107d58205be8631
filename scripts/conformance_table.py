"""Writes docs/conformance.md and docs/conformance-uncovered.md from a directory of published cases.

python scripts/conformance_table.py ../shared/cases
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from math import ceil, log10
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crossmargin.analysis.conformance import run_conformance, sweep
from crossmargin.analysis.conformance.shipped import Held, sweep_shipped
from crossmargin.sources import load_rulebook
from crossmargin.sources.cases import load_cases

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crossmargin.analysis.conformance import ConformanceReport, FamilyResult, Moved

TABLE: Final = "conformance.md"
SHIPPED: Final = "conformance-shipped.md"
RESULTS: Final = "conformance.json"
UNCOVERED: Final = "conformance-uncovered.md"
DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
_LEAST_POWER: Final = -12  # below it a residual is the last bits of a float, another on every machine


@dataclass(frozen=True, slots=True)
class Told:
    """How the pages call a family of cases, and the rulebook that it proves."""

    title: str
    rulebook: str


TOLD: Final[Mapping[str, Told]] = {
    "aave": Told("Aave: health factor, close factor, bonus and what a liquidation leaves", "aave-v3"),
    "binance_options": Told("Binance options: published parameters", "binance-options"),
    "binance_usdm": Told("Binance USD-M: notional brackets", "binance-usdm"),
    "bybit": Told("Bybit unified account: collateral tiers and a short option", "bybit-unified"),
    "deribit_legacy": Told("Deribit portfolio margin of 2017: documented examples", "deribit-portfolio"),
    "deribit_pme": Told("Deribit portfolio margin: documented response of a simulated portfolio", "deribit-portfolio"),
    "deribit_standard": Told("Deribit standard margin: linear perpetuals", "deribit-standard"),
    "derive_pmrm1": Told("Derive portfolio margin (PM1)", "derive-portfolio-1"),
    "derive_pmrm2": Told("Derive portfolio margin (PM2), every scenario's profit and loss", "derive-portfolio"),
    "derive_srm": Told("Derive standard margin (SRM)", "derive-standard"),
    "derive_dutch_auction": Told("Derive: Dutch auctions, single bids and whole ones", "derive-portfolio-1"),
    "drift_v2": Told("Drift v2", "drift-v2"),
    "dydx_v4": Told("dYdX v4, to the unit", "dydx-v4"),
    "hyperliquid_portfolio": Told("Hyperliquid portfolio margin", "hyperliquid-portfolio"),
    "mango_v4": Told("Mango v4", "mango-v4"),
    "okx_portfolio": Told("OKX portfolio margin: position builder and discount tiers", "okx-portfolio"),
    "paradex_portfolio": Told("Paradex portfolio margin: scenario grid", "paradex-portfolio"),
    "span": Told("SPAN: scenario grid and composite delta", "span"),
    "synthetix_v3": Told("Synthetix v3 perps", "synthetix-perps"),
    "vega": Told("Vega", "vega"),
}
REASONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("deribit_pme", "btc.haircut", "no rulebook line reads it: no coin is held, each currency is a pool of its own"),
    ("deribit_pme", "vol", "shocks of vol: the portfolio holds no option"),
    ("deribit_pme", "vega", "shocks of vol: the portfolio holds no option"),
    ("deribit_pme", "min_vol_up", "shocks of vol: the portfolio holds no option"),
    ("deribit_pme", "delta", "the net delta is far below the threshold"),
    ("deribit_pme", "m_inc", "the net delta is far below the threshold"),
    ("deribit_pme", "ext", "the extended losses lie below the dampener"),
    ("deribit_pme", "pnl", "one per cent of no gain that offsets is none: the two numbers only bind together"),
    ("deribit_pme", "annualised_move_risk", "the least move binds"),
    ("", "threshold", "one per cent of the threshold crosses no confidence that a case states"),
    ("", "unpaired", "no case has calls short of their count in this market where that rule binds"),
    ("", "bound", "the last row has no bound in the rulebook"),
    ("", "min_k_star", "a floor that binds in no case"),
    ("aave", "ltv", "what may be borrowed enters no figure that the case states"),
    ("derive_pmrm1", "peg_loss_factor", "the stable coin stands above the threshold in every case"),
    ("derive_pmrm1", "spot_shock", "only the worst scenario is stated, and no case is worst here"),
    (
        "drift_v2",
        "imf_factor",
        "the published ratio is a whole number of basis points, which one per cent does not turn",
    ),
    ("drift_v2", "maintenance", "no case asks for maintenance where this number counts"),
    ("dydx_v4", "oi_", "open interest stands outside the ramp, or at its end"),
    ("mango_v4", "maint_", "no published case asks for maintenance health"),
    ("mango_v4", "borrow_scale", "borrows stand below the start of the scale"),
    ("synthetix_v3", "guards.", "this guard does not bind"),
    ("synthetix_v3", "flag_reward_ratios", "the reward is capped"),
    ("synthetix_v3", "snx", "the discount stands at the other of its limits"),
    (
        "synthetix_v3",
        "",
        "stated are P&L, available margin, requirements of other markets and yes or no: one per cent turns none",
    ),
    ("vega", "clamp_upper", "the lower clamp decides"),
    ("vega", "horizon_s", "price bounds are whole numbers, which one per cent of the horizon does not turn"),
    ("hyperliquid_portfolio", "cap", "the cap does not bind at one per cent more"),
)


def table_page(report: ConformanceReport) -> str:
    """Return the page of what is reproduced, venue by venue."""
    known = [family for family in report.families if family.status != "not yet"]
    waiting = [family for family in report.families if family.status == "not yet"]
    return "\n".join(
        [
            "# Conformance",
            "",
            "Numbers that venues and protocols publish - documentation examples, API responses, test vectors - run",
            "through `assess`, each as an account, a snapshot and a rulebook of the interchange. Written by",
            "`scripts/conformance_table.py`; run it yourself with `crossmargin conformance DIR`.",
            "",
            "The worst residual is relative to the larger of 1 and the published number, and rounded up to a power of",
            "ten. A case counts when every figure that its file states is met to the file's tolerance.",
            "",
            "| family | kind | reproduced | worst residual |",
            "| --- | --- | --- | --- |",
            *(_row(family) for family in known),
            "",
            f"Which parameters none of these cases notices: of [those that the cases state]({UNCOVERED}), of",
            f"[those that ship]({SHIPPED}).",
            "",
            "## Not yet",
            "",
            "Families and kinds that nothing here reads yet: listed, not failed.",
            "",
            "| family | cases |",
            "| --- | --- |",
            *(f"| {family} | {count} |" for family, count in _counted(waiting).items()),
            "",
        ]
    )


def results(report: ConformanceReport) -> str:
    """Return what is reproduced by rulebook, for the tables of the README and the venues' index."""
    rows: dict[str, list[FamilyResult]] = {}
    for family in report.families:
        if family.status != "not yet" and family.family in TOLD:
            rows.setdefault(TOLD[family.family].rulebook, []).append(family)
    found = {
        name: {
            "reproduced": sum(family.reproduced for family in families),
            "total": sum(family.total for family in families),
            "worst_residual": bound(max((f.worst_residual or 0.0 for f in families), default=None)),
        }
        for name, families in sorted(rows.items())
    }
    return json.dumps(found, indent=1) + "\n"


def _row(family: FamilyResult) -> str:
    told = TOLD.get(family.family)
    name = told.title if told else family.family
    return f"| {name} | `{family.kind}` | {family.reproduced} of {family.total} | {bound(family.worst_residual)} |"


def bound(residual: float | None) -> str:
    """Return a residual rounded up to a power of ten."""
    if residual is None:
        return "-"
    power = _LEAST_POWER if residual == 0 else max(_LEAST_POWER, ceil(log10(residual)))
    return f"<= 1e{power}"


def _counted(families: Iterable[FamilyResult]) -> dict[str, int]:
    out: dict[str, int] = {}
    for family in families:
        out[family.family] = out.get(family.family, 0) + family.total
    return out


def uncovered_page(moved: Iterable[Moved]) -> str:
    """Return the page of parameters that no case notices."""
    swept = list(moved)
    silent = [row for row in swept if row.case is None]
    return "\n".join(
        [
            "# Parameters that no case notices",
            "",
            "Each parameter of each published case is changed by one per cent. Most make a case of their family fail,",
            "and the sweep names the line. Those below change no published figure by more than its tolerance: such a",
            "number rests on its source alone. Written by `scripts/conformance_table.py`.",
            "",
            f"{len(swept) - len(silent)} of {len(swept)} parameters are noticed.",
            "",
            "| family | parameter | stated by | why |",
            "| --- | --- | --- | --- |",
            *(f"| {r.family} {r.kind} | `{r.parameter}` | {_cases(r.tried)} | {reason(r)} |" for r in silent),
            "",
        ]
    )


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def shipped_page(held: Iterable[Held]) -> str:
    """Return the page of shipped parameters that no case notices, rulebook by rulebook."""
    rows: dict[str, list[Held]] = {}
    for row in held:
        rows.setdefault(row.rulebook, []).append(row)
    lines = []
    for spec, found in sorted(rows.items()):
        silent = [f"`{row.parameter}`" for row in found if row.case is None]
        lines.append(f"| {spec} | {len(found) - len(silent)} of {len(found)} | {', '.join(silent) or 'none'} |")
    return "\n".join(
        [
            "# Shipped parameters that no case notices",
            "",
            "Published cases state many parameters themselves; those replace the shipped ones and are swept on",
            f"[their own page]({UNCOVERED}). Here every named parameter of the rulebooks that cases are posed under is",
            "changed by one per cent as it ships (of tiers the rates). One that no case notices is stated by the cases",
            "themselves or touched by none: the shipped number rests on its source alone. Rulebooks that are not",
            "listed have no published case at all. Written by `scripts/conformance_table.py`.",
            "",
            "| rulebook | parameters noticed | not noticed |",
            "| --- | --- | --- |",
            *lines,
            "",
        ]
    )


def reason(row: Moved) -> str:
    """Return why a parameter is not noticed; empty where nobody has said."""
    found = (why for family, part, why in REASONS if row.family.startswith(family) and part in row.parameter)
    return next(found, "")


def main() -> None:
    """Write both pages from the directory given."""
    documents = load_cases(sys.argv[1])
    rulebooks = cache(load_rulebook)
    report = run_conformance(documents, rulebooks)
    (DOCS / TABLE).write_text(table_page(report), encoding="utf-8")
    (DOCS / RESULTS).write_text(results(report), encoding="utf-8")
    (DOCS / UNCOVERED).write_text(uncovered_page(sweep(documents, rulebooks)), encoding="utf-8")
    (DOCS / SHIPPED).write_text(shipped_page(sweep_shipped(documents, rulebooks)), encoding="utf-8")


if __name__ == "__main__":
    main()
