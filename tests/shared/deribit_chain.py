"""Recorded Deribit option chains as snapshots of the interchange, and as columns for the pricing functions.

What a row holds: marks in coin, vols in percent, `underlying_price` the forward of the option's expiry. `index_price`
was polled option by option over a minute or more and drifts within a chain (median 7 bp): a snapshot has one index per
underlying, the median of its chain. The chains hold no perpetual: one is listed at the index.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import years_between

Floats = npt.NDArray[np.float64]
CURRENCIES = ("BTC", "ETH")
CRASH = (datetime(2026, 2, 4, tzinfo=UTC), datetime(2026, 2, 7, tzinfo=UTC))
_NUMBERS = ("strike", "underlying_price", "index_price", "bid", "ask", "mark", "mark_iv", "delta")


@dataclass(frozen=True)
class Chain:
    """One currency's options at one moment, in columns [options]; `vol` is a fraction, `mark` in coin."""

    as_of: datetime
    currency: str
    index: float
    expiry: tuple[datetime, ...]
    years: Floats
    strike: Floats
    call: npt.NDArray[np.bool_]
    forward: Floats
    mark: Floats
    vol: Floats
    delta: Floats
    bid: Floats
    ask: Floats

    def __len__(self) -> int:
        return int(self.mark.shape[0])

    def symbol(self, row: int) -> str:
        kind = "C" if self.call[row] else "P"
        return f"{self.currency}-{self.expiry[row]:%d%b%y}-{self.strike[row]:.0f}-{kind}".upper()


def read_chains(shared: Path, start: datetime | None = None, end: datetime | None = None) -> list[Chain]:
    """Every chain from `start` (inclusive) to `end` (exclusive), in order of time and currency."""
    frame = pl.scan_parquet(shared / "data" / "deribit_option_chain_snapshots.parquet")
    frame = frame.with_columns(pl.col("ts", "expiry").dt.replace_time_zone("UTC"))
    if start is not None and end is not None:
        frame = frame.filter((pl.col("ts") >= start) & (pl.col("ts") < end))
    frame = frame.filter(pl.col("expiry") > pl.col("ts")).sort("ts", "currency", "expiry", "strike", "opt")
    return [_chain(part) for part in frame.collect().partition_by("ts", "currency", maintain_order=True)]


def _chain(frame: pl.DataFrame) -> Chain:
    as_of = frame["ts"][0]
    column = {name: frame[name].cast(pl.Float64).to_numpy() for name in _NUMBERS}
    expiry = tuple(frame["expiry"].to_list())
    return Chain(
        as_of=as_of,
        currency=frame["currency"][0],
        index=float(np.median(column["index_price"])),
        expiry=expiry,
        years=np.asarray([years_between(as_of, moment) for moment in expiry]),
        strike=column["strike"],
        call=(frame["opt"] == "C").to_numpy(),
        forward=column["underlying_price"],
        mark=column["mark"],
        vol=column["mark_iv"] / 100.0,
        delta=column["delta"],
        bid=column["bid"],
        ask=column["ask"],
    )


def deribit_chain_snapshot(chains: list[Chain]) -> Snapshot:
    """The market of one moment: each option twice, as listed (inverse) and as its linear USDC twin.

    The twin has the same forward and vol and pays the same in dollars: its mark is the coin mark at the forward.
    """
    listings = [listing for chain in chains for listing in _listings(chain)]
    assets = {chain.currency: AssetQuote(price=chain.index) for chain in chains}
    return Snapshot(
        as_of=chains[0].as_of,
        reporting_asset="USD",
        assets={"USDC": AssetQuote(price=1.0, pegged_to="USD"), **assets},
        listings={listing.symbol: listing for listing in listings},
    )


def linear(symbol: str) -> str:
    """The symbol of the linear twin: BTC_USDC-27FEB26-60000-P for BTC-27FEB26-60000-P."""
    currency, rest = symbol.split("-", 1)
    return f"{currency}_USDC-{rest}"


def _listings(chain: Chain) -> Iterator[Listing]:
    coin, inverse, straight = chain.currency, ContractKind.INVERSE, ContractKind.LINEAR
    for name, contract, settlement in (
        (f"{coin}-PERPETUAL", inverse, coin),
        (f"{coin}_USDC-PERPETUAL", straight, "USDC"),
    ):
        yield Listing(
            symbol=name,
            kind=InstrumentKind.PERPETUAL,
            underlying=coin,
            quote_asset="USD" if contract is inverse else "USDC",
            settlement_asset=settlement,
            contract=contract,
            mark_price=chain.index,
            index_price=chain.index,
        )
    for row in range(len(chain)):
        symbol, forward, mark = chain.symbol(row), float(chain.forward[row]), float(chain.mark[row])
        yield _option(chain, row, symbol, "USD", coin, inverse, mark)
        yield _option(chain, row, linear(symbol), "USDC", "USDC", straight, mark * forward)


def _option(
    chain: Chain, row: int, symbol: str, quote: str, settlement: str, contract: ContractKind, mark: float
) -> Listing:
    return Listing(
        symbol=symbol,
        kind=InstrumentKind.OPTION,
        underlying=chain.currency,
        quote_asset=quote,
        settlement_asset=settlement,
        contract=contract,
        expiry=chain.expiry[row],
        strike=float(chain.strike[row]),
        option_type=OptionType.CALL if chain.call[row] else OptionType.PUT,
        mark_price=mark,
        index_price=chain.index,
        forward_price=float(chain.forward[row]),
        mark_iv=float(chain.vol[row]),
    )
