"""The market of lint: fixed prices, every instrument kind in a rulebook's scope, every name its tables hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp, sin
from typing import TYPE_CHECKING, Any, Final

from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.margin.model import Pairing
from crossmargin.margin.reading import PROVENANCE
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.pricing import price

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.margin.model import Rulebook

AS_OF: Final = datetime(2026, 1, 1, tzinfo=UTC)
STABLE: Final = ("USD", "USDC", "USDT", "DAI", "USDE", "FDUSD", "SDAI", "PYUSD")
COINS: Final[Mapping[str, float]] = {"BTC": 60_000.0, "ETH": 2_400.0, "SOL": 100.0}
_OTHER_COIN: Final = 10.0  # the price of a coin that only the rulebook names
_INVERSE: Final = frozenset({"BTC", "ETH"})
_STABLE_HELD: Final = STABLE[:3]
_RETURNS: Final = 30
_RATE: Final = 0.03


@dataclass(frozen=True, slots=True)
class Mood:
    """What differs between two markets: calm, and one in which pegs slip and quotes are hardly trusted."""

    stable_price: float = 1.0
    confidence: float = 1.0
    vol: float = 0.6
    days: tuple[int, ...] = (8, 150)
    moneyness: tuple[float, ...] = (0.7, 1.0, 3.4)


CALM: Final = Mood()
STRESSED: Final = Mood(stable_price=0.97, confidence=0.3, vol=1.5, days=(1, 400), moneyness=(0.5, 1.0, 1.2))


def cash_asset(rulebook: Rulebook) -> str:
    """Return the asset in which accounts hold their cash: the reporting one, or a stable coin."""
    return "USDC" if rulebook.reporting == "settlement" else rulebook.reporting


def asset_price(name: str, mood: Mood = CALM) -> float:
    """Return an asset's price in USD."""
    if name in STABLE:
        return 1.0 if name == "USD" else mood.stable_price
    return COINS.get(name, _OTHER_COIN)


def named_keys(rulebook: Rulebook) -> dict[str, set[str]]:
    """Return the names that the rulebook's tables, tags and pairs hold, by what they are names of."""
    found: dict[str, set[str]] = {"bucket": set(), "asset": set(), "instrument": set(), "class": set()}
    for table in _keyed_tables(rulebook.document):
        found.setdefault(str(table["by"]), set()).update(set(table) - PROVENANCE - {"by", "default"})
    for tag in rulebook.tags.values():
        found["bucket"] |= tag.underlyings
        found["asset"] |= tag.assets
        found["instrument"] |= tag.instruments
    for line in rulebook.lines.values():
        if isinstance(line.spec, Pairing):
            names = {name for pair in line.spec.pairs for name in pair.of}
            found.setdefault(line.spec.between, set()).update(names)
    return found


def _keyed_tables(value: object) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        return
    if isinstance(value.get("by"), str) and not {"is", "kind"} & set(value):
        yield value
    for part in value.values():
        yield from _keyed_tables(part)


def make_snapshot(rulebook: Rulebook, mood: Mood) -> Snapshot:
    """Return the market in which a rulebook is tried."""
    keys = named_keys(rulebook)
    money = {name for by in ("asset", "settlement_asset", "quote_asset") for name in keys.get(by, ())}
    buckets = [*COINS, *sorted(keys["bucket"] - set(COINS) - set(STABLE))]
    assets = {*_STABLE_HELD, *money, *buckets, cash_asset(rulebook)}
    maker = _Maker(rulebook, mood)
    listings = {one.symbol: one for one in maker.listings(buckets, keys) if one.kind in rulebook.scope}
    return Snapshot(
        as_of=AS_OF,
        reporting_asset="USD",
        assets={name: AssetQuote(price=asset_price(name, mood), confidence=mood.confidence) for name in sorted(assets)},
        listings=listings,
        calibration=_calibration(rulebook, sorted(assets), sorted(listings)),
    )


def _calibration(rulebook: Rulebook, buckets: list[str], symbols: list[str]) -> dict[str, Any]:
    """Return moves for every supplied scenario set (+-10 %), and rows for those by instrument; always the same."""
    found: dict[str, Any] = {}
    for block in (block for blocks in rulebook.scenarios.values() for block in blocks):
        if block.supplied is not None:
            found[block.supplied] = (
                _rows(buckets, _RETURNS, 0.1) if block.rows is None else _rows(symbols, block.rows, 1)
            )
    return found


