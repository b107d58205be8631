"""Option inputs as markets quote them, and beyond."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st


class Option(NamedTuple):
    forward: float
    strike: float
    vol: float
    years: float
    call: bool


forwards = st.floats(1e-6, 1e6)
moneyness = st.floats(0.05, 20.0)
vols = st.floats(0.01, 5.0)
years = st.floats(1e-5, 5.0)


@st.composite
def options(draw: st.DrawFn) -> Option:
    forward = draw(forwards)
    return Option(forward, forward * draw(moneyness), draw(vols), draw(years), draw(st.booleans()))
