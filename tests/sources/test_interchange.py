import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.account import Account, Position
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.instruments import InstrumentKind, check_terms
from crossmargin.market import AssetQuote, Confidence, Listing, Snapshot, check_quote
from crossmargin.sources import (
    LoadedAccounts,
    decode_accounts,
    decode_snapshot,
    encode_accounts,
    encode_snapshot,
    load_accounts,
    load_snapshot,
)
from tests.strategies.domain import portfolios, snapshots

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
MANIFEST: dict[str, Any] = json.loads((VECTORS / "manifest.json").read_text(encoding="utf-8"))


def named(entries: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=[entry["file"] for entry in entries])


def test_the_valid_vectors_read_as_written() -> None:
    loaded = load_accounts(VECTORS / "accounts.json")
    assert loaded.failures == ()
    desk, numbers, empty, liquidated = loaded.require()
    assert desk.class_ == "market-maker"
    assert desk.balances["STETH"] == Decimal("12.000000000000000001")
    assert [position.side for position in desk.positions[2:4]] == ["long", "short"]
    assert desk.positions[4].isolated_collateral == {"USDT": Decimal(8000)}
    assert numbers.balances == {"USDC": Decimal("1000.5"), "BTC": Decimal("1E-8")}
    assert numbers.positions[0].entry_price == Decimal(101250)
    assert empty == Account(id="empty")
    assert liquidated.being_liquidated_since == datetime(2026, 2, 5, 7, 59, 30, tzinfo=UTC)

    snapshot = load_snapshot(VECTORS / "snapshot.json")
    assert snapshot.as_of == datetime(2026, 2, 5, 8, tzinfo=UTC)
    assert len(snapshot.listings) == 9
    assert snapshot.listings["BTC-27MAR26-100000-C"].confidence == Confidence(vol=0.9, forward=0.95)
    assert snapshot.assets["STETH"].wraps == "ETH"
    assert snapshot.calibration["BTC"]["returns"] == [0.01, -0.02]


@named([entry for entry in MANIFEST["accounts"] if entry["scope"] == "file"])
def test_an_unreadable_accounts_file_is_refused_whole(entry: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        load_accounts(VECTORS / entry["file"])
    check(entry, caught.value)


@named([entry for entry in MANIFEST["accounts"] if entry["scope"] == "account"])
def test_one_bad_account_is_one_failure(entry: dict[str, Any]) -> None:
    loaded = load_accounts(VECTORS / entry["file"])
    assert [account.id for account in loaded.accounts] == ["good"]
    (failure,) = loaded.failures
    assert isinstance(loaded.rows[0], Failure)
    assert (failure.reason, failure.account) == (entry["reason"], entry["account"])
    assert entry["place"] in failure.message
    assert entry["says"] in failure.message
    with pytest.raises(InputError) as caught:
        loaded.require()
    assert caught.value.reason == entry["reason"]


@named(MANIFEST["snapshot"])
def test_a_malformed_snapshot_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        load_snapshot(VECTORS / entry["file"])
    check(entry, caught.value)


def check(entry: dict[str, Any], error: InputError) -> None:
    assert error.reason == entry["reason"]
    assert str(error).startswith(f"{Path(entry['file']).name}:")
    assert entry["place"] in (error.path or "")
    assert entry["says"] in error.message


def test_every_invalid_vector_is_in_the_manifest() -> None:
    listed = {entry["file"] for part in ("accounts", "snapshot") for entry in MANIFEST[part]}
    assert listed == {path.relative_to(VECTORS).as_posix() for path in VECTORS.glob("*-invalid/*.json")}


@settings(max_examples=50)
@given(portfolios(max_accounts=3))
def test_writing_and_reading_changes_nothing(portfolio: tuple[Snapshot, tuple[Account, ...]]) -> None:
    snapshot, accounts = portfolio
    assert decode_accounts(encode_accounts(accounts)).require() == accounts
    assert decode_snapshot(encode_snapshot(snapshot, indent=0)) == snapshot


@settings(max_examples=50)
@given(portfolios(max_accounts=3), st.integers(0, 2), st.sampled_from(["x", 3, {"id": "bad", "quantity": 1}]))
def test_a_bad_account_leaves_the_others_alone(
    portfolio: tuple[Snapshot, tuple[Account, ...]], place: int, bad: object
) -> None:
    document = json.loads(encode_accounts(portfolio[1]))
    document["accounts"].insert(place, bad)
    loaded = decode_accounts(json.dumps(document).encode())
    assert loaded.accounts == portfolio[1]
    assert len(loaded.failures) == 1


@given(st.binary(max_size=300))
def test_any_bytes_read_or_are_refused(content: bytes) -> None:
    refuses_or_reads(content)


@given(portfolios(), st.integers(0, 10_000), st.binary(max_size=6), st.integers(0, 6))
def test_a_damaged_document_reads_or_is_refused(
    portfolio: tuple[Snapshot, tuple[Account, ...]], place: int, put: bytes, cut: int
) -> None:
    for whole in (encode_accounts(portfolio[1]), encode_snapshot(portfolio[0])):
        at = place % len(whole)
        refuses_or_reads(whole[:at] + put + whole[at + cut :])


def refuses_or_reads(content: bytes) -> None:
    for decode in (decode_accounts, decode_snapshot):
        refusal = refusal_of(decode, content)
        name = f"{decode.__name__.removeprefix('decode_')}.json"
        assert refusal is None or (refusal.message and str(refusal).startswith(name))


def refusal_of(decode: Callable[[bytes], object], content: bytes) -> InputError | None:
    try:
        decode(content)
    except InputError as error:
        return error
    return None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["id", "balances", "positions", "orders", "inputs", "reported", "class", "confidence", "x"])


