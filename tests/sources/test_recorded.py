"""A record of accounts, made up: what is read, what it becomes in a clearing house, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from crossmargin.analysis.takeovers import Cause, Takeover, cut, judged, marks_of
from crossmargin.clearing import House, MemoryJournal, replay
from crossmargin.clearing.invariants import sums
from crossmargin.clearing.ledger import HELD, VAULT, WALLET
from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.recorded import Liquidated, Paid, Traded, read_recorded
from crossmargin.sources.replayed import AS_RECORDED, MONEY, replayed, scales_of

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2023, 3, 1)  # noqa: DTZ001 - as the tables have it: UTC without saying so
PAYMENTS = [(0, 1, 100.5), (0, 2, 50.0), (7200, 1, -0.25)]
TRADES = [
    (60, 1, "BTC", "Bid", 20000.0, 0.1),
    (60, 2, "ETH", "Ask", 1500.5, 0.25),
    (3660, 1, "BTC", "Ask", 18995.1, 0.1),
    (3660, 9, "BTC", "Bid", 18995.1, 0.1),
]
LIQUIDATIONS = [(3660, 1, 1918.0, 18.49, "Cross")]  # 0.1 at 19,180; taken at 18,995.1


def written(folder: Path, **changes: list[Any]) -> Path:
    columns = {
        "ledger": ["delta_usd"],
        "trades": ["coin", "side", "px", "sz"],
        "liquidations": ["liquidated_ntl_pos", "liquidated_account_value", "leverage_type"],
    }
    tables: dict[str, list[Any]] = {"ledger": PAYMENTS, "trades": TRADES, "liquidations": LIQUIDATIONS, **changes}
    for name, rows in tables.items():
        timed = [(START + timedelta(seconds=row[0]), *row[1:]) for row in rows]
        frame = pl.DataFrame(timed, schema=["ts", "account_id", *columns[name]], orient="row")
        frame.write_parquet(folder / f"small_{name}.parquet")
    return folder


def test_what_is_recorded_comes_in_order(tmp_path: Path) -> None:
    entries = read_recorded(written(tmp_path), "small")
    assert [type(entry) for entry in entries] == [Paid, Paid, Traded, Traded, Traded, Traded, Liquidated, Paid]
    assert entries[0].as_of == datetime(2023, 3, 1, tzinfo=UTC)
    assert isinstance(entries[3], Traded)
    assert (entries[3].account, str(entries[3].quantity), str(entries[3].price)) == ("2", "-0.25", "1500.5")
    scales = scales_of(entries)
    assert (scales.money, dict(scales.quantity)) == (3, {"BTC": 1, "ETH": 2})


def test_a_record_becomes_a_ledger(tmp_path: Path) -> None:
    house = House(MemoryJournal(), AS_RECORDED)
    (stood,) = replayed(read_recorded(written(tmp_path), "small"), house)
    assert stood.flat
    assert stood.left == Fraction("100.5") - Fraction("100.49")
    assert stood.hours == 2000
    assert stood.went_on
    row = judged(stood)
    assert (row.marks, row.at_bankruptcy, row.cause) == ((Fraction(19_180),), True, Cause.FUNDING)
    balances = house.state.balances
    assert balances[VAULT] == {}
    assert balances["9"][HELD, "BTC"] == 1
    assert balances["1"] == {(WALLET, MONEY): -240}
    assert sums(balances) == {}
    assert replay(house.journal).state == house.state


def test_a_liquidation_without_trades_shows_nothing(tmp_path: Path) -> None:
    place = written(tmp_path, liquidations=[(30, 3, 10.0, 0.05, "Isolated")])
    (stood,) = replayed(read_recorded(place, "small"), House(MemoryJournal(), AS_RECORDED))
    row = judged(stood)
    assert (row.gap, row.marks, row.at_bankruptcy, row.cause) == (None, None, False, None)


def test_a_value_of_the_whole_notional_gives_no_mark(tmp_path: Path) -> None:
    place = written(tmp_path, liquidations=[(3660, 1, 18.0, 18.0, "Cross")])
    (stood,) = replayed(read_recorded(place, "small"), House(MemoryJournal(), AS_RECORDED))
    assert marks_of(stood.takeover) is None


@pytest.mark.parametrize(
    ("price", "figures"),
    [("18995.19", "18995.1"), ("1.2345678", "1.23456"), ("0.0851931", "0.085193"), ("999999.9", "999999")],
)
def test_a_price_is_cut_to_six_figures_and_six_decimals(price: str, figures: str) -> None:
    assert cut(Fraction(price)) == Fraction(figures)


def test_nothing_recorded_is_nothing() -> None:
    house = House(MemoryJournal(), AS_RECORDED)
    assert replayed([], house) == ()
    assert house.state.number == 0
    nothing = Takeover("1", datetime(2023, 3, 1, tzinfo=UTC), Fraction(1), Fraction(0), cross=True, legs=())
    assert marks_of(nothing) is None


@pytest.mark.parametrize(
    ("table", "rows", "reason", "told"),
    [
        ("ledger", [(0, 1, 0.0)], FailureReason.INVALID_QUANTITY, "other than 0"),
        ("ledger", [(0, 1, float("nan"))], FailureReason.INVALID_QUANTITY, "finite number in column delta_usd"),
        ("ledger", [(0, 1, None)], FailureReason.MALFORMED_INPUT, "column delta_usd, found None"),
        ("trades", [(0, 1, "BTC", "Buy", 1.0, 1.0)], FailureReason.MALFORMED_INPUT, "Bid or Ask, found 'Buy'"),
        ("trades", [(0, 1, "BTC", "Bid", 0.0, 1.0)], FailureReason.INVALID_PRICE, "above 0, found 0"),
        ("trades", [(0, 1, "BTC", "Bid", 1.0, -1.0)], FailureReason.INVALID_QUANTITY, "above 0, found -1"),
        ("liquidations", [(0, 1, 0.0, 1.0, "Cross")], FailureReason.INVALID_QUANTITY, "notional above 0"),
        ("liquidations", [(0, 1, 1.0, 1.0, "Both")], FailureReason.MALFORMED_INPUT, "Cross or Isolated"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    tmp_path: Path, table: str, rows: list[Any], reason: FailureReason, told: str
) -> None:
    with pytest.raises(InputError, match=told) as error:
        read_recorded(written(tmp_path, **{table: rows}), "small")
    assert error.value.reason is reason
    assert error.value.path == f"small_{table}.parquet: row 1"


def test_a_table_that_is_absent_or_has_other_columns_is_refused(tmp_path: Path) -> None:
    place = written(tmp_path)
    pl.DataFrame({"ts": [START], "who": [1]}).write_parquet(place / "small_trades.parquet")
    with pytest.raises(InputError, match="are missing"):
        read_recorded(place, "small")
    (place / "small_trades.parquet").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_recorded(place, "small")


def test_a_record_whose_time_was_seen_before_is_refused(tmp_path: Path) -> None:
    entries = read_recorded(written(tmp_path), "small")
    house = House(MemoryJournal(), AS_RECORDED)
    replayed(entries, house)
    with pytest.raises(InputError, match="empty house"):
        replayed(entries, house)
