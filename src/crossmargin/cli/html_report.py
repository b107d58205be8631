"""One account's report as one HTML file: nothing is fetched, nothing is run, light and dark."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from crossmargin.cli import html_tables, numbers
from crossmargin.cli.html_tree import trees
from crossmargin.cli.pictures.heatmap import scenario_pictures
from crossmargin.cli.pictures.profile import profile_picture
from crossmargin.cli.pictures.waterfall import waterfall_picture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from crossmargin.analysis.explanation import Explanation, LiquidationPrice, Profile
    from crossmargin.margin.report import MarginReport, PoolReport

_DIGEST = 12


def html_report(found: Explanation, unverified: Collection[str] = ()) -> str:
    """Return the page of one explanation."""
    report = found.report
    body = "\n".join(_sections(found, unverified))
    title = f"{report.account} under {report.rulebook.name}"
    return page(title, f"{_header(report)}{_figures(report)}\n{body}\n{_footer(report)}")


def page(title: str, body: str) -> str:
    """Return a whole page around markup."""
    css = files("crossmargin.cli").joinpath("report.css").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        # Forbids what the page never does, so that a text which slipped through could do nothing either.
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{css}</style></head>\n"
        f"<body><main>{body}</main></body></html>"
    )


def _sections(found: Explanation, unverified: Collection[str]) -> Iterator[str]:
    report = found.report
    asset = report.reporting_asset
    if found.capital_efficiency is not None and found.capital_efficiency.positions:
        text = "Required capital of each position alone, then all together under the same rulebook."
        yield section("From gross to net", text, waterfall_picture("waterfall", found.capital_efficiency, asset))
    if found.profiles:
        text = "Coverage ratio as prices move; at and below the rulebook's trigger the account is liquidated (shaded)."
        pictures = "".join(_profile(found, i) for i in range(len(found.profiles)))
        yield section("Distance to liquidation", text, pictures + html_tables.liquidation(found))
    if len(report.pools) > 1:
        yield section("Pools", "", html_tables.pools(report.pools))
    for i, pool in enumerate(report.pools):
        if pool.collateral or pool.maintenance_margin or pool.initial_margin:
            yield from _pool_sections(found, pool, i, unverified)
    if found.greeks:
        yield section("Greeks", "", html_tables.greeks(found))


def _pool_sections(found: Explanation, pool: PoolReport, i: int, unverified: Collection[str]) -> Iterator[str]:
    place = f" · pool {pool.pool}" if len(found.report.pools) > 1 else ""
    pictures = [
        f"<h3>{escape(f'{table.line} · {table.row} · {table.requirement}')}</h3>{''.join(drawn)}"
        for j, table in enumerate(pool.scenario_tables)
        if any(row.pnl for row in table.scenarios)
        for drawn in [scenario_pictures(f"scenarios-{i}-{j}", table, pool.reporting_asset)]
    ]
    if pictures:
        text = f"Profit and loss in {pool.reporting_asset}; the worst scenario is framed."
        yield section(f"Scenarios{place}", text, "".join(pictures))
    tables = (html_tables.terms(pool), html_tables.lines(pool, unverified), html_tables.collateral(pool))
    yield section(f"Requirement and collateral{place}", "", "".join(f"<p></p>{table}" for table in tables))
    if any(item.pool == pool.pool for item in found.contributions):
        yield section(f"Contributions{place}", "", html_tables.contributions(found, pool))
    for tree in found.trees:
        if tree.pool == pool.pool:
            text = "The rulebook's expressions with figures in place of names; what does not decide is struck out."
            yield section(f"Why{place}", text, trees(tree))


def _profile(found: Explanation, i: int) -> str:
    profile = found.profiles[i]
    title = f"{profile.underlying}, {profile.path}" + (f" · pool {profile.pool}" if len(found.report.pools) > 1 else "")
    return f"<h3>{escape(title)}</h3>{profile_picture(f'profile-{i}', profile, _flips(found, profile))}"


def _flips(found: Explanation, profile: Profile) -> LiquidationPrice | None:
    keys = (profile.pool, profile.underlying, profile.path)
    return next((p for p in found.liquidation_prices if (p.pool, p.underlying, p.path) == keys), None)


def section(title: str, text: str, content: str) -> str:
    """Return a section with its heading and what is said of it."""
    said = f"<p class='soft'>{escape(text)}</p>" if text else ""
    return f"<section><h2>{escape(title)}</h2>{said}{content}</section>"


def _header(report: MarginReport) -> str:
    rulebook = report.rulebook
    line = f"{rulebook.name} of {rulebook.effective_from} ({rulebook.digest[:_DIGEST]}), {numbers.moment(report.as_of)}"
    state = f"<span class='state {report.state.value}'>{report.state.value.replace('_', ' ')}</span>"
    return f"<header><h1>{escape(report.account)}</h1>{state}<p>{escape(line)}</p></header>"


def _figures(report: MarginReport) -> str:
    asset = report.reporting_asset
    shown = (
        (f"Equity, {asset}", numbers.money(report.equity, asset), ""),
        (
            f"Initial margin, {asset}",
            numbers.money(report.initial_margin, asset),
            _left(report.available_margin, asset),
        ),
        (
            f"Maintenance margin, {asset}",
            numbers.money(report.maintenance_margin, asset),
            _left(report.maintenance_headroom, asset),
        ),
        ("Coverage ratio", numbers.ratio(report.coverage_ratio), _whose(report)),
    )
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd class='{'below' if value.startswith('-') else ''}'>{escape(value)}"
        f"<small>{escape(note)}</small></dd></div>"
        for name, value, note in shown
    )
    return f"<dl class='figures'>{items}</dl>"


def _whose(report: MarginReport) -> str:
    if len(report.pools) > 1:
        return f"of the worst pool, {report.worst_pool}"
    return "adjusted equity over maintenance margin"


def _left(headroom: float, asset: str) -> str:
    return f"headroom {numbers.money(headroom, asset)}"


def _footer(report: MarginReport) -> str:
    notes = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
    made = f"crossmargin {report.engine_version}, schema {report.schema_version}, sha256 {report.rulebook.digest}"
    return f"<footer><ul>{notes}</ul><p>{escape(made)}</p></footer>"
