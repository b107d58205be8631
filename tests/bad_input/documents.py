"""A small desk as JSON documents that a test can spoil, and the command line run on them."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from crossmargin.cli import main
from crossmargin.sources import encode_snapshot
from tests.strategies.books import future, option, perpetual, snapshot_of

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

Document = dict[str, Any]

OPTION = "BTC-USDC-260327-60000-C"
FUTURE = "BTC-USDC-260327"
_MARKET = json.loads(
    encode_snapshot(
        snapshot_of(
            [
                perpetual("BTC", "USDC"),
                perpetual("ETH", "USDC"),
                option("BTC", "USDC", 50, 60_000.0, call=True),
                option("BTC", "USDC", 50, 60_000.0, call=False),
                future("BTC", "USDC"),
            ]
        )
    )
)
_ACCOUNT = {
    "id": "desk",
    "balances": {"USDC": "100000", "ETH": "2"},
    "positions": [
        {"instrument": "BTCUSDC", "quantity": "1", "entry_price": "59000"},
        {"instrument": OPTION, "quantity": "-1"},
    ],
}


def snapshot() -> Document:
    """A market of five instruments, to be changed."""
    return deepcopy(_MARKET)


def accounts() -> Document:
    """One account, to be changed."""
    return {"accounts": [deepcopy(_ACCOUNT)]}


def listing(document: Document, symbol: str) -> Document:
    """One instrument of a snapshot document."""
    found: Document = next(one for one in document["instruments"] if one["symbol"] == symbol)
    return found


def write(path: Path, content: Document | str | bytes) -> Path:
    """A document as a file."""
    text = json.dumps(content, indent=1) if isinstance(content, dict) else content
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def run(*words: str) -> Result:
    """The command line in this process; an exception that it lets through fails the test."""
    done = CliRunner().invoke(main, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output + done.stderr
    assert "internal error" not in done.output + done.stderr
    return done
