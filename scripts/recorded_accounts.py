"""Sends the recorded Hyperliquid accounts of 2023 through the clearing house, and prints what every liquidation shows.

Reads the record of `../shared`, which is no part of this project; the table is. With --write it goes into the page.

    python -m scripts.recorded_accounts [--folder ../shared/data] [--write]
"""

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from crossmargin.analysis.takeovers import NEAR, Cause, Judged, judged
from crossmargin.clearing import House, MemoryJournal, replay
from crossmargin.clearing.invariants import sums
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.sources.recorded import read_recorded
from crossmargin.sources.replayed import AS_RECORDED, replayed

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "clearing" / "recorded.md"
MARK = re.compile(r"(<!-- recorded begins -->\n).*?(<!-- recorded ends -->)", re.DOTALL)
ONE_PER_CENT = Fraction(1, 100)
HEAD = (
    ("time, UTC", "account", "", "value / notional", "marks", "left, USD", "an hour", "net", "cause"),
    ("---", "---", "---", "---:", "---", "---:", "---:", "---:", "---"),
)


def row(one: Judged) -> tuple[str, ...]:
    """One liquidation as cells of the table."""
    takeover = one.stood.takeover
    marks = one.marks or ()
    named = [f"{leg.instrument} {float(mark):.10g}" for leg, mark in zip(takeover.legs, marks, strict=bool(marks))]
    return (
        f"{takeover.as_of:%Y-%m-%d %H:%M:%S}",
        takeover.account,
        "cross" if takeover.cross else "isolated",
        f"{float(one.ratio):.4%}",
        ", ".join(named) if one.at_bankruptcy else "not proven",
        f"{float(one.stood.left):.4f}",
        f"{float(one.an_hour):.1e}" if takeover.cross else "",
        f"{float(one.net_an_hour):.1e}" if takeover.cross and one.net_an_hour is not None else "",
        one.cause or "",
    )


def table(rows: Sequence[Judged]) -> str:
    """All liquidations, in order of time."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (*HEAD, *map(row, rows)))


def summary(rows: Sequence[Judged]) -> list[str]:
    """What is counted over all of them."""
    cross = [one for one in rows if one.stood.takeover.cross]
    one_sided = [one.gap for one in rows if one.gap is not None]
    causes = Counter(one.cause for one in cross)
    return [
        f"{sum(one.ratio < ONE_PER_CENT for one in cross)} of {len(cross)} cross accounts below 1 % of notional",
        f"{sum(gap < NEAR for gap in one_sided)} of {len(one_sided)} one-sided takeovers take the whole account value",
        f"{sum(one.at_bankruptcy for one in rows)} of {len(rows)} at the bankruptcy price, to the last figure",
        "the ledger's remainder, of cross accounts: " + ", ".join(f"{causes[cause]} {cause}" for cause in Cause),
    ]


def main() -> None:
    """Print counts and table; write the page where that is asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, default=ROOT.parent / "shared" / "data")
    options.add_argument("--write", action="store_true", help=f"the table into {PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    house = House(MemoryJournal(), AS_RECORDED)
    entries = read_recorded(chosen.folder)
    rows = [judged(stood) for stood in replayed(entries, house)]
    same = to_bytes(replay(house.journal).state) == to_bytes(house.state)
    print(f"{len(entries)} entries, {house.state.number} records, sums {sums(house.state.balances) or 'of 0'}")
    print(f"replay {'gives the same bytes' if same else 'DIFFERS'}", *summary(rows), sep="\n")
    print(table(rows))
    if chosen.write:
        PAGE.write_text(MARK.sub(rf"\g<1>\n{table(rows)}\n\g<2>", PAGE.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