@given(st.dictionaries(keys, values, max_size=4), st.dictionaries(st.text(max_size=3), values, max_size=3))
def test_any_json_of_the_right_outline_reads_or_is_refused(account: dict[str, Any], assets: dict[str, Any]) -> None:
    snapshot = {"as_of": "2026-02-05T08:00:00Z", "reporting_asset": "USD", "assets": assets, "instruments": [account]}
    for document in ({"accounts": [account]}, snapshot):
        refuses_or_reads(json.dumps(document).encode())


@given(snapshots())
def test_drawn_listings_hold_one_contract_each(snapshot: Snapshot) -> None:
    for listing in snapshot.listings.values():
        check_terms(listing)
        check_quote(listing)


def test_times_are_read_in_utc() -> None:
    text = '{"accounts": [{"id": "a", "being_liquidated_since": "2026-02-05T10:00:00+02:00"}]}'
    (account,) = decode_accounts(text.encode()).require()
    assert account.being_liquidated_since == datetime(2026, 2, 5, 8, tzinfo=UTC)
    assert account.being_liquidated_since.tzinfo is UTC


def test_a_byte_order_mark_is_no_content() -> None:
    assert decode_accounts(b'\xef\xbb\xbf{"accounts": []}') == LoadedAccounts(())


def test_deep_nesting_is_refused() -> None:
    for decode, key in ((decode_accounts, "accounts"), (decode_snapshot, "calibration")):
        with pytest.raises(InputError, match="nested too deeply"):
            decode(f'{{"{key}": '.encode() + b'{"a": ' * 100_000)


def test_columns_count_characters_and_not_bytes() -> None:
    with pytest.raises(InputError, match=r"accounts\.json:2:6: "):
        decode_accounts('{"accounts": [\n"äöü"x]}'.encode())


def test_a_price_without_json_is_not_written() -> None:
    snapshot = Snapshot(
        as_of=datetime(2026, 2, 5, tzinfo=UTC),
        reporting_asset="USD",
        assets={"BTC": AssetQuote(price=float("nan"))},
        listings={},
    )
    listing = Listing(
        symbol="BTC", kind=InstrumentKind.PERPETUAL, underlying="BTC", quote_asset="USD", settlement_asset="USD"
    )
    # a contract that bears its coin's name hides nothing
    for written in (snapshot, msgspec.structs.replace(snapshot, listings={"BTC": listing})):
        with pytest.raises(InputError) as caught:
            encode_snapshot(written)
        assert caught.value.reason is FailureReason.INVALID_PRICE


def test_a_missing_file_is_refused() -> None:
    for load in (load_accounts, load_snapshot):
        with pytest.raises(InputError, match="cannot be read"):
            load(VECTORS / "absent.json")


def test_a_key_that_only_looks_like_a_pair_is_read() -> None:
    position = Position(instrument="P", quantity=Decimal(1), pool="a")
    account = Account(id="a", positions=(position, Position(instrument="P", quantity=Decimal(1), pool="b")))
    assert decode_accounts(encode_accounts([account])).require() == (account,)
