"""Contract terms and quotes in columns: one row for each instrument or asset that a book uses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

SPOT: Final = 0
PERPETUAL: Final = 1
FUTURE: Final = 2
OPTION: Final = 3
ASSET: Final = 4


@dataclass(frozen=True, slots=True)
class Contracts:
    """Columns [contracts]. NaN where a column means nothing for the kind (the strike of a future).

    Prices (`mark`, `index`, `forward`, `strike`) are in the quote asset, an inverse option's mark in coin, an
    asset's in the snapshot's reporting asset. `quote_rate` and `settle_rate` convert the quote and the settlement
    asset into the snapshot's reporting asset, `root_rate` is the price of the bucket's own asset there.
    `symbol` points into the book's table of names; `bucket`, `settle_asset`, `quote_asset`, `own_asset` into tables
    of names. `coin_settled`: the settlement asset is the bucket's own (its price moves with the shock).
    """

    symbol: Ints
    kind: Ints
    inverse: Flags
    quanto: Flags
    call: Flags
    multiplier: Floats
    strike: Floats
    years: Floats
    expiry: Ints
    mark: Floats
    index: Floats
    forward: Floats
    fixed_forward: Floats
    iv: Floats
    rate: Floats
    quote_rate: Floats
    settle_rate: Floats
    root_rate: Floats
    bucket: Ints
    settle_asset: Ints
    quote_asset: Ints
    own_asset: Ints
    coin_settled: Flags
    linked: Flags
    confidence: Floats
    stable_ratio: Floats
    twap_ratio: Floats
    funding_rate: Floats
    open_interest: Floats
    skew: Floats
    volume: Floats
    max_price: Floats
    deposits: Floats
    borrows: Floats

    def __len__(self) -> int:
        """Return the number of contracts."""
        return int(self.kind.shape[0])

    def tile(self, copies: int) -> Contracts:
        """Return the columns `copies` times over, one copy after the other."""
        return Contracts(**{name: np.tile(getattr(self, name), copies) for name in _COLUMNS})

    def take(self, rows: Ints) -> Contracts:
        """Return the selected rows."""
        return Contracts(**{name: getattr(self, name)[rows] for name in _COLUMNS})

    @property
    def units_per_contract(self) -> Floats:
        """Units of the underlying in one contract: an inverse perpetual's or future's at its mark."""
        margined_inverse = self.inverse & (self.kind != OPTION)
        # an option may be marked at 0; nothing is divided by it
        units = self.multiplier / np.where(margined_inverse, self.mark, 1.0)
        return np.where(self.quanto, units * self.settle_rate / self.quote_rate, units)

    @property
    def money_rate(self) -> Floats:
        """What one unit of a contract's price is worth in the snapshot's reporting asset.

        Linear contracts pay price differences in the settlement asset one to one.
        """
        rate = np.where(self.inverse, self.quote_rate, self.settle_rate)
        rate = np.where(self.quanto | (self.kind == SPOT), self.quote_rate, rate)
        return np.where(self.kind == ASSET, 1.0, rate)


_COLUMNS: Final = tuple(field.name for field in fields(Contracts))
