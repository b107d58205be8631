"""Quotes read in columns give what reading them one by one gives: columns, names, refusals and warnings."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from importlib.resources import files as package_files
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crossmargin.account import Account, Book, Position
from crossmargin.errors import InputError
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.margin import plain_quotes, resolve
from crossmargin.margin.contract_columns import contract_columns, read_contracts
from crossmargin.margin.program.universe import Priced, price
from crossmargin.margin.quotes import QuoteGuard, QuoteReader, QuoteRow, root_or_itself, unpriced, unpriced_asset
from crossmargin.margin.resolve import asset_key
from crossmargin.margin.resolved import Names
from crossmargin.margin.terms import ContractTerms
from crossmargin.market import AssetQuote, Confidence, Listing, Snapshot
from crossmargin.scenarios import Contracts
from crossmargin.sources import load_snapshot
from tests.margin.rules import made
from tests.shared.deribit_chain import CRASH, deribit_chain_snapshot, read_chains
from tests.strategies.books import AS_OF, ASSETS, LATEST, future, market, option, perpetual, position, rules
from tests.strategies.domain import snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.margin import Rulebook

RULEBOOK = made('[charges.charge]\nis = "rate * notional"\nrate = 0.1')
NARROW = made('[charges.charge]\nis = "rate * notional"\nrate = 0.1', scope=("perpetual", "option", "asset"))
MANY = tuple(
    option(base, settle, days, strike, call=call)
    for base, settle, strikes in (("BTC", "BTC", (50_000.0, 60_000.0)), ("ETH", "USDC", (2_000.0, 2_400.0)))
    for days in (2, 50)
    for strike in strikes
    for call in (True, False)
)
PLAIN = (*MANY, *(future("BTC", "USDC", days) for days in (2, 50)), perpetual("BTC", "BTC"), perpetual("ETH", "USDC"))


def snapshot_of(listings: Iterable[Listing], assets: Mapping[str, AssetQuote] = ASSETS) -> Snapshot:
    return Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings={one.symbol: one for one in listings})


def row_by_row(
    listings: Mapping[str, Listing], assets: Sequence[str], snapshot: Snapshot, rulebook: Rulebook, limit: float | None
) -> Priced:
    """The slow, obvious way: a row for each contract, and the rows stacked."""
    reader = QuoteReader(snapshot, QuoteGuard(limit), rulebook)
    rows: dict[str, QuoteRow] = {}
    refused = {}
    for symbol, listing in listings.items():
        try:
            rows[symbol] = reader.instrument(symbol)
        except InputError as error:
            refused[len(rows)] = error.failure()
            rows[symbol] = unpriced(listing, snapshot)
    for asset in assets:
        try:
            rows[asset_key(asset)] = reader.asset(asset)
        except InputError as error:
            refused[len(rows)] = error.failure()
            rows[asset_key(asset)] = unpriced_asset(asset, snapshot)
    return Priced(*stacked(rows, snapshot), refused, reader.warnings)


def stacked(rows: Mapping[str, QuoteRow], snapshot: Snapshot) -> tuple[Names, Contracts]:
    every = list(rows.values())
    buckets = list(dict.fromkeys(row.bucket for row in every))
    assets = list(dict.fromkeys(x for row in every for x in (row.settle_asset, row.quote_asset, row.own_asset)))
    columns: dict[str, Any] = {"symbol": np.arange(len(every))}
    for field in fields(QuoteRow):
        values = [getattr(row, field.name) for row in every]
        if field.type == "str":
            values = [(buckets if field.name == "bucket" else assets).index(name) for name in values]
        columns[field.name] = np.asarray(values, dtype={"float": float, "bool": bool}.get(str(field.type), np.int64))
    roots = tuple(root_or_itself(name, snapshot) for name in assets)
    return Names(tuple(key.lstrip("\0") for key in rows), tuple(buckets), tuple(assets), ("",), roots), Contracts(
        **columns
    )


def assert_same(found: Priced, wanted: Priced) -> None:
    """Every bit of every column, but that one NaN is another."""
    assert found.names == wanted.names
    assert found.refused == wanted.refused
    assert list(found.warnings.items()) == list(wanted.warnings.items())
    for field in fields(Contracts):
        mine, theirs = getattr(found.contracts, field.name), getattr(wanted.contracts, field.name)
        assert mine.dtype == theirs.dtype, field.name
        assert bits(mine) == bits(theirs), f"{field.name}: {mine} is not {theirs}"


def bits(column: npt.NDArray[Any]) -> bytes:
    return (np.where(np.isnan(column), nan, column) if column.dtype == np.float64 else column).tobytes()


def check(
    snapshot: Snapshot,
    rulebook: Rulebook = RULEBOOK,
    *,
    listings: Mapping[str, Listing] | None = None,
    limit: float | None = 3600.0,
    assets: Sequence[str] | None = None,
) -> Priced:
    """Compare both ways, of a snapshot's own instruments unless others are given."""
    asked = snapshot.listings if listings is None else listings
    names = tuple(snapshot.assets) if assets is None else assets
    wanted = row_by_row(asked, names, snapshot, rulebook, limit)
    found = price(asked, names, ("",), snapshot, rulebook, limit)
    assert_same(found, wanted)
    return found


