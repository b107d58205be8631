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
    "CASE_MEASURES",
    "COARSER",
    "CONTRACTS",
    "FUNCTIONS",
    "HALT_MEASURES",
    "KEYS",
    "KINDS",
    "MEASURES",
    "SHOCK_COLUMNS",
    "TRIGGER_MEASURES",
    "WINDOWED",
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

_CASE = """
maintenance_headroom | adjusted equity less maintenance, signed; as well `NAME_headroom` for any requirement NAME
available_margin     | adjusted equity less initial margin, signed
gross                | notionals of all legs together
contracts_held       | unsigned contracts of the leg
contract             | what one contract stands for, units of the underlying
lot                  | the smallest number of contracts that trade
bankruptcy_price     | price of the leg at which the pool's equity is 0, all else at mark
relief               | maintenance freed per contract when the leg is closed at mark
settle_price         | price of the asset that the leg settles in
quote                | what was received for the leg and is not settled, in units of that asset; a long's is negative
unsettled_pnl        | `quote` and the leg at mark together, in units of that asset
wallet               | the account's balance of that asset
bucket_delta         | delta of all legs of the leg's underlying
pair                 | contracts that an opposite leg of the same underlying matches
depth                | contracts that the book offers against the leg at once; infinite where nobody says
elapsed              | seconds since the case began
t                    | seconds since the step that stands open was opened
round                | rounds since the case began, from 0
reserved             | money that earlier bidders of the auction paid in
used_in_window       | what the step moved of the leg in its last `window` seconds, or all cases of it
was_offered          | 1 once the step has been offered to bidders or has moved something in this case, else 0
last                 | seconds since the step last moved anything of the leg; infinite before
restore              | the least share of the leg (over the account: of all) after which `until` holds, else 1
moved                | in fees: the amount of this move
filled_price         | in fees: the price of this move, of a market order the price that it got; else the mark
closed               | contracts of the leg that the case has closed
settled              | unrealised P&L of the leg that the case has settled
debt_price           | in `exchange`: price of the asset owed; so every word of a leg, `debt_*` and `collateral_*`
debt_value           | value of what is owed of the debt, >= 0
collateral_value     | value of what is held of the collateral
loss                 | what the waterfall has to pay, money
paid                 | what earlier layers have paid
fund                 | what the insurance fund can pay: its assets less their haircuts
open_interest_value  | notional that all users hold of the instrument
cover_1              | the worst scenario's largest shortfall of one member
cover_2              | the worst scenario's two largest shortfalls together
profit               | of a payer: what it gained at the mark that made the loss
deposited            | of a payer: what it has deposited
pnl_share            | of a payer: P&L over what it paid to enter
payer_leverage       | of a payer: notional over equity
payer_equity         | of a payer: equity
"""

CASE_MEASURES: Final[Mapping[str, str]] = MappingProxyType(
    {name.strip(): text.strip() for name, _, text in (row.partition("|") for row in _CASE.strip().splitlines())}
)
"""Names that only a procedure may read: figures of the pool, of one leg, of the case's memory, of a payer.

`NAME_start` is what NAME was when the case began."""

_HALT = """
price_move       | how far the price stands from the furthest one in the halt's `window`: larger over smaller, less 1
twap_gap         | how far it stands from its mean over `twap_window`: larger over smaller, less 1
live_feeds       | feeds that count now
quote_age        | seconds since a price last stood
quote_confidence | least confidence of the quotes that stand, in [0, 1]
liquidated       | value of the contracts that cases closed or handed over in the halt's `window`
fund             | value of what the insurance fund holds
"""

HALT_MEASURES: Final[Mapping[str, str]] = MappingProxyType(
    {name.strip(): text.strip() for name, _, text in (row.partition("|") for row in _HALT.strip().splitlines())}
)
"""Names that conditions of [[halt]] may read, of one underlying: the worst of its prices."""

WINDOWED: Final = frozenset({"price_move", "liquidated"})
"""Those that look back over the `window` of their halt."""

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
