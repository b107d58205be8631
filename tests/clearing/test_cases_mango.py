"""Mango's published liquidations, run through the state machine: instructions of a liquidator with his limits."""

from __future__ import annotations

from copy import deepcopy
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from crossmargin import AssetQuote, Snapshot, load_rulebook
from crossmargin.analysis.conformance import mango, mango_procedure
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.quote_positions import amount, asset_name
from crossmargin.clearing import Outside
from crossmargin.clearing.configuration import Section
from crossmargin.clearing.contracts import Asset
from crossmargin.clearing.events import Asked, Posted, Stage
from crossmargin.clearing.ledger import FUND, HELD, TREASURY, WALLET, Row
from crossmargin.clearing.views import paid
from tests.clearing.posed import DIGITS, Posed, units
from tests.clearing.published import case_at, cases_of

FILE = "mango_v4_health_liquidation"
PERPETUAL = "perpetual 0"
INSURANCE = "INSURANCE"
OTHERS = {"long": 3, "short": -2}


def mango_house(case: Fields, steps: frozenset[str] | None = None, document: str | None = None) -> Posed:
    """The account of a case, and a liquidator without an end of money who takes what is offered, and who has not.

    Of a loss the venue's insurance fund, and two others with open contracts, who bear what it cannot.
    """
    load = load_rulebook if document is None else lambda _: load_rulebook(document)
    rulebook, market = mango.market_of(case, load, mango_procedure._more(case))
    insured = {INSURANCE: AssetQuote(price=case.number("insurance_price"))} if "insurance_price" in case else {}
    market = Snapshot(
        as_of=market.as_of,
        reporting_asset=market.reporting_asset,
        assets={**market.assets, **insured},
        listings=market.listings,
    )
    lots = {f"perpetual {i}": _digits(amount(one, "base_lot_size", 1.0)) for i, one in enumerate(case.objects("perps"))}
    limits = mango_procedure._limits(case)
    outside = Outside(taker="liquidator", inputs=limits, steps=steps)
    posed = Posed(rulebook, market, outside, ("liqee", "liquidator", *OTHERS), quantity_digits=lots)
    posed.quote()
    rows: list[Row] = [*_others(case, lots)] if insured else []
    for token in case.needed("tokens"):
        asset = asset_name(token)
        rows.append(("liqee", WALLET, asset, units(amount(case.needed("tokens").needed(token), "balance", 0.0))))
        rows.append(("liquidator", WALLET, asset, 10 ** (DIGITS + 9)))
    for number, stated in enumerate(case.objects("perps")):
        symbol, asset = f"perpetual {number}", asset_name(stated.text("settle_token"))
        base = Fraction(repr(amount(stated, "base_lots", 0.0))) * Fraction(repr(amount(stated, "base_lot_size", 1.0)))
        rows.append(("liqee", HELD, symbol, units(base, lots[symbol])))
        rows.append(("liqee", f"basis:{symbol}", asset, units(amount(stated, "quote", 0.0))))
    posed.open(rows, in_case="liqee")  # the instructions go on with what has begun
    return posed


def _others(case: Fields, lots: dict[str, int]) -> list[Row]:
    """Return what the insurance fund holds, and others who hold contracts of the perpetual."""
    rows: list[Row] = [(FUND, WALLET, INSURANCE, units(amount(case, "insurance_fund", 0.0)))]
    price = case.objects("perps")[0].number("price")
    for owner, contracts in OTHERS.items():
        rows += [
            (owner, WALLET, "S", 10 ** (DIGITS + 6)),
            (owner, HELD, PERPETUAL, units(contracts, lots[PERPETUAL])),
            (owner, f"basis:{PERPETUAL}", "S", -units(contracts * price)),
        ]
    return rows


def _digits(lot: float) -> int:
    digits = next((d for d in range(19) if abs(lot - 10.0**-d) < 1e-12), None)
    if digits is None:
        pytest.skip(f"a lot of {lot} is no power of ten: the ledger has none such")
    return digits


def instruction(posed: Posed) -> Any:  # noqa: ANN401 - a state
    """The state after one round, as one call of an instruction leaves it."""
    posed.quote()
    over = next((r.number for r in posed.records if isinstance(r.event, Asked) and r.event.what == "wait"), None)
    return posed.state if over is None else posed.until(over)


