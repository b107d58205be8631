"""Every reason for which input is refused, met through the command line: exit code, place, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pytest

from crossmargin.cli.exit_codes import ExitCode
from crossmargin.cli.refusals import HINTS
from crossmargin.errors import FailureReason as R
from tests.bad_input.documents import FUTURE, OPTION, Document, accounts, listing, run, snapshot, write
from tests.margin.rulebook_texts import PLAIN, changed

if TYPE_CHECKING:
    from pathlib import Path

Spoil = Callable[[Document, Document], None]


class Case(NamedTuple):
    reason: R
    spoil: Spoil  # changes (accounts, snapshot) in place
    words: tuple[str, ...]  # what the refusal must name
    rulebook: str = "reference"


def _account(document: Document) -> Document:
    found: Document = document["accounts"][0]
    return found


def _held(document: Document, position: int = 0) -> Document:
    found: Document = _account(document)["positions"][position]
    return found


def _position(key: str, value: object, position: int = 0) -> Spoil:
    return lambda accounts, _: _held(accounts, position).update({key: value})


def _balance(asset: str, value: object) -> Spoil:
    return lambda accounts, _: _account(accounts)["balances"].update({asset: value})


def _quote(symbol: str, **changes: object) -> Spoil:
    def spoil(_: Document, market: Document) -> None:
        row = listing(market, symbol)
        row.update({key: value for key, value in changes.items() if value is not None})
        for key in (key for key, value in changes.items() if value is None):
            row.pop(key, None)

    return spoil


def _asset(name: str, **changes: object) -> Spoil:
    return lambda _, market: market["assets"][name].update(changes)


def _both(*spoils: Spoil) -> Spoil:
    def spoil(accounts: Document, market: Document) -> None:
        for one in spoils:
            one(accounts, market)

    return spoil


def _without_vols(_: Document, market: Document) -> None:
    for row in market["instruments"]:
        row.pop("mark_iv", None)


def _without_forwards(_: Document, market: Document) -> None:
    market["instruments"] = [row for row in market["instruments"] if row["kind"] != "future"]
    for row in market["instruments"]:
        row.pop("forward_price", None)


def _also_the_put(accounts: Document, market: Document) -> None:
    _account(accounts)["positions"].append({"instrument": OPTION[:-1] + "P", "quantity": "1"})
    listing(market, OPTION[:-1] + "P")["index_price"] = 60_100.0


_PAST = "2026-02-04T08:00:00Z"
CASES = {
    "repeated position": Case(
        R.DUPLICATE_POSITION, lambda a, _: _account(a)["positions"].append(dict(_held(a))), ("desk", "BTCUSDC", "merge")
    ),
    "repeated account": Case(
        R.DUPLICATE_ACCOUNT, lambda a, _: a["accounts"].append(dict(_account(a))), ("desk", "more than once")
    ),
    "repeated instrument": Case(
        R.DUPLICATE_INSTRUMENT,
        lambda _, m: m["instruments"].append(dict(m["instruments"][0])),
        ("BTCUSDC", "snapshot.json"),
    ),
    "instrument not listed": Case(R.UNKNOWN_INSTRUMENT, _position("instrument", "NOWHERE"), ("desk", "NOWHERE")),
    "asset not priced": Case(R.UNKNOWN_ASSET, _balance("DOGE", "-3"), ("desk", "DOGE")),
    "no figure for a coin": Case(
        R.UNKNOWN_PARAMETER,
        _both(_quote("ETHUSDC", underlying="DOGE"), _position("instrument", "ETHUSDC")),
        ("desk", "DOGE"),
        "deribit-standard",
    ),
    "undeclared input": Case(
        R.UNKNOWN_PARAMETER, lambda a, _: _account(a).update(inputs={"mmp": "1"}), ("desk", "mmp")
    ),
    "no mark": Case(R.MISSING_QUOTE, _quote("BTCUSDC", mark_price=None), ("desk", "BTCUSDC", "mark_price")),
    "no forward": Case(R.MISSING_QUOTE, _without_forwards, ("desk", OPTION, "forward_price")),
    "no vol anywhere": Case(R.MISSING_VOL, _without_vols, ("desk", OPTION, "mark_iv")),
    "no entry price": Case(
        R.MISSING_ENTRY_PRICE, lambda a, _: _held(a).pop("entry_price"), ("desk", "BTCUSDC", "entry_price")
    ),
    "stale quote": Case(R.STALE_QUOTE, _quote("BTCUSDC", observed_at=_PAST), ("desk", "BTCUSDC", "86,400 s")),
    "stale asset": Case(R.STALE_QUOTE, _asset("ETH", observed_at=_PAST), ("desk", "ETH")),
    "negative price": Case(R.INVALID_PRICE, _quote("BTCUSDC", mark_price=-5.0), ("desk", "BTCUSDC", "-5")),
    "price of zero": Case(R.INVALID_PRICE, _asset("ETH", price=0.0), ("desk", "ETH")),
    "negative entry price": Case(R.INVALID_PRICE, _position("entry_price", "-1"), ("desk", "BTCUSDC")),
    "confidence above 1": Case(R.INVALID_PRICE, _quote("BTCUSDC", confidence=2.0), ("desk", "confidence")),
    "quantity of zero": Case(R.INVALID_QUANTITY, _position("quantity", "0"), ("desk", "BTCUSDC", "quantity")),
    "quantity is NaN": Case(R.INVALID_QUANTITY, _position("quantity", "NaN"), ("desk", "BTCUSDC", "NaN")),
    "balance is infinite": Case(R.INVALID_QUANTITY, _balance("USDC", "Infinity"), ("desk", "USDC")),
    "terms": Case(R.INVALID_INSTRUMENT, _quote(OPTION, strike=-1.0), ("desk", OPTION, "strike")),
    "multiplier": Case(R.INVALID_INSTRUMENT, _quote("BTCUSDC", multiplier=0.0), ("desk", "BTCUSDC", "multiplier")),
    "expired and delivered": Case(
        R.EXPIRED, _quote(OPTION, expiry=_PAST, delivery_price=61_000.0), ("desk", OPTION, "61000", "settlement")
    ),
    "expired, not delivered": Case(
        R.AWAITING_SETTLEMENT, _quote(OPTION, expiry=_PAST), ("desk", OPTION, "delivery_price")
    ),
    "out of scope": Case(
        R.OUT_OF_SCOPE, lambda *_: None, ("desk", OPTION, "hyperliquid-cross", "perpetual"), "hyperliquid-cross"
    ),
    "future out of scope": Case(
        R.OUT_OF_SCOPE, _both(_position("instrument", FUTURE)), ("desk", FUTURE), "derive-portfolio"
    ),
    "rows that disagree": Case(R.INCONSISTENT_ROW, _also_the_put, ("desk", "index"), "derive-portfolio"),
    "no such rulebook": Case(R.UNKNOWN_RULEBOOK, lambda *_: None, ("refrence", "did you mean reference"), "refrence"),
    "rulebook not yet in force": Case(
        R.NOT_EFFECTIVE, lambda *_: None, ("binance-usdm", "2019-01-01"), "binance-usdm@2019-01-01"
    ),
}
_RULEBOOK_REASONS = {R.UNKNOWN_RULEBOOK, R.NOT_EFFECTIVE, R.INVALID_RULEBOOK}
_ELSEWHERE = {
    R.MALFORMED_INPUT, R.UNKNOWN_ACCOUNT, R.MISSING_CALIBRATION, R.INVALID_RULEBOOK, R.UNDEFINED_RESULT,
    R.NOT_CONVERGED,
}  # fmt: skip


# of the clearing house, which the command line does not reach: tests/clearing meets each
_OF_CLEARING = {
    R.OUT_OF_ORDER, R.TIME_BACKWARDS, R.INSUFFICIENT_MARGIN, R.NOT_HEALTHY, R.LOCKED_OUT, R.HALTED, R.ALREADY_ACCRUED,
    R.UNKNOWN_CASE, R.MOVED_ON, R.CONFIGURATION_DIFFERS, R.WRONG_SCHEMA_VERSION, R.CORRUPT_JOURNAL, R.FENCED,
}  # fmt: skip


def test_every_reason_has_a_case() -> None:
    assert {case.reason for case in CASES.values()} | _ELSEWHERE | _OF_CLEARING == set(R)


def test_compare_says_that_no_cash_is_enough(tmp_path: Path) -> None:
    counts = 'coins = { of = "asset", is = "value" }'
    not_at_all = 'coins = { of = "asset", is = "min(value * nothing, value)", nothing = 0, source = "S1" }'
    text = changed(PLAIN, (counts, not_at_all))
    rules = write(tmp_path / "blind.toml", text)
    held = accounts()
    _account(held)["positions"] = _account(held)["positions"][:1]
    paths = write(tmp_path / "accounts.json", held), write(tmp_path / "snapshot.json", snapshot())
    done = run("compare", *map(str, paths), "--rulebook", str(rules), "--format", "json")
    assert done.exit_code == ExitCode.INPUT_REFUSED, done.output
    assert json.loads(done.stdout)["rows"][0]["failure"]["reason"] == R.NOT_CONVERGED


def _files(tmp_path: Path, case: Case) -> tuple[str, str]:
    held, market = accounts(), snapshot()
    case.spoil(held, market)
    paths = write(tmp_path / "accounts.json", held), write(tmp_path / "snapshot.json", market)
    return str(paths[0]), str(paths[1])


@pytest.mark.parametrize("name", CASES)
def test_assess_refuses(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    done = run("assess", *_files(tmp_path, case), "--rulebook", case.rulebook)
    wanted = ExitCode.RULEBOOK if case.reason in _RULEBOOK_REASONS else ExitCode.INPUT_REFUSED
    assert done.exit_code == wanted, done.output
    told = done.output + done.stderr
    assert case.reason.value in told or case.reason.value.replace("_", " ") in told
    missing = [word for word in case.words if word not in " ".join(told.split())]
    assert not missing, told


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.reason != R.DUPLICATE_ACCOUNT])
def test_the_refusal_in_json(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    done = run("assess", *_files(tmp_path, case), "--rulebook", case.rulebook, "--format", "json")
    error = json.loads(done.stdout)["error"]
    assert error["reason"] == case.reason.value
    assert error["hint"] == HINTS[case.reason]
    named = " ".join(str(value) for value in error.values())
    assert [word for word in case.words if word not in named] == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.reason not in _RULEBOOK_REASONS])
def test_one_bad_account_is_one_row_of_a_book(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    held, market = accounts(), snapshot()
    case.spoil(held, market)
    held["accounts"] += [{"id": "good", "balances": {"USDC": "1"}}]
    paths = write(tmp_path / "accounts.json", held), write(tmp_path / "snapshot.json", market)
    done = run("assess", *map(str, paths), "--rulebook", case.rulebook, "--format", "json")
    if case.reason == R.DUPLICATE_INSTRUMENT:  # the market itself cannot be read
        assert done.exit_code == ExitCode.INPUT_REFUSED
        return
    assert done.exit_code == ExitCode.SOME_REFUSED, done.output
    document = json.loads(done.stdout)
    assert {failure["reason"] for failure in document["failures"]} == {case.reason.value}
    assert [report["account"] for report in document["accounts"]] == ["good"]
    assert document["accounts"][0]["initial_margin"] == 0


# --- documents that cannot be read

MALFORMED: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "not JSON": ('{"accounts": [\n  {"id": "desk",,}\n]}', ("accounts.json:2:",)),
    "empty": ("", ("accounts.json",)),
    "not UTF-8": (b'{"accounts": ["\xff"]}', ("accounts.json:1:", "UTF-8")),
    "no accounts": ('{"account": []}', ("accounts",)),
    "a list": ("[]", ("accounts.json",)),
    "a wrong type": ('{"accounts": [{"id": "desk", "balances": {"USD": "many"}}]}', ("desk", "USD", "many")),
    "an unknown key": ('{"accounts": [{"id": "desk", "balance": {}}]}', ("desk", "balances")),
    "a repeated key": ('{"accounts": [{"id": "desk", "id": "desk"}]}', ("id",)),
    "another version": ('{"schema_version": "9.0", "accounts": []}', ("9.0", "schema_version")),
    "nested without end": ("[" * 100_000, ("accounts.json",)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_accounts(name: str, tmp_path: Path) -> None:
    content, words = MALFORMED[name]
    path = write(tmp_path / "accounts.json", content)
    done = run("assess", str(path), str(write(tmp_path / "snapshot.json", snapshot())))
    assert done.exit_code == ExitCode.INPUT_REFUSED, done.output
    told = done.output + done.stderr
    assert "malformed_input" in told
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: m.pop("as_of"), ("snapshot.json", "as_of")),
        (lambda m: m.update(as_of="2026-02-05T08:00:00"), ("snapshot.json: $.as_of", "zone")),
        (lambda m: m["instruments"][0].update(kind="swap"), ("$.instruments[0]", "swap", "perpetual")),
        (lambda m: m["instruments"][0].update(mark_price="cheap"), ("$.instruments[0].mark_price", "number")),
        (lambda m: m["instruments"][0].pop("symbol"), ("$.instruments[0]", "symbol")),
        (lambda m: m["assets"]["BTC"].pop("price"), ("$.assets", "BTC", "price")),
        (lambda m: m["assets"]["BTC"].update(prise=1), ("price",)),
    ],
)
def test_malformed_snapshots(spoil: Callable[[Document], object], words: tuple[str, ...], tmp_path: Path) -> None:
    market = snapshot()
    spoil(market)
    paths = write(tmp_path / "accounts.json", accounts()), write(tmp_path / "snapshot.json", market)
    done = run("assess", *map(str, paths))
    assert done.exit_code == ExitCode.INPUT_REFUSED, done.output
    assert "malformed_input" in done.stderr
    assert [word for word in words if word not in done.stderr] == []


def test_files_that_are_not_there(tmp_path: Path) -> None:
    market = str(write(tmp_path / "snapshot.json", snapshot()))
    done = run("assess", str(tmp_path / "nothing.json"), market)
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "nothing.json" in done.stderr
    done = run("assess", str(tmp_path), market)
    assert done.exit_code == ExitCode.INPUT_REFUSED


def test_an_account_that_is_not_there(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{n}.json", d)) for n, d in (("accounts", accounts()), ("snapshot", snapshot()))]
    done = run("assess", *paths, "--account", "dosk")
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "unknown_account" in done.stderr
    assert "holds desk" in done.stderr


# --- what-if


@pytest.mark.parametrize(
    ("words", "reason", "named"),
    [
        (("--add", "NOWHERE:+1"), R.UNKNOWN_INSTRUMENT, "NOWHERE"),
        (("--add", f"{FUTURE}:+1", "--rulebook", "derive-portfolio"), R.OUT_OF_SCOPE, FUTURE),
        (("--order", "NOWHERE:+1@5"), R.UNKNOWN_INSTRUMENT, "NOWHERE"),
        (("--deposit", "DOGE:+1"), R.UNKNOWN_ASSET, "DOGE"),
        (("--deposit", "USDC:1", "--account", "nobody"), R.UNKNOWN_ACCOUNT, "nobody"),
        (("--deposit", "USDC:1", "--rulebook", "nothing"), R.UNKNOWN_RULEBOOK, "nothing"),
    ],
)
def test_what_if_refuses(words: tuple[str, ...], reason: R, named: str, tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{n}.json", d)) for n, d in (("accounts", accounts()), ("snapshot", snapshot()))]
    done = run("what-if", *paths, *words)
    assert done.exit_code == (ExitCode.RULEBOOK if reason in _RULEBOOK_REASONS else ExitCode.INPUT_REFUSED), done.output
    assert reason.value in done.stderr
    assert named in done.stderr


# --- rulebooks

_HAIRCUT = 'coins = { of = "asset", is = "value" }'
RULEBOOKS = {
    "not TOML": (("[charges.perpetuals]", "[charges.perpetuals"), ("own.toml:10",)),
    "an unknown section": (("[values]", "[valeus]"), ("own.toml:", "valeus")),
    "an unknown name": (("share * worth", "shares * worth"), ("own.toml:13", "shares", "did you mean `share`")),
    "overlapping tiers": (("[50_000, 0.004]", "[50_000, 0.004], [40_000, 0.01]"), ("own.toml:16", "tiers overlap")),
    "a number without a source": (('source = "S1"\nshare', "share"), ("own.toml:", "share", "source")),
    "money plus a rate": (
        ('"marginal(brackets, worth)"', '"marginal(brackets, worth) + share"'),
        ("own.toml:", "share"),
    ),
    "an unused line": (
        (
            'maintenance = "perpetuals"\ninitial = "1.3 * perpetuals"',
            'maintenance = "0 * coins"\ninitial = "0 * coins"',
        ),
        ("own.toml:", "unused", "perpetuals"),
    ),
    "code": (("1.3 * perpetuals", "__import__('os')"), ("own.toml:",)),
    "a name that is a measure": (("share = 0.5", "share = 0.5\nnotional = 0.5"), ("own.toml:", "notional")),
}


@pytest.mark.parametrize("name", RULEBOOKS)
def test_a_rulebook_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    swap, words = RULEBOOKS[name]
    path = write(tmp_path / "own.toml", changed(PLAIN, swap))
    market = str(write(tmp_path / "snapshot.json", snapshot()))
    held = str(write(tmp_path / "accounts.json", accounts()))
    for command in (("assess", held, market, "--rulebook", str(path)), ("rulebooks", "lint", str(path))):
        done = run(*command)
        assert done.exit_code == ExitCode.RULEBOOK, done.output
        assert "invalid_rulebook" in done.stderr
        assert [word for word in words if word not in done.stderr] == [], done.stderr


def test_a_haircut_that_raises_value_is_found_by_lint(tmp_path: Path) -> None:
    raising = 'coins = { of = "asset", is = "value * weight", weight = 1.2, source = "S1" }'
    path = write(tmp_path / "own.toml", changed(PLAIN, (_HAIRCUT, raising)))
    done = run("rulebooks", "lint", str(path), "--format", "json")
    assert done.exit_code == ExitCode.DIFFERENCES, done.output
    errors = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "error"]
    assert any("a balance counts for more than its value" in one["what"] for one in errors)


_SUPPLIED = """\
[scenarios]
history = [ { supplied = "returns" } ]
[charges.scan]
kind = "scan"
level = "account"
of = "perpetual"
scenarios = "history"
[charges.perpetuals]"""


def test_a_rulebook_that_wants_what_the_snapshot_lacks(tmp_path: Path) -> None:
    text = changed(
        PLAIN,
("[charges.perpetuals]", _SUPPLIED),
        ('maintenance = "perpetuals"', 'maintenance = "perpetuals + scan"'),
        ('"1.3 * perpetuals"', '"1.3 * perpetuals + scan"'),
    )  # fmt: skip
    held = accounts()
    _account(held)["positions"].pop()
    paths = [write(tmp_path / "accounts.json", held), write(tmp_path / "snapshot.json", snapshot())]
    done = run("assess", *map(str, paths), "--rulebook", str(write(tmp_path / "own.toml", text)))
    assert done.exit_code == ExitCode.INPUT_REFUSED, done.output
    assert "missing_calibration" in done.stderr
    assert "returns" in done.stderr


def test_formulas_that_give_no_number(tmp_path: Path) -> None:
    steep = changed(PLAIN, ("share * worth", "share * worth * exp(steep * funding_rate)"))
    text = changed(steep, ("leverage_limit = 20", "leverage_limit = 20\nsteep = 1000"))
    held, market = accounts(), snapshot()
    _account(held)["positions"].pop()
    listing(market, "BTCUSDC")["funding_rate"] = 1.0
    paths = [write(tmp_path / "accounts.json", held), write(tmp_path / "snapshot.json", market)]
    done = run("assess", *map(str, paths), "--rulebook", str(write(tmp_path / "own.toml", text)))
    assert done.exit_code == ExitCode.INPUT_REFUSED, done.output
    assert "undefined_result" in done.stderr
    assert "desk" in done.stderr
