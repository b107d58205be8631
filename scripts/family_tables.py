"""Tables of the pages in docs/families, computed by the engine; a test compares them with the pages.

Run it after a change of a family's rulebook or page: python -m scripts.family_tables
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from crossmargin import Account, Snapshot
from scripts.docs_tables import table
from scripts.family_books import (
    BETA_PAIR,
    BOX,
    BTC,
    BUTTERFLY,
    CARRY,
    CRASH,
    FAMILIES,
    HEDGED_COIN,
    HOUR,
    OUTRIGHT,
    PAIR,
    QUIET,
    TWICE,
    VOL,
    account,
    apart,
    loss,
    market,
    moved,
    report,
    straddle,
    strangle,
    worst,
)

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = ROOT / "docs" / "families"
MARK: Final = re.compile(r"(<!-- begin (?P<name>[\w-]+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)
MOVE: Final = 0.15


def dollars(amount: float) -> str:
    """Whole dollars."""
    return f"{round(amount) + 0:,}"


def example(family: str, book: str, held: Account, move: str, lost: float) -> tuple[str, ...]:
    """A row: what is held, what is required, what happens, what that loses."""
    return book, dollars(report(family, held).initial_margin), move, dollars(lost)


def examples(*rows: tuple[str, ...]) -> str:
    """The usual table of a page."""
    return table(("what is held", "initial requirement", "what happens", "what is lost"), rows)


# --- the comparison


def comparison() -> str:
    """All families on the same three portfolios, and what moves really lose."""
    books = (straddle(), HEDGED_COIN, PAIR)
    rows = [
        (f"[{page}]({page}.md)", looks, *(dollars(report(page, held).initial_margin) for held in books))
        for page, (_, looks) in FAMILIES.items()
    ]
    up = "**lost**: BTC and ETH together 15 % up or down, vol +50 %"
    across = "**lost**: BTC and ETH 15 % in opposite directions, vol +50 %"
    rows.append((up, "", *(dollars(worst(held, MOVE, 0.5)) for held in books)))
    rows.append((across, "", *(dollars(worst(held, MOVE, 0.5, eth=-1)) for held in books)))
    return table(("family", "it looks at", "short straddle", "hedged coin", "long-short pair"), rows)


# --- where each fails


def isolated() -> str:
    """A hedge in two pools: one is liquidated although the whole has lost nothing."""
    held = Account(id="a", positions=(apart("BTC-PERP", 10, 150_000), apart("BTC-25D", -10, 150_000)))
    rows = []
    for move in (0.0, 0.1, 0.2):
        found = report("isolated", held, moved(move))
        short = next(pool for pool in found.pools if pool.pool == "BTC-25D")
        figures = (found.equity, short.equity, short.maintenance_margin)
        rows.append((dollars(BTC * (1 + move)), *map(dollars, figures), f"{short.state}"))
    return table(("BTC", "account's equity", "short's equity", "short's maintenance", "short's state"), rows)


def isolated_after() -> str:
    """What is left when the short was closed at 72,000 and the price comes back."""
    kept = report("isolated", Account(id="b", positions=(apart("BTC-25D", -10, 150_000),)), moved(0.2)).equity
    long = Account(id="a", balances={}, positions=(apart("BTC-PERP", 10, 150_000),))
    rows = [
        ("60,000, at the start", dollars(300_000)),
        ("72,000, the short is closed", dollars(kept + report("isolated", long, moved(0.2)).equity)),
        ("60,000 again", dollars(kept + report("isolated", long).equity)),
    ]
    return table(("BTC", "what the account is worth"), rows)


def linear() -> str:
    """Hedges cost twice, a sure payoff costs most, vol does not matter."""
    wild = market(vol=2 * VOL)
    naked = straddle(hedged=False)
    return examples(
        example("linear", "perpetuals long, futures short", CARRY, "BTC +-15 %", worst(CARRY, MOVE)),
        example("linear", "a box: pays 200,000 whatever happens", BOX, "BTC +-15 %", worst(BOX, MOVE)),
        example("linear", "short straddle, vol 50 %", naked, "vol +50 %", loss(naked, moved(vol=0.5))),
        (
            "short straddle, vol 100 %",
            dollars(report("linear", naked, wild).initial_margin),
            "vol +50 %",
            dollars(loss(naked, market(vol=3 * VOL), wild)),
        ),
    )


def delta() -> str:
    """A short straddle has no delta."""
    held = straddle()
    return examples(
        *(example("delta", "short straddle", held, text, loss(held, after)) for text, after in _STRADDLE_MOVES.items())
    )


_STRADDLE_MOVES: Final[Mapping[str, Snapshot]] = {
    "BTC -15 %": moved(-MOVE),
    "BTC +15 %": moved(MOVE),
    "vol +50 %": moved(vol=0.5),
    "BTC +15 %, vol +50 %": moved(MOVE, vol=0.5),
}


def greeks() -> str:
    """Near moves are seen, far ones and pins are not."""
    near, far = straddle(), strangle(100, 3, 48_000, 75_000)
    return examples(
        example("greeks", "short straddle, 25 days", near, "BTC +-15 %", worst(near, MOVE)),
        example("greeks", "short straddle, 25 days", near, "BTC +-40 %", worst(near, -CRASH)),
        example("greeks", "100 short strangles 48,000 / 75,000, 3 days", far, "BTC +-15 %", worst(far, MOVE)),
        example("greeks", "100 short strangles 48,000 / 75,000, 3 days", far, "BTC +-40 %", worst(far, -CRASH)),
    )


def greeks_pin() -> str:
    """One hour before expiry gamma is all or nothing."""
    held = straddle(1, HOUR, hedged=False)
    rows = []
    for share in (0.0, 0.01, 0.02):
        today = moved(share)
        lines = report("greeks", held, today).lines
        most = max(loss(held, moved((1 + share) * (1 + sign * MOVE) - 1), today) for sign in (1, -1))
        parts = ("total", "delta_move", "gamma_move")
        rows.append((dollars(BTC * (1 + share)), *(dollars(lines[name].initial) for name in parts), dollars(most)))
    return table(("BTC", "initial requirement", "of it delta", "of it gamma", "BTC +-15 % loses"), rows)


def rules() -> str:
    """One coin covers twice; a day between two expiries doubles the requirement."""
    one, other = straddle(hedged=False), straddle(put_days=26, hedged=False)
    books = (
        ("10 coins, 10 calls at 60,000 sold, 10 perpetuals sold", TWICE, "BTC +15 %", loss(TWICE, moved(MOVE))),
        ("10 straddles sold, both sides 25 days", one, "BTC +15 %", loss(one, moved(MOVE))),
        ("10 straddles sold, calls 25 days and puts 26", other, "BTC +15 %", loss(other, moved(MOVE))),
    )
    rows = []
    for book, held, move, lost in books:
        found = report("rules", held)
        marks = found.lines["marks"].initial
        rows.append((book, *map(dollars, (found.initial_margin, marks, found.initial_margin - marks)), move))
        rows[-1] += (dollars(lost),)
    heads = ("what is held", "initial requirement", "of it marks", "beyond the marks", "what happens", "what is lost")
    return table(heads, rows)


def parametric() -> str:
    """No convexity, thin tails, a beta that must hold."""
    held = straddle()
    return examples(
        example("parametric", "short straddle", held, "BTC +-15 %", worst(held, MOVE)),
        example("parametric", "10 BTC long", OUTRIGHT, "BTC -5 %", loss(OUTRIGHT, moved(-0.05))),
        example("parametric", "10 BTC long", OUTRIGHT, "BTC -15 %", loss(OUTRIGHT, moved(-MOVE))),
        example("parametric", "10 BTC long", OUTRIGHT, "BTC -40 %", loss(OUTRIGHT, moved(CRASH))),
        example("parametric", "12 BTC long, 200 ETH short", BETA_PAIR, "BTC -15 %, ETH -18 %",
                loss(BETA_PAIR, moved(-MOVE, -0.18))),
        example("parametric", "12 BTC long, 200 ETH short", BETA_PAIR, "BTC -15 %, ETH +-0 %",
                loss(BETA_PAIR, moved(-MOVE))),
    )  # fmt: skip


_WINDOWS: Final[Mapping[str, tuple[float, ...]]] = {
    "100 quiet days": QUIET,
    "the same, then one day of -40 %": (*QUIET[1:], CRASH),
    "100 days later: quiet again": QUIET,
}


def historical() -> str:
    """A window without a crash, with one, and the day after it has left the window."""
    rows = []
    for text, window in _WINDOWS.items():
        today = market(window=window)
        found = [report("historical", held, today) for held in (OUTRIGHT, straddle())]
        amounts = [amount for one in found for amount in (one.initial_margin, one.maintenance_margin)]
        rows.append((text, *map(dollars, amounts)))
    lost = [dollars(loss(held, moved(CRASH))) for held in (OUTRIGHT, straddle())]
    rows.append(("**lost** in a day of -40 %", lost[0], lost[0], lost[1], lost[1]))
    heads = ("window", "10 BTC long, initial", "maintenance", "short straddle, initial", "maintenance")
    return table(heads, rows)


def scenario() -> str:
    """Beyond the last move, across coins, between two points of the grid."""
    wide = moved(CRASH)
    rows = [
        example("scenario", "10 BTC long", OUTRIGHT, "BTC -40 %", loss(OUTRIGHT, wide)),
        example("scenario", "10 BTC long, 200 ETH short", PAIR, "BTC -15 %, ETH +15 %", loss(PAIR, moved(-MOVE, MOVE))),
    ]
    return examples(*rows)


def scenario_grid() -> str:
    """What a butterfly an hour before expiry loses, and where the grid looks."""
    lines = report("scenario", BUTTERFLY).lines
    rows = [
        ("worst of the grid (line `market`)", dollars(lines["market"].initial)),
        ("lost at 61,125, between two points of the grid", dollars(loss(BUTTERFLY, market(61_125)))),
        ("floor for short options (line `short_options`)", dollars(lines["short_options"].initial)),
        ("initial requirement", dollars(report("scenario", BUTTERFLY).initial_margin)),
    ]
    return table(("10 butterflies sold, an hour before expiry", "dollars"), rows)


def layered() -> str:
    """While the floor binds, more risk costs nothing; layers add up what cannot happen together."""
    bare, more = (strangle(100, 3, 48_000, 75_000, count) for count in (0, -5))
    rows = []
    for text, held in (("100 short strangles", bare), ("the same, and 5 perpetuals short", more)):
        found = report("layered", held)
        lines = [found.lines[name].initial for name in ("scan", "option_floor", "base")]
        amounts = (*lines, found.initial_margin, loss(held, moved(MOVE, vol=0.5)))
        rows.append((text, *map(dollars, amounts)))
    heads = ("what is held", "scan", "floor", "first layer", "initial requirement", "BTC +15 %, vol +50 % loses")
    return table(heads, rows)


def credit_clients() -> str:
    """Three clients with a line each, the same position, one move."""
    clients = [account({"BTC-PERP": 100}, {}, "prime", f"client {n}") for n in (1, 2, 3)]
    posted = [account({"BTC-PERP": 100}, {"USD": 900_000}, None, f"client {n}") for n in (1, 2, 3)]
    rows = []
    for text, group in (
        ("three clients with a line of 1,000,000", clients),
        ("the same clients, fully margined", posted),
    ):
        today = [report("credit", one) for one in group]
        after = [report("credit", one, moved(-MOVE)) for one in group]
        further = [report("credit", one, moved(-0.25)) for one in group]
        owed = [sum(max(0.0, -one.equity) for one in found) for found in (after, further)]
        amounts = (sum(one.initial_margin for one in today), sum(one.equity for one in today), *owed)
        rows.append((text, *map(dollars, amounts)))
    heads = ("who", "initial requirement", "what they posted", "BTC -15 %: owed to the venue", "BTC -25 %: owed")
    return table(heads, rows)


def credit_wrong_way() -> str:
    """A client that borrows against its own token and trades on a line: both go when it defaults."""
    token = account({}, {"TOKEN": 100_000, "USD": -400_000}, "prime", "borrower")
    both = account({"BTC-PERP": 100}, {"TOKEN": 100_000, "USD": -400_000}, "prime", "both")
    cases = (
        ("borrows 400,000 against its own token", token, moved(token=-0.8), "the token -80 %"),
        ("the same, and 100 BTC long on its line", both, moved(btc=-MOVE), "BTC -15 %"),
        ("the same, and 100 BTC long on its line", both, moved(btc=-MOVE, token=-0.8), "BTC -15 %, the token -80 %"),
    )
    rows = []
    for text, held, after, move in cases:
        today, then = report("credit", held), report("credit", held, after)
        rows.append((text, *map(dollars, (today.equity, today.available_margin)), move))
        rows[-1] += (dollars(max(0.0, -then.equity)),)
    return table(("client", "equity today", "available margin", "what happens", "owed to the venue"), rows)


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "comparison": comparison,
    "isolated": isolated,
    "isolated-after": isolated_after,
    "linear": linear,
    "delta": delta,
    "greeks": greeks,
    "greeks-pin": greeks_pin,
    "rules": rules,
    "parametric": parametric,
    "historical": historical,
    "scenario": scenario,
    "scenario-grid": scenario_grid,
    "layered": layered,
    "credit-clients": credit_clients,
    "credit-wrong-way": credit_wrong_way,
}


def filled(text: str) -> str:
    """A page with its tables made anew."""
    return MARK.sub(lambda found: f"{found[1]}\n{TABLES[found['name']]()}\n{found[3]}", text)


def pages() -> Iterable[Path]:
    """The pages of the families."""
    return sorted(PAGES.glob("*.md"))


def main() -> None:
    """Write the tables into the pages."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if filled(text) != text:
            path.write_text(filled(text), encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
