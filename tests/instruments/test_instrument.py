"""Contract terms: what makes one well-defined contract, and what does not."""

from __future__ import annotations

from datetime import datetime
from math import inf, nan
from typing import Any

import pytest
from msgspec.structs import replace

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, Instrument, InstrumentKind, OptionType, check_terms
from tests.strategies.books import AS_OF, market, option, perpetual

PERPETUAL = perpetual("BTC", "USDC")
OPTION = option("BTC", "USDC", 50, 60_000.0, call=True)
FUTURE = market().listings["BTC-USDC-260327"]
SPOT = market().listings["ETH/USD"]


def test_every_instrument_of_the_market_is_well_defined() -> None:
    for listing in market().listings.values():
        check_terms(listing)


@pytest.mark.parametrize(
    ("instrument", "changes", "words"),
    [
        (PERPETUAL, {"multiplier": 0.0}, "multiplier must be a positive number, found 0"),
        (PERPETUAL, {"multiplier": -1.0}, "multiplier"),
        (PERPETUAL, {"multiplier": nan}, "multiplier"),
        (PERPETUAL, {"multiplier": inf}, "multiplier"),
        (PERPETUAL, {"expiry": AS_OF}, "perpetual has no expiry"),
        (PERPETUAL, {"strike": 1.0}, "neither strike nor option_type"),
        (PERPETUAL, {"option_type": OptionType.PUT}, "neither strike nor option_type"),
        (SPOT, {"expiry": AS_OF}, "spot has no expiry"),
        (SPOT, {"contract": ContractKind.QUANTO}, "spot is linear"),
        (FUTURE, {"expiry": None}, "future needs an expiry"),
        (FUTURE, {"expiry": datetime(2027, 1, 1)}, "zone"),  # noqa: DTZ001 - that is the point
        (OPTION, {"expiry": None}, "option needs an expiry"),
        (OPTION, {"strike": None}, "positive strike"),
        (OPTION, {"strike": 0.0}, "positive strike"),
        (OPTION, {"strike": -5.0}, "positive strike"),
        (OPTION, {"strike": inf}, "positive strike"),
        (OPTION, {"strike": nan}, "positive strike"),
        (OPTION, {"option_type": None}, 'option_type "call" or "put"'),
        (PERPETUAL, {"contract": ContractKind.INVERSE, "settlement_asset": "USD"}, "settles in the coin"),
    ],
)
def test_terms_that_make_no_contract(instrument: Instrument, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        check_terms(replace(instrument, **changes))
    assert refused.value.reason == FailureReason.INVALID_INSTRUMENT
    assert words in refused.value.message
    assert refused.value.instrument == instrument.symbol


def test_every_kind_has_an_instrument_here() -> None:
    assert {listing.kind for listing in market().listings.values()} == set(InstrumentKind)
    assert {listing.contract for listing in market().listings.values()} == set(ContractKind)
