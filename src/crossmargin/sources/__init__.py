"""All reading and writing: files of the interchange, Parquet tables, what ccxt returns, rulebooks."""

from crossmargin.sources.ccxt_accounts import account_from_ccxt, balances_from_ccxt, position_from_ccxt
from crossmargin.sources.ccxt_markets import instruments_from_ccxt, listings_from_ccxt
from crossmargin.sources.compact_books import read_compact_book, write_compact_book
from crossmargin.sources.frames import (
    read_accounts,
    read_snapshot,
    write_accounts,
    write_report_parquet,
    write_snapshot,
)
from crossmargin.sources.interchange import (
    LoadedAccounts,
    decode_accounts,
    decode_snapshot,
    encode_accounts,
    encode_snapshot,
)
from crossmargin.sources.load import load_accounts, load_snapshot
from crossmargin.sources.rulebooks import ShippedRulebook, list_rulebooks, load_rulebook
from crossmargin.sources.schema import SCHEMA_NAMES, schema

__all__ = [
    "SCHEMA_NAMES",
    "LoadedAccounts",
    "ShippedRulebook",
    "account_from_ccxt",
    "balances_from_ccxt",
    "decode_accounts",
    "decode_snapshot",
    "encode_accounts",
    "encode_snapshot",
    "instruments_from_ccxt",
    "list_rulebooks",
    "listings_from_ccxt",
    "load_accounts",
    "load_rulebook",
    "load_snapshot",
    "position_from_ccxt",
    "read_accounts",
    "read_compact_book",
    "read_snapshot",
    "schema",
    "write_accounts",
    "write_compact_book",
    "write_report_parquet",
    "write_snapshot",
]
