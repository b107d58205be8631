"""What the world says: quotes as of one moment, forward curves, vol surfaces. Immutable."""

from crossmargin.market.snapshot import (
    AssetQuote,
    Confidence,
    Listing,
    Snapshot,
    asset_root,
    check_quote,
)

__all__ = ["AssetQuote", "Confidence", "Listing", "Snapshot", "asset_root", "check_quote"]
