import re
from pathlib import Path

import msgspec

from crossmargin.account import Account, Order, Position
from crossmargin.market import AssetQuote, Confidence, Listing
from crossmargin.sources import decode_accounts, decode_snapshot

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "interchange.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_are_read() -> None:
    accounts, snapshot = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (desk,) = decode_accounts(accounts.encode()).require()
    listings = decode_snapshot(snapshot.encode()).listings
    assert {position.instrument for position in desk.positions} <= set(listings)


def test_the_page_names_every_key() -> None:
    named = set(re.findall(r"\w+", PAGE))
    structs: tuple[type[msgspec.Struct], ...] = (Account, Position, Order, AssetQuote, Listing, Confidence)
    assert [key for struct in structs for key in struct.__struct_encode_fields__ if key not in named] == []
