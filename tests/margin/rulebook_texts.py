"""Small rulebooks for the parser's tests: one that loads, and ways to break it."""

from __future__ import annotations

PLAIN = """\
rulebook = { name = "plain", effective_from = 2025-06-01, reporting = "USDC", scope = ["perpetual", "asset"] }
[sources]
S1 = { title = "help page", seen = 2026-01-20, status = "exact" }
S2 = { title = "a reply", status = "retold" }
[parameters]
source = "S1"
share = 0.5
[values]
coins = { of = "asset", is = "value" }
[charges.perpetuals]
source = "S2"
of = "perpetual"
is = { maintenance = "marginal(brackets, worth)", initial = "max(worth / leverage_limit, share * worth)" }
where.worth = "abs(quantity) * price"
leverage_limit = 20
brackets = [[50_000, 0.004], ["inf", 0.005]]
[equity]
adjusted = "coins"
[requirement]
maintenance = "perpetuals"
initial = "1.3 * perpetuals"
"""

SCAN = """\
rulebook = { name = "scans", effective_from = 2025-06-01, reporting = "settlement", scope = ["option"] }
[sources]
S1 = { title = "help page", status = "exact" }
[parameters]
source = "S1"
width = { by = "bucket", BTC = 0.12, default = 0.25 }
third = "1 / 3"
dampener = 100_000
unit = { dampener = "USD" }
[shocks]
source = "S1"
vol.up = "iv * (1 + lift * tenor)"
vol.down = "iv * max(0, 1 - lift * tenor)"
tenor = "sqrt(base_days / max(days, 1))"
where = { lift = 0.5, base_days = 30 }
unverified = ["base_days"]
[scenarios]
source = "S1"
grid = [
  { spot = [-3, 0, 3], vol = ["up", "same", "down"], scale = "third * width" },
  { spot = [-0.66, 5], weight = "min(1, third / abs(spot))", fold.bucket.deductible = "dampener / numeraire" },
]
[tags]
hedging = { assets = ["BTC"] }
[inputs]
order_margin = { default = 0, unit = "money" }
[charges]
source = "S1"
scan.kind = "scan"
scan.level = "bucket"
scan.of = ["option", "hedging"]
scan.scenarios = "grid"
scan.close_out.expiry.gain = "drop * exp(-years * drop)"
scan.drop = 0.95
naked.level = "strike"
naked.of = "short option"
naked.is = "rate_of * max(0, -quantity) * index"
naked.rate_of = { maintenance = 0.03, initial = 0.05 }
unit = { level = "bucket", is = "max(scan, naked)" }
[equity]
adjusted = "equity"
[requirement]
maintenance = "0.8 * unit"
initial = "unit + order_margin"
search = "1.1 * maintenance"
[[bands]]
below = 1.2
then = "reduce_only"
source = "S1"
[liquidation]
trigger = "adjusted_equity < 0.9 * maintenance"
target = "initial"
"""


def changed(text: str, *swaps: tuple[str, str]) -> str:
    """The text with parts swapped; each part must be there."""
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def line_with(text: str, part: str) -> int:
    """The number of the line that starts with a part, or of the first that holds it."""
    lines = list(enumerate(text.splitlines(), 1))
    starts = [number for number, line in lines if line.startswith(part)]
    return starts[0] if starts else next(number for number, line in lines if part in line)
