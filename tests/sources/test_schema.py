import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings

from crossmargin.account import Account
from crossmargin.errors import InputError
from crossmargin.market import Snapshot
from crossmargin.sources import SCHEMA_NAMES, encode_accounts, encode_snapshot, schema
from tests.strategies.domain import portfolios

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
# Valid for a schema, which sees one place at a time, and still refused: syntax, repeated names, uniqueness, ranges.
BEYOND_SCHEMA = {
    *("syntax.json", "truncated.json", "not-utf8.json", "nan-literal.json", "repeated-top-key.json"),
    *("repeated-asset.json", "duplicate-position.json", "duplicate-symbol.json", "other-major-version.json"),
    *("empty-id.json", "price-out-of-range.json"),
}
CHECKER = jsonschema.FormatChecker()


def with_zone(value: object) -> bool:
    return not isinstance(value, str) or value.endswith("Z") or value[-6:-5] in {"+", "-"}


CHECKER.checks("date-time")(with_zone)


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(name), format_checker=CHECKER)


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_a_schema_is_valid_and_names_its_version(name: str) -> None:
    document = schema(name)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$id"] == f"urn:crossmargin:{name}:1.0"
    json.dumps(document)


@pytest.mark.parametrize("name", ["accounts", "snapshot"])
def test_the_valid_vectors_satisfy_their_schema(name: str) -> None:
    validator(name).validate(json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["accounts", "snapshot"])
def test_the_invalid_vectors_break_their_schema(name: str) -> None:
    check = validator(name)
    for path in sorted((VECTORS / f"{name}-invalid").glob("*.json")):
        if path.name not in BEYOND_SCHEMA:
            assert not check.is_valid(json.loads(path.read_text(encoding="utf-8"))), path.name


@settings(max_examples=30)
@given(portfolios(max_accounts=2))
def test_what_is_written_satisfies_the_schema(portfolio: tuple[Snapshot, tuple[Account, ...]]) -> None:
    validator("snapshot").validate(json.loads(encode_snapshot(portfolio[0])))
    validator("accounts").validate(json.loads(encode_accounts(portfolio[1])))


@pytest.mark.parametrize("text", ["", "abc", "NaN", "Infinity", " 1", "1 ", "."])
def test_a_decimal_is_a_number(text: str) -> None:
    assert not validator("accounts").is_valid({"accounts": [{"id": "a", "balances": {"BTC": text}}]})


def test_an_infinite_ratio_is_null() -> None:
    ratio = schema("report")["properties"]["coverage_ratio"]
    assert {"type": "null"} in ratio["anyOf"]


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(InputError, match="accounts, snapshot, report, book"):
        schema("orders")