def _rows(names: list[str], count: int, height: float) -> dict[str, list[float]]:
    return {name: [height * sin(1.0 + rank * (i + 2.0)) for i in range(count)] for rank, name in enumerate(names)}


class _Maker:
    """Makes the listings of one market."""

    def __init__(self, rulebook: Rulebook, mood: Mood) -> None:
        funds = cash_asset(rulebook)
        self.mood = mood
        self.discounted = rulebook.discount
        self.stable = "USDC" if funds == "USD" or funds not in STABLE else funds

    def listings(self, buckets: list[str], keys: Mapping[str, set[str]]) -> Iterator[Listing]:
        """Yield every instrument; the three large coins have all kinds, the others a perpetual."""
        for base in buckets:
            yield self.perpetual(base, self.stable)
            if base in COINS:
                yield from self.kinds(base)
        for symbol in sorted(keys["instrument"]):
            base = next((coin for coin in COINS if symbol.startswith(coin)), "BTC")
            yield self.perpetual(base, self.stable, symbol=symbol)
        for quote in sorted(keys.get("quote_asset", set()) & set(STABLE)):
            symbol = f"BTC-{quote}-QUOTED"
            yield self.perpetual("BTC", quote if quote != "USD" else "USDC", symbol=symbol, quote_asset=quote)

    def kinds(self, base: str) -> Iterator[Listing]:
        """Yield the futures, options and spot of a coin, and what settles in the coin itself."""
        settles = (self.stable, base) if base in _INVERSE else (self.stable,)
        if base in _INVERSE:
            yield self.perpetual(base, base)
        for settle in settles:
            for days in self.mood.days:
                yield self.future(base, settle, days)
                for ratio in self.mood.moneyness:
                    for kind in (OptionType.CALL, OptionType.PUT):
                        yield self.option(base, settle, days, ratio, kind)
        yield self.perpetual(base, "USD", symbol=f"{base}-SPOT", kind=InstrumentKind.SPOT)

    def perpetual(self, base: str, settle: str, **changes: Any) -> Listing:  # noqa: ANN401 - any term of a listing
        """Return a perpetual: inverse where it settles in its own coin."""
        index = asset_price(base)
        terms: dict[str, Any] = {
            "symbol": f"{base}-{settle}-PERPETUAL",
            "kind": InstrumentKind.PERPETUAL,
            "underlying": base,
            "quote_asset": "USD",
            "settlement_asset": settle,
            "contract": ContractKind.INVERSE if settle == base else ContractKind.LINEAR,
            "mark_price": index,
            "index_price": index,
            "rate": _RATE,
            "confidence": self.mood.confidence,
            "open_interest": 1e6,
            "skew": 1e3,
        }
        return Listing(**{**terms, **changes})

    def future(self, base: str, settle: str, days: int) -> Listing:
        """Return a dated future on the forward curve that options use."""
        return self.perpetual(
            base, settle, symbol=f"{base}-{settle}-{days}D", kind=InstrumentKind.FUTURE,
            expiry=AS_OF + timedelta(days=days), mark_price=_forward(base, days),
        )  # fmt: skip

    def option(self, base: str, settle: str, days: int, ratio: float, kind: OptionType) -> Listing:
        """Return a European option at its Black-76 mark, in coin where it settles in the coin."""
        forward, years = _forward(base, days), days / 365.0
        strike = float(f"{forward * ratio:.3g}")
        discount = exp(-_RATE * years) if self.discounted else 1.0
        mark = float(price(forward, strike, self.mood.vol, years, kind == OptionType.CALL, discount))
        return self.perpetual(
            base, settle, symbol=f"{base}-{settle}-{days}D-{strike:g}-{kind.value}", kind=InstrumentKind.OPTION,
            expiry=AS_OF + timedelta(days=days), strike=strike, option_type=kind, forward_price=forward,
            mark_price=mark / forward if settle == base else mark, mark_iv=self.mood.vol,
        )  # fmt: skip


def _forward(base: str, days: int) -> float:
    return asset_price(base) * (1.0 + 0.05 * days / 365.0)
