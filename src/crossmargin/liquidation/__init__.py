"""How far from liquidation, where, and how it goes on: pure functions on a resolved book, or on a little one."""

from crossmargin.liquidation.allocate import Allocation, Payer, Share, allocate, parted
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.auctions import Bid, Cleared, Fill, cleared, taken
from crossmargin.liquidation.case import Case, Done
from crossmargin.liquidation.compare import Compared, compared
from crossmargin.liquidation.holdings import Entry, Holdings, Row
from crossmargin.liquidation.moves import Desk, Move, ended, next_move, scope_of
from crossmargin.liquidation.paths import ALL
from crossmargin.liquidation.plan import plan
from crossmargin.liquidation.plan_beside import Beside, VenueMove, beside, hedge_legs
from crossmargin.liquidation.plan_costs import Costs, Impact, Ladder
from crossmargin.liquidation.plan_data import Plan, PlannedTrade, PlanOptions
from crossmargin.liquidation.plan_model import CostModel, stated_costs
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
    "Beside",
    "Bid",
    "Case",
    "Cleared",
    "Compared",
    "CostModel",
    "Costs",
    "Desk",
    "Done",
    "Engine",
    "Entry",
    "Fill",
    "Holdings",
    "Impact",
    "Ladder",
    "Leg",
    "LiquidationPrice",
    "Move",
    "Outcome",
    "Paid",
    "Payer",
    "Plan",
    "PlanOptions",
    "PlannedTrade",
    "Pool",
    "Profile",
    "ProfilePoint",
    "Row",
    "Share",
    "Stage",
    "Terms",
    "Venue",
    "VenueMove",
    "allocate",
    "applied",
    "bankruptcy_price",
    "begun",
    "beside",
    "cleared",
    "compared",
    "cover",
    "ended",
    "funds",
    "hedge_legs",
    "inflow",
    "liquidation_prices",
    "missing",
    "next_move",
    "parted",
    "pay",
    "plan",
    "profiles",
    "replenishment",
    "run",
    "scope_of",
    "shortfalls",
    "stage",
    "stands_still",
    "stated_costs",
    "taken",
]
