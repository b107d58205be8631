"""Small rulebooks for the engine's tests: a head that every one needs, and the sections under test."""

from __future__ import annotations

from crossmargin.margin import Rulebook, parse_rulebook

_REQUIREMENT = """
[requirement]
maintenance = "{requirement}"
initial = "{requirement}"
"""
_VALUES = """
[values.holdings]
is = "value"
[equity]
adjusted = "holdings"
"""
EVERYTHING = ("option", "perpetual", "future", "spot", "asset")


def made(
    body: str,
    *,
    requirement: str = "charge",
    reporting: str = "USD",
    pools: str = "",
    scope: tuple[str, ...] = EVERYTHING,
    values: str = _VALUES,
) -> Rulebook:
    """A rulebook of these sections; both requirements are the same expression of the lines."""
    kinds = ", ".join(f'"{kind}"' for kind in scope)
    text = f"""
source = "S"
[rulebook]
name = "small"
effective_from = 2026-01-01
reporting = "{reporting}"
scope = [{kinds}]
contracts = ["linear", "inverse", "quanto"]
[sources]
S = {{ title = "a test", status = "exact" }}
[pools]
{pools}
{body}
{values}
{_REQUIREMENT.format(requirement=requirement) if requirement else ""}
"""
    return parse_rulebook(text, "small.toml")