def plain_of(snapshot: Snapshot, rulebook: Rulebook = RULEBOOK) -> list[bool]:
    reader = QuoteReader(snapshot, QuoteGuard(3600.0), rulebook)
    return plain_quotes.read_plain(ContractTerms.of(snapshot.listings), reader).plain.tolist()  # type: ignore[no-any-return]


def with_one(changed: Listing) -> Snapshot:
    return snapshot_of([*PLAIN[:9], changed, *PLAIN[9:]])


# --- whole markets


@pytest.mark.parametrize("spec", LATEST)
def test_our_market_under_every_rulebook(spec: str) -> None:
    check(market(), rules(spec))


@given(snapshots(min_listings=1, max_listings=40), st.sampled_from([None, 60.0]))
def test_drawn_markets(snapshot: Snapshot, limit: float | None) -> None:
    check(snapshot, limit=limit)
    check(snapshot, NARROW, limit=limit)


def test_the_demo() -> None:
    snapshot = load_snapshot(Path(str(package_files("crossmargin.cli").joinpath("demo", "snapshot.json"))))
    assert not check(snapshot, rules("deribit-portfolio")).refused


def test_recorded_chains(shared: Path) -> None:
    chains = read_chains(shared, *CRASH)
    moments = sorted({chain.as_of for chain in chains})
    assert moments
    for moment in moments[:: max(len(moments) // 6, 1)]:
        snapshot = deribit_chain_snapshot([chain for chain in chains if chain.as_of == moment])
        found = check(snapshot, rules("deribit-portfolio"))
        assert len(found.contracts) > 1_000


def test_a_whole_market_is_plain() -> None:
    """Else the comparison would compare the one-by-one way with itself."""
    assert all(plain_of(snapshot_of(PLAIN)))
    checked = check(snapshot_of(PLAIN))
    assert not checked.refused
    assert not checked.warnings


# --- one field at a time

NUMBERS = ("mark_price", "index_price", "forward_price", "fixed_forward", "rate", "mark_iv", "bid", "ask",
           "funding_rate", "open_interest", "skew", "volume", "stable_price", "twap", "max_price",
           "delivery_price")  # fmt: skip
VALUES = (None, nan, -1.0, -1e-300, -0.0, 0.0, 5e-324, 1e-300, 0.5, 10.0, 10.000001, 1e308, inf, -inf, 7)
KINDS = {
    "perpetual": perpetual("BTC", "USDC"),
    "inverse": perpetual("ETH", "BTC", symbol="IN", contract=ContractKind.INVERSE),
    "future": future("ETH", "USDC"),
    "option": option("BTC", "USDC", 50, 61_000.0, call=True),
    "coin option": option("BTC", "BTC", 50, 61_000.0, call=False),
    "spot": perpetual("BTC", "USDC", symbol="SPOT", kind=InstrumentKind.SPOT),
    "quanto": perpetual("ETH", "USDC", symbol="Q", contract=ContractKind.QUANTO, settlement_asset="BTC"),
}


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_number_changed(kind: str, field: str) -> None:
    for value in VALUES:
        check(with_one(replace(KINDS[kind], **{field: value})))


@pytest.mark.parametrize("kind", KINDS)
def test_a_confidence_changed(kind: str) -> None:
    feeds = (Confidence(), Confidence(vol=0.2), Confidence(own=nan), Confidence(spot=-1.0))
    for value in (0.0, 1.0, 1, 0.3, -0.0, -0.1, 1.1, nan, *feeds):
        check(with_one(replace(KINDS[kind], confidence=value)))


def test_confidence_by_feed_is_plain_too() -> None:
    assert all(plain_of(with_one(replace(KINDS["option"], confidence=Confidence(vol=0.2)))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes",
    [
        {"multiplier": 0.0}, {"multiplier": nan}, {"multiplier": inf}, {"multiplier": -1.0}, {"multiplier": 3},
        {"strike": None}, {"strike": nan}, {"strike": 0.0}, {"strike": 55_000}, {"option_type": None},
        {"option_type": OptionType.PUT}, {"expiry": None}, {"expiry": AS_OF}, {"expiry": AS_OF - timedelta(days=1)},
        {"expiry": AS_OF, "delivery_price": 5.0}, {"expiry": AS_OF + timedelta(microseconds=1)},
        {"expiry": datetime(2030, 1, 1)},  # noqa: DTZ001 - without a zone, which is refused
        {"underlying": "DOGE"}, {"underlying": "STETH"}, {"underlying": "USD"}, {"quote_asset": "EUR"},
        {"quote_asset": "USDT"}, {"settlement_asset": "EUR"}, {"settlement_asset": "STETH"},
        {"settlement_asset": "USD"},
        {"underlying": "DOGE", "index_price": None}, {"underlying": "USD", "index_price": None},
        {"underlying": "STETH", "index_price": None, "quote_asset": "USDT"},
        {"contract": ContractKind.INVERSE}, {"contract": ContractKind.QUANTO}, {"kind": InstrumentKind.SPOT},
        {"observed_at": AS_OF}, {"observed_at": AS_OF - timedelta(hours=1)},
        {"observed_at": AS_OF - timedelta(hours=1, microseconds=1)}, {"observed_at": AS_OF + timedelta(hours=2)},
    ],
    ids=str,
)  # fmt: skip
def test_a_term_or_a_moment_changed(kind: str, changes: dict[str, Any]) -> None:
    changed = replace(KINDS[kind], **changes)
    before = with_one(KINDS[kind])
    for rulebook in (RULEBOOK, NARROW):
        for limit in (None, 3600.0):
            check(with_one(changed), rulebook, limit=limit)
            check(with_one(changed), rulebook, limit=limit, listings=before.listings)  # after the universe was made


def test_all_observed_and_one_too_early() -> None:
    seen = [replace(one, observed_at=AS_OF - timedelta(seconds=n)) for n, one in enumerate(PLAIN)]
    assert all(plain_of(snapshot_of(seen)))
    late = [*seen[:-1], replace(seen[-1], observed_at=AS_OF - timedelta(seconds=3601))]
    assert plain_of(snapshot_of(late)) == [True] * (len(PLAIN) - 1) + [False]
    assert len(check(snapshot_of(late)).refused) == 1


def test_a_moment_without_a_zone_is_left_to_the_reader() -> None:
    naive = with_one(replace(KINDS["perpetual"], observed_at=datetime(2026, 2, 5)))  # noqa: DTZ001 - the point
    dated = snapshot_of([replace(one, observed_at=AS_OF) for one in naive.listings.values() if one.observed_at is None])
    both = replace(naive, listings={**dated.listings, **{s: x for s, x in naive.listings.items() if x.observed_at}})
    for snapshot in (naive, both):
        with pytest.raises(TypeError):
            row_by_row(snapshot.listings, (), snapshot, RULEBOOK, 60.0)
        with pytest.raises(TypeError):
            price(snapshot.listings, (), ("",), snapshot, RULEBOOK, 60.0)


# --- assets


@pytest.mark.parametrize(
    "changes",
    [
        {"price": nan}, {"price": 0.0}, {"price": -1.0}, {"price": inf}, {"price": 3}, {"price": 1e-308},
        {"confidence": 1.5}, {"confidence": 0.5}, {"stable_price": 0.0}, {"twap": 5.0}, {"deposits": -1.0},
        {"borrows": 1.0}, {"wraps": "SOL"}, {"wraps": "DOGE"}, {"pegged_to": "USD"},
        {"observed_at": AS_OF - timedelta(days=1)}, {"observed_at": AS_OF},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", ["BTC", "ETH", "USDC", "USD"])
@pytest.mark.parametrize("index", [True, False])
def test_an_asset_changed(name: str, changes: dict[str, Any], index: bool) -> None:
    listed = PLAIN if index else [replace(one, index_price=None) for one in PLAIN]
    check(snapshot_of(listed, assets={**ASSETS, name: replace(ASSETS[name], **changes)}))


@pytest.mark.parametrize("name", list(ASSETS))
def test_an_asset_missing(name: str) -> None:
    assets = {asset: quote for asset, quote in ASSETS.items() if asset != name}
    for listed in (PLAIN, [replace(one, index_price=None) for one in PLAIN]):
        check(snapshot_of(listed, assets=assets), assets=tuple(ASSETS))


def test_wrappers_that_run_in_a_circle() -> None:
    assets = {**ASSETS, "ETH": AssetQuote(price=1.0, wraps="A"), "A": AssetQuote(price=1.0, wraps="ETH")}
    found = check(snapshot_of(PLAIN, assets=assets))
    symbols = {found.names.symbols[place] for place in found.refused}
    on_it = (one.symbol for one in PLAIN if "ETH" in {one.underlying, one.settlement_asset})
    assert symbols == {"ETH", "A", "STETH", *on_it}
    assert all("a loop" in failure.message for failure in found.refused.values())
    coins = [one for one in PLAIN if one.underlying == "BTC"]
    assert not check(snapshot_of(coins, assets=assets), assets=("USDC",)).refused  # who is not on it is not held up


def test_what_is_no_longer_listed() -> None:
    first = snapshot_of(PLAIN)
    fewer = snapshot_of([one for n, one in enumerate(PLAIN) if n % 3])
    assert len(check(fewer, listings=first.listings, assets=("USDC",)).refused) == len(PLAIN) - len(fewer.listings)
    check(snapshot_of([]), listings=first.listings)
    check(first, listings={})


def test_another_zone_and_a_listing_of_a_class_of_its_own() -> None:
    class Noted(Listing, frozen=True, kw_only=True):
        note: str = ""
        mark_price: float | None = None

    known = {name: getattr(KINDS["option"], name) for name in Listing.__struct_fields__}
    check(with_one(Noted(**known, note="x")))
    east = timedelta(hours=8)
    zoned = KINDS["option"].expiry
    assert zoned is not None
    check(with_one(replace(KINDS["option"], expiry=zoned.astimezone(tz=None).astimezone(UTC) + east)))


# --- the parts


def test_terms_are_prepared_once() -> None:
    terms = ContractTerms.of({one.symbol: one for one in PLAIN})
    assert ContractTerms.of(terms) is terms
    assert list(terms) == [one.symbol for one in PLAIN]
    assert terms[PLAIN[0].symbol] is PLAIN[0]
    assert len(terms) == len(PLAIN)
    snapshot = snapshot_of([replace(one, index_price=None) for one in PLAIN])
    assert_same(*(price(one, ("USDC",), ("",), snapshot, RULEBOOK, None) for one in (terms, dict(terms))))


@given(st.data())
def test_bounds_are_no_wider_than_the_readers(data: st.DataObject) -> None:
    """What is plain in columns, the reader takes, whatever several fields hold."""
    fieldset = data.draw(st.dictionaries(st.sampled_from(NUMBERS), st.one_of(st.sampled_from(VALUES), st.floats())))
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    check(with_one(replace(KINDS[kind], **fieldset)))


@pytest.mark.parametrize("age", [None, 3600.0])
def test_resolve_reads_many_as_it_reads_few(age: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    old = replace(PLAIN[3], observed_at=AS_OF - timedelta(days=2))
    bad = (replace(PLAIN[5], mark_price=None), replace(PLAIN[7], mark_iv=nan))
    snapshot = snapshot_of([one for one in PLAIN if one.symbol not in {x.symbol for x in (old, *bad)}] + [old, *bad])
    gone = Position(instrument="NOWHERE", quantity=position(PLAIN[0], 1).quantity)
    accounts = [Account(id=one.symbol, positions=(position(one, 1),)) for one in snapshot.listings.values()]
    whole = Account(id="whole", positions=tuple(held for account in accounts for held in account.positions))
    staker = Account(id="staker", positions=(gone,), balances={"STETH": gone.quantity})
    book = Book.from_accounts([*accounts, whole, staker])
    many = resolve(book, snapshot, RULEBOOK, max_quote_age_seconds=age)
    monkeypatch.setattr("crossmargin.margin.contract_columns._FEW", 10_000)
    few = resolve(book, snapshot, RULEBOOK, max_quote_age_seconds=age)
    assert many.names == few.names
    assert many.failures == few.failures
    assert many.warnings == few.warnings
    assert many.failures.keys() > {len(accounts), len(accounts) + 1}
    for field in fields(Contracts):
        np.testing.assert_array_equal(getattr(many.contracts, field.name), getattr(few.contracts, field.name))


def test_refused_rows_without_a_stand_in_are_left_out() -> None:
    snapshot = with_one(replace(KINDS["perpetual"], mark_price=None, settlement_asset="USDT"))
    reader = QuoteReader(snapshot, QuoteGuard(None), RULEBOOK)
    reading = read_contracts(ContractTerms.of(snapshot.listings), ["BTC", "DOGE", "USDC"], reader)
    names, contracts = contract_columns(reading, snapshot, np.dtype(np.float64), ("",))
    rows = {symbol: reader.instrument(symbol) for symbol in snapshot.listings if symbol != KINDS["perpetual"].symbol}
    rows |= {asset_key(asset): reader.asset(asset) for asset in ("BTC", "USDC")}
    assert_same(Priced(names, contracts, {}, {}), Priced(*stacked(rows, snapshot), {}, {}))
