"""The closed vocabulary: the measures, words and columns that a rulebook may name.

The parser refuses any other name, the dimension check reads the dimensions, the engine fills the columns,
the documentation and the schema are printed from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AXES",
    "COARSER",
    "CONTRACTS",
    "FUNCTIONS",
    "KEYS",
    "KINDS",
    "MEASURES",
    "SHOCK_COLUMNS",
    "TRIGGER_MEASURES",
    "WORDS",
    "Measure",
]


@dataclass(frozen=True, slots=True)
class Measure:
    """One column that `resolve` offers to formulas.

    Parameters
    ----------
    extensive
        True: sums when read from a coarser level. False: must be equal across the row, or it is an error.
    level
        The finest level at which the measure exists.
    dimension
        A product of powers of money, usd, quantity and years (``money/quantity``), or ``ratio``.
    """

    name: str
    extensive: bool
    level: str
    dimension: str
    text: str


def _table(extensive: str, intensive: str, account: str) -> dict[str, Measure]:
    """Measures from lines of ``name | dimension | text``, by name."""
    sections = ((extensive, True, "leg"), (intensive, False, "leg"), (account, True, "account"))
    found: dict[str, Measure] = {}
    for text, sums, level in sections:
        for row in text.strip().splitlines():
            name, dimension, meaning = (part.strip() for part in row.split("|"))
            found[name] = Measure(name, sums, level, dimension, meaning)
    return found


_EXTENSIVE = """
quantity    | quantity         | signed units of the underlying; of a balance the amount with what is accrued
contracts   | quantity         | signed contracts as held
long        | quantity         | max(quantity, 0) of each leg
short       | quantity         | max(-quantity, 0) of each leg
notional    | money            | unsigned quantity times price, of an option times the index
value       | money            | what [valuation] says a leg is worth
pnl         | money            | unrealised P&L of margined contracts with accrued funding; 0 for the rest
mark_value  | money            | quantity times price of options and balances; 0 for margined contracts
delta       | quantity         | units of the underlying (forward delta); 1 per unit of a balance
delta_value | money            | delta times index
gamma       | quantity**2/money | change of delta per unit of price
vega        | money            | change of value per 1.00 of implied vol
theta       | money            | change of value per year
rho         | money            | change of value per 1.00 of interest rate
bids        | quantity         | units that open buy orders would add, >= 0
asks        | quantity         | units that open sell orders would take away, >= 0
bid_value   | money            | open buy orders at their limit prices, >= 0
ask_value   | money            | open sell orders at their limit prices, >= 0
order_count | ratio            | number of open orders
"""

_INTENSIVE = """
price            | money/quantity | mark price of the contract per unit, or the asset's price
index            | money/quantity | index price of the underlying
forward          | money/quantity | forward price of the underlying at the leg's expiry
strike           | money/quantity | strike price
entry_price      | money/quantity | average entry price; of an option that states none 0
otm              | money/quantity | how far an option is out of the money: of a call max(strike - index, 0)
iv               | ratio          | annualised implied vol
rate             | ratio          | annualised interest rate to the leg's expiry
funding_rate     | ratio          | funding per funding interval
leverage         | ratio          | the leverage chosen for the position
stable_price     | ratio          | USD price of the reporting stablecoin
twap_ratio       | ratio          | time-weighted average price over the price
stable_ratio     | ratio          | slow ("stable") price over the price
quote_confidence | ratio          | confidence of the quotes that price the leg, in [0, 1]
skew             | ratio          | the market's open-interest skew
years            | years          | time to expiry, ACT/365
days             | ratio          | time to expiry in days
open_interest    | quantity       | open interest of the instrument
volume           | quantity       | what is traded of the instrument in a day
max_price        | money/quantity | the most that a capped contract can settle at
deposits         | quantity       | what all users of the venue hold of the asset
borrows          | quantity       | what all users of the venue owe of the asset
numeraire        | usd/money      | USD per unit of the pool's reporting asset
"""

_ACCOUNT = """
equity | money | the pool's equity by the standard definition, before haircuts
"""

MEASURES: Final[Mapping[str, Measure]] = MappingProxyType(_table(_EXTENSIVE, _INTENSIVE, _ACCOUNT))

TRIGGER_MEASURES: Final[Mapping[str, Measure]] = MappingProxyType(
    {
        measure.name: measure
        for measure in (
            Measure(
                "adjusted_equity",
                extensive=True,
                level="account",
                dimension="money",
                text="[equity] adjusted",
            ),
            Measure(
                "coverage_ratio",
                extensive=False,
                level="account",
                dimension="ratio",
                text="adjusted equity over maintenance",
            ),
        )
    }
)
"""Names that only a liquidation trigger may read, beside everything an account-level formula reads."""

SHOCK_COLUMNS: Final = ("iv", "forward", "strike", "years", "days", "rate", "index")
"""What formulas of [shocks] may read of an option."""

AXES: Final = ("spot", "rate", "basis", "time", "peg")
"""What weights and scales of scenarios may read of a scenario; all ratios."""

KINDS: Final = ("option", "perpetual", "future", "spot", "asset")
"""Instrument kinds; a balance is a leg of kind `asset`."""

CONTRACTS: Final = ("linear", "inverse", "quanto")
"""Forms of settlement."""

WORDS: Final = (*KINDS, "call", "put", "long", "short", *CONTRACTS, "cash", "coin", "debt", "isolated")
"""Words of `of`, beside the rulebook's own tags. Of balances, `cash` are those in the pool's reporting asset,
`coin` all others, `debt` the negative ones. `isolated` legs stand in the pool of one position, its collateral too."""

KEYS: Final = ("bucket", "instrument", "asset", "class", "settlement_asset", "kind", "quote_asset")
"""What a keyed table may be looked up by."""

COARSER: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "leg": frozenset({"strike", "expiry", "bucket", "asset", "account"}),
        "strike": frozenset({"expiry", "bucket", "account"}),
        "expiry": frozenset({"bucket", "account"}),
        "bucket": frozenset({"account"}),
        "asset": frozenset({"account"}),
        "account": frozenset(),
    }
)
"""Levels above a level."""

FUNCTIONS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "min": (2, 20),
        "max": (2, 20),
        "abs": (1, 1),
        "sqrt": (1, 1),
        "exp": (1, 1),
        "log": (1, 1),
        "clip": (3, 3),
        "when": (3, 3),
        "ceil": (2, 2),
        "floor": (2, 2),
        "marginal": (2, 2),
        "step": (2, 2),
        "ramp": (2, 2),
        "lognormal_es_up": (3, 3),
        "lognormal_es_down": (3, 3),
        "lognormal_quantile": (3, 3),
        "largest": (1, 1),
        "root": (2, 2),
    }
)
"""Functions with the least and the greatest number of arguments."""
