from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crossmargin.errors import RulebookError
from crossmargin.margin import parse_rulebook
from crossmargin.margin.model import Constant, Keyed, Tiers
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
rulebook = { name = "own", effective_from = 2025-06-01, reporting = "USDC", scope = ["perpetual", "asset"] }
[sources]
S1 = { title = "help page", status = "exact" }
[charges.base]
source = "S1"
of = "perpetual"
is = "marginal(tiers, notional) + rate * notional"
rate = { by = "bucket", file = "rates.csv", default = 0.5 }
[charges.base.tiers]
by = "instrument"
file = "brackets@2026-01-20.csv"
default = [["inf", 0.1]]
[equity]
adjusted = "equity"
[requirement]
maintenance = "base"
initial = "base"
"""
RATES = "key,value\nBTC,0.01\nETH,2e-2\n"
TIERS = 'key,upto,rate\nBTCUSDT,50000,0.004\nBTCUSDT,inf,0.01\n"ETH,USDT",inf,0.02\n'


def written(folder: Path, rates: str = RATES, tiers: str = TIERS, text: str = TEXT) -> str:
    (folder / "own.toml").write_text(text, encoding="utf-8")
    (folder / "rates.csv").write_text(rates, encoding="utf-8")
    (folder / "brackets@2026-01-20.csv").write_text(tiers, encoding="utf-8")
    return str(folder / "own.toml")


def keyed(spec: str, name: str) -> Keyed:
    found = load_rulebook(spec).charges["base"].parameters[name]
    assert isinstance(found, Keyed)
    return found


def test_the_tables_of_files_are_read_in(tmp_path: Path) -> None:
    spec = written(tmp_path)
    rates, tiers = keyed(spec, "rate"), keyed(spec, "tiers")
    assert {key: one.value for key, one in rates.entries.items() if isinstance(one, Constant)} == {
        "BTC": 0.01,
        "ETH": 0.02,
    }
    btc = tiers.entries["BTCUSDT"]
    assert isinstance(btc, Tiers)
    assert (btc.upto, btc.rate) == ((50_000, float("inf")), (0.004, 0.01))
    assert list(tiers.entries) == ["BTCUSDT", "ETH,USDT"]
    assert tiers.default is not None
    assert btc.provenance is not None
    assert btc.provenance.source == "S1"


def test_the_digest_covers_the_file(tmp_path: Path) -> None:
    before = load_rulebook(written(tmp_path)).digest
    assert load_rulebook(written(tmp_path)).digest == before
    assert load_rulebook(written(tmp_path, rates=RATES.replace("0.01", "0.011"))).digest != before


def test_a_file_with_a_byte_order_mark_and_windows_lines_reads_the_same(tmp_path: Path) -> None:
    before = load_rulebook(written(tmp_path)).digest
    assert load_rulebook(written(tmp_path, rates="\ufeff" + RATES.replace("\n", "\r\n"))).digest == before


def test_an_amendment_stands_on_the_file_of_its_base(tmp_path: Path) -> None:
    written(tmp_path, text=TEXT)
    (tmp_path / "own@2025-06-01.toml").write_text(TEXT, encoding="utf-8")
    later = 'rulebook = { name = "own", effective_from = 2025-07-01, extends = "own@2025-06-01" }\n'
    (tmp_path / "later.toml").write_text(later + "[charges.base.rate]\nBTC = 0.03\n", encoding="utf-8")
    entries = keyed(str(tmp_path / "later.toml"), "rate").entries
    assert [one.value for one in entries.values() if isinstance(one, Constant)] == [0.03, 0.02]


@pytest.mark.parametrize(
    ("rates", "line", "says"),
    [
        ("", 1, "the first line is `key,value` or `key,upto,rate`, found 'nothing'"),
        ("name,number\nBTC,1\n", 1, "found 'name,number'"),
        ("key,value\n", 1, "no entry"),
        ("key,value\nBTC\n", 2, "expected key,value, found 'BTC'"),
        ("key,value\nBTC,1,2\n", 2, "expected key,value"),
        ("key,value\n,1\n", 2, "expected key,value"),
        ("key,value\nBTC,much\n", 2, "a number is needed, found 'much'"),
        ("key,value\nBTC,nan\n", 2, "a finite number"),
        ("key,value\nBTC,1\n\nBTC,2\n", 4, "stands twice"),
        ('key,value\nBTC,"1\n', 2, "not CSV"),
        ("key,value\nsource,1\n", 2, "cannot be a key"),
        ("key,upto,rate\nBTC,10,1\nETH,inf,1\nBTC,inf,2\n", 4, "lie apart"),
        ("key,upto,rate\nBTC,inf,inf\n", 2, "a finite number"),
    ],
)
def test_errors_carry_file_and_line(tmp_path: Path, rates: str, line: int, says: str) -> None:
    with pytest.raises(RulebookError) as caught:
        load_rulebook(written(tmp_path, rates=rates))
    assert f"rates.csv:{line}: " in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.line == line


@pytest.mark.parametrize("file", ['"../rates.csv"', '"/etc/rates.csv"', '"rates.txt"', "7", '"a/b.csv"', '".csv"'])
def test_only_a_plain_name_is_a_file(tmp_path: Path, file: str) -> None:
    with pytest.raises(RulebookError, match=r"own\.toml:8: charges\.base\.rate: `file` is the plain name"):
        load_rulebook(written(tmp_path, text=TEXT.replace('"rates.csv"', file)))


def test_a_missing_file_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(RulebookError, match=r"own\.toml:8: charges\.base\.rate: absent\.csv cannot be read"):
        load_rulebook(written(tmp_path, text=TEXT.replace("rates.csv", "absent.csv")))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    spec = written(tmp_path)
    (tmp_path / "rates.csv").write_bytes(b"key,value\n\xff,1\n")
    with pytest.raises(RulebookError, match="not UTF-8"):
        load_rulebook(spec)


def test_a_key_stands_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(RulebookError, match=r"own\.toml:8: .*`BTC` stands in the table and in rates\.csv"):
        load_rulebook(written(tmp_path, text=TEXT.replace("default = 0.5", "BTC = 0.5")))


def test_what_tiers_must_be_is_still_checked(tmp_path: Path) -> None:
    with pytest.raises(RulebookError, match=r"own\.toml:9: charges\.base\.tiers\.BTC.*must reach to infinity"):
        load_rulebook(written(tmp_path, tiers="key,upto,rate\nBTCUSDT,5,0.1\n"))


def test_without_a_folder_the_parser_refuses_a_file() -> None:
    with pytest.raises(RulebookError, match="load the rulebook from its own folder"):
        parse_rulebook(TEXT)
