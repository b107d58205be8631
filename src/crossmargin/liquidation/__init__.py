"""How far from liquidation, where, and how it goes on: pure functions on a resolved book, or on a little one."""

from crossmargin.liquidation.allocate import Allocation, Payer, Share, allocate, parted
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.auctions import Bid, Cleared, Fill, cleared, taken
from crossmargin.liquidation.case import Case, Done
from crossmargin.liquidation.compare import Compared, compared
from crossmargin.liquidation.holdings import Entry, Holdings, Row
from crossmargin.liquidation.moves import Desk, Move, ended, next_move, scope_of
from crossmargin.liquidation.paths import ALL
from crossmargin.liquidation.pools import Leg, Pool, Terms
from crossmargin.liquidation.postings import Venue, applied
from crossmargin.liquidation.prices import LiquidationPrice, Profile, ProfilePoint, bankruptcy_price
from crossmargin.liquidation.run import Outcome, begun, run
from crossmargin.liquidation.solve import liquidation_prices, profiles
from crossmargin.liquidation.stages import Stage, stage, stands_still
from crossmargin.liquidation.waterfall import Paid, cover, funds, inflow, missing, pay, replenishment, shortfalls

__all__ = [
    "ALL",
    "Allocation",
    "Bid",
    "Case",
    "Cleared",
    "Compared",
    "Desk",
    "Done",
    "Engine",
    "Entry",
    "Fill",
    "Holdings",
    "Leg",
    "LiquidationPrice",
    "Move",
    "Outcome",
    "Paid",
    "Payer",
    "Pool",
    "Profile",
    "ProfilePoint",
    "Row",
    "Share",
    "Stage",
    "Terms",
    "Venue",
    "allocate",
    "applied",
    "bankruptcy_price",
    "begun",
    "cleared",
    "compared",
    "cover",
    "ended",
    "funds",
    "inflow",
    "liquidation_prices",
    "missing",
    "next_move",
    "parted",
    "pay",
    "profiles",
    "replenishment",
    "run",
    "scope_of",
    "shortfalls",
    "stage",
    "stands_still",
    "taken",
]