@pytest.mark.parametrize("at", cases_of(FILE, {"liq_token_with_token", "liq_perp_base_or_positive_pnl"}))
def test_instructions(at: tuple[str, int]) -> None:
    case = case_at(at)
    expected, tolerance = case.needed("expected"), amount(case, "tolerance", 0.01)
    posed = mango_house(case)
    state = instruction(posed)
    liqee = state.balances.get("liqee", {})
    lots = posed.state.configuration.terms
    read = {
        "liqee_asset_after": lambda: liqee.get((WALLET, "A"), 0) / 10**DIGITS,
        "liqee_liab_after": lambda: liqee.get((WALLET, "L"), 0) / 10**DIGITS,
        "settle_token_after": lambda: liqee.get((WALLET, "S"), 0) / 10**DIGITS,
        "base_after": lambda: liqee.get((HELD, "perpetual 0"), 0) / 10 ** lots["perpetual 0"].contract.quantity_digits,
        "quote_after": lambda: liqee.get(("basis:perpetual 0", "S"), 0) / 10**DIGITS,
    }
    for key in expected:
        if key in read:
            assert read[key]() == pytest.approx(expected.number(key), abs=tolerance), key
        elif key == "success":
            told = [r.event for r in posed.records if r.number <= state.number]
            acted = any(isinstance(event, Asked) and event.what == "token" for event in told)
            assert acted == expected.flag(key)
        else:
            pytest.fail(f"nothing reads {key}")


@pytest.mark.parametrize("at", cases_of(FILE, {"liq_negative_pnl_or_bankruptcy"}))
def test_losses(at: tuple[str, int]) -> None:
    """Others' profit first, then the insurance fund through the liquidator, then every open contract alike."""
    case = case_at(at)
    expected, tolerance = case.needed("expected"), amount(case, "tolerance", 0.01)
    posed = mango_house(case, frozenset({"settle loss"}))
    before = posed.until(posed.state.number)
    posed.quote()
    after = posed.state

    def change(owner: str, purse: str, asset: str) -> float:
        old, new = (state.balances.get(owner, {}).get((purse, asset), 0) for state in (before, after))
        return (new - old) / float(10**DIGITS)

    liqee = after.balances.get("liqee", {})
    basis = f"basis:{PERPETUAL}"
    moved = [r.event.cause for r in posed.records if isinstance(r.event, Posted)]
    read = {
        "success": float(bool(moved)),
        "liqee_settle_token": liqee.get((WALLET, "S"), 0) / 10**DIGITS,
        "liqee_perp_quote": liqee.get((basis, "S"), 0) / 10**DIGITS,
        "liqor_settle_token": change("liquidator", WALLET, "S"),
        "liqor_perp_quote": change("liquidator", basis, "S"),
        "liqor_insurance_received": change("liquidator", WALLET, INSURANCE),
        "socialized_loss": -sum(change(owner, basis, "S") for owner in OTHERS),
    }
    for key in expected:
        value = float(expected.flag(key)) if key == "success" else expected.number(key)
        assert read[key] == pytest.approx(value, abs=tolerance), key
    assert sum(change(owner, WALLET, "S") for owner in OTHERS) == 0.0  # it stands with the contracts
    told = paid(posed.everything(), {"S": DIGITS, "O": DIGITS, INSURANCE: DIGITS}).values()
    layers = [layer for one in told for layer in one.layers.items()]
    by_all = sum(by_asset["S"] for word, by in layers for by_asset in by.values() if word == "open_interest")
    assert by_all / 10**DIGITS == pytest.approx(read["socialized_loss"], abs=1e-12)
    by_fund = sum(by_asset["S"] for word, by in layers for by_asset in by.values() if word == "fund")
    price = case.number("insurance_price") / case.needed("tokens").needed("S").number("price")
    assert by_fund / 10**DIGITS == pytest.approx(read["liqor_insurance_received"] * price, rel=1e-12)
    paid_by = {owner: -change(owner, basis, "S") for owner in OTHERS}
    assert paid_by["long"] * 2 == pytest.approx(paid_by["short"] * 3, abs=1e-12)
    if expected.flag("success"):  # of an account that has nothing nothing is looked at
        assert not before.cases.keys() & after.cases.keys()


AMENDED = """
rulebook = {{ name = "amended", effective_from = 2024-01-02, extends = "mango-v4@2024-01-01" }}
sources.T = {{ title = "a test", status = "inferred" }}
waterfall = [{{ pay = "fund", cap = "min((max_transfer - settled) * settle_price, fund)" }}, {{ pay = "{word}" }}]
"""


@pytest.mark.parametrize("word", ["deficit", "halt"])
def test_what_nobody_pays_of_a_loss(word: str, tmp_path: Path) -> None:
    """It is the venue's own debt, or new risk stops; what was paid and what was not are the loss."""
    at = next(one.values[0] for one in cases_of(FILE, {"liq_negative_pnl_or_bankruptcy"}) if "ins_2" in str(one.id))
    if at is None:
        pytest.skip("no published case is at hand")
    (tmp_path / "amended.toml").write_text(AMENDED.format(word=word))
    posed = mango_house(case_at(at), frozenset({"settle loss"}), str(tmp_path / "amended.toml"))
    posed.quote()
    (told,) = paid(posed.everything(), {"S": DIGITS}).values()
    assert told.loss["S"] == told.unpaid["S"] + sum(by["S"] for one in told.layers.values() for by in one.values())
    basis = (f"basis:{PERPETUAL}", "S")
    taken = -posed.state.balances.get(TREASURY, {}).get(basis, 0)
    assert taken == (told.unpaid["S"] if word == "deficit" else 0)
    assert posed.state.configuration.halts.openings == ((PERPETUAL,) if word == "halt" else ())


@pytest.mark.parametrize(("word", "balance"), [("halt", 4), ("deficit", 0.5)])
def test_no_position_stays_behind_a_loss_that_nobody_pays(word: str, balance: float, tmp_path: Path) -> None:
    """Whoever is locked away with contracts would gain and lose on them for ever; the debt itself stays or is taken."""
    at = next(one.values[0] for one in cases_of(FILE, {"liq_negative_pnl_or_bankruptcy"}) if "no_ins_2" in str(one.id))
    if at is None:
        pytest.skip("no published case is at hand")
    stated = deepcopy(dict(case_at(at).value))
    stated["perps"].append({**stated["perps"][0], "base_lots": 2, "quote": -4})
    stated["tokens"]["S"]["balance"] = balance
    (tmp_path / "amended.toml").write_text(AMENDED.format(word=word))
    posed = mango_house(Fields(stated, FILE), frozenset({"settle loss"}), str(tmp_path / "amended.toml"))
    posed.quote()
    held = posed.state.balances["liqee"]
    assert posed.state.pools["liqee"][""].stage == Stage.CLOSED
    assert not any(purse == HELD for purse, _ in held)
    assert held.get((f"basis:{PERPETUAL}", "S"), 0) == (-units(5) if word == "halt" else 0)


def test_a_fund_pays_to_the_unit_with_many_assets_of_which_one_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a unit that one sale brings count in the next; what has no price is not sold, and stops nothing."""
    at = next(one.values[0] for one in cases_of(FILE, {"liq_negative_pnl_or_bankruptcy"}) if "settle_3" in str(one.id))
    if at is None:
        pytest.skip("no published case is at hand")
    others, opening = _others, Posed.open

    def odd(case: Fields, lots: dict[str, int]) -> list[Row]:
        held: list[Row] = [(FUND, WALLET, asset, 1001) for asset in ("EXTRA", INSURANCE, "O")]
        return [*held, *(row for row in others(case, lots) if row[0] != FUND)]

    def listed(posed: Posed, rows: list[Row], *, in_case: str | None = None) -> None:
        known = posed.state.configuration.assets
        posed.desk.configure(Section.ASSETS, {**known, "EXTRA": Asset(digits=2, price_digits=2)})
        opening(posed, rows, in_case=in_case)

    monkeypatch.setattr(f"{__name__}._others", odd)
    monkeypatch.setattr(Posed, "open", listed)
    posed = mango_house(case_at(at), frozenset({"settle loss"}))
    posed.quote()
    (told,) = paid(posed.everything(), {"S": DIGITS}).values()
    assert told.layers["fund"] == {FUND: {"S": 2002}}  # 1501.5 and 500.5
    assert told.unpaid == {"S": 0}
    assert posed.state.balances[FUND] == {(WALLET, "EXTRA"): 1001}
