"""What SPAN needs of `scan` and `pairing`: composite deltas, supplied rows, tiers of expiries, credits by bucket."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Position
from crossmargin.errors import FailureReason, InputError, RulebookError
from crossmargin.margin import MarginReport, Rulebook, assess, with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import years_between
from tests.margin.rules import made
from tests.strategies.books import (
    AS_OF,
    ASSETS,
    PRICE_RANGE,
    future,
    market,
    perpetual,
    position,
    random_accounts,
    rules,
    snapshot_of,
)
from tests.twins.span import composite_delta, inter_credits, risk_array, tier_spreads

SPAN, ARRAYS = "span@2020-06-19", "span-arrays@2020-06-19"
TIERS = (("near", 35.0), ("middle", 100.0), ("far", float("inf")))


def assessed(account: Account, spec: str | Rulebook, snapshot: Snapshot | None = None) -> MarginReport:
    rulebook = rules(spec) if isinstance(spec, str) else spec
    return assess(account, snapshot or market(), rulebook, withdrawable=False)


def years_of(listing: Listing) -> float | None:
    return None if listing.expiry is None else years_between(AS_OF, listing.expiry)


def lists_of_deltas(account: Account) -> dict[str, dict[object, tuple[float, float]]]:
    """By underlying and expiry: days (0 without expiry) and the composite delta."""
    found: dict[str, dict[object, tuple[float, float]]] = {}
    for held in account.positions:
        one = market().listings[held.instrument]
        years = years_of(one)
        delta = float(held.quantity) * composite_delta(one, years, PRICE_RANGE[one.underlying])
        expiries = found.setdefault(one.underlying, {})
        key: object = one.expiry or one.symbol
        _, so_far = expiries.get(key, (0.0, 0.0))
        expiries[key] = (0.0 if years is None else years * 365, so_far + delta)
    return found


def test_composite_deltas_are_the_weighted_deltas_of_seven_prices() -> None:
    options = 0
    for account in random_accounts(SPAN, 50, 60, orders=False):
        report = assessed(account, SPAN)
        wanted = sum(delta for expiries in lists_of_deltas(account).values() for _, delta in expiries.values())
        assert report.lines["composite_delta"].initial == pytest.approx(wanted, rel=1e-9, abs=1e-9)
        assert report.lines["net_delta"].initial == pytest.approx(wanted, rel=1e-9, abs=1e-9)
        options += any(market().listings[held.instrument].kind == "option" for held in account.positions)
    assert options > 20


def test_the_scan_is_the_worst_of_sixteen_rows() -> None:
    for account in random_accounts(SPAN, 51, 60, orders=False):
        rows: dict[str, list[float]] = {}
        for held in account.positions:
            one = market().listings[held.instrument]
            array = risk_array(
                one, years_of(one), PRICE_RANGE[one.underlying], 0.15 if one.underlying != "SOL" else 0.25
            )
            price = ASSETS[one.settlement_asset].price
            before = rows.setdefault(one.underlying, [0.0] * 16)
            rows[one.underlying] = [b + float(held.quantity) * x * price for b, x in zip(before, array, strict=True)]
        report = assessed(account, SPAN)
        tables = {t.row: t for pool in report.pools for t in pool.scenario_tables if t.line == "scan_risk"}
        for underlying, row in rows.items():
            assert [s.pnl for s in tables[underlying].scenarios] == pytest.approx(row, rel=1e-9, abs=1e-6)
        wanted = sum(max(0.0, -min(row)) for row in rows.values())
        assert report.lines["scan_risk"].initial == pytest.approx(wanted, rel=1e-9, abs=1e-6)


def test_supplied_arrays_give_what_computed_ones_give() -> None:
    """The twin's arrays in the snapshot's calibration, against the engine's own repricing."""
    for account in random_accounts(ARRAYS, 52, 60, orders=True):
        supplied, computed = assessed(account, ARRAYS), assessed(account, SPAN)
        assert supplied.initial_margin == pytest.approx(computed.initial_margin, rel=1e-9, abs=1e-6)
        assert supplied.maintenance_margin == pytest.approx(computed.maintenance_margin, rel=1e-9, abs=1e-6)


def test_spreads_between_tiers_of_expiries() -> None:
    charged = 0
    for account in random_accounts(SPAN, 53, 80, orders=False):
        report = assessed(account, SPAN)
        wanted = 0.0
        for underlying, expiries in lists_of_deltas(account).items():
            unit = ASSETS[underlying].price
            rates = {"within": 0.01 * unit, "beside": 0.015 * unit, "across": 0.02 * unit}
            pairs = [(name, name, rates["within"]) for name, _ in TIERS]
            pairs += [("near", "middle", rates["beside"]), ("middle", "far", rates["beside"])]
            pairs.append(("near", "far", rates["across"]))
            wanted += tier_spreads(list(expiries.values()), TIERS, pairs)
        assert report.lines["intra_commodity"].initial == pytest.approx(wanted, rel=1e-9, abs=1e-6)
        charged += wanted > 0
    assert charged > 20


_TWO_PAIRS = [{"of": ["BTC", "ETH"], "ratio": 20, "rate": 0.5}, {"of": ["BTC", "SOL"], "ratio": 300, "rate": 0.25}]


def test_credits_between_underlyings_in_listed_order() -> None:
    rulebook = with_values(rules(SPAN), {"charges.inter_commodity.pairs": _TWO_PAIRS})
    credited = 0
    for account in random_accounts(SPAN, 54, 120, orders=False):
        report = assessed(account, rulebook)
        deltas = {u: sum(delta for _, delta in expiries.values()) for u, expiries in lists_of_deltas(account).items()}
        worth = {u: PRICE_RANGE[u] * ASSETS[u].price for u in ("BTC", "ETH", "SOL")}
        credit = inter_credits(deltas, worth, [("BTC", "ETH", 20, 0.5), ("BTC", "SOL", 300, 0.25)])
        found = report.lines["inter_commodity"].initial
        assert found == pytest.approx(sum(credit.values()), rel=1e-9, abs=1e-6)
        credited += found > 0
    assert credited > 15


# --- by hand


def dollars(symbol: str, underlying: str, index: float, days: int | None = None) -> Listing:
    """A contract on one unit, settled in dollars, at its index."""
    kind: dict[str, Any] = {"symbol": symbol, "mark_price": index, "index_price": index}
    if days is None:
        return replace(perpetual("BTC", "USD", underlying=underlying), **kind)
    return replace(future("BTC", "USD", days, underlying=underlying), expiry=AS_OF + timedelta(days=days), **kind)


def priced(*listings: Listing, **calibration: object) -> Snapshot:
    assets = {one.underlying: AssetQuote(price=one.index_price or 0.0) for one in listings}
    changes = {"calibration": calibration} if calibration else {}
    return snapshot_of(listings, assets={**ASSETS, **assets}, **changes)


def holding(**quantities: float) -> Account:
    held = tuple(Position(instrument=name, quantity=Decimal(str(q))) for name, q in quantities.items() if q)
    return Account(id="a", positions=tuple(replace(one, entry_price=Decimal(1)) for one in held))


def test_a_portfolio_of_futures_by_hand() -> None:
    """BTC at 60,000 (range 25 %: 15,000), ETH at 3,000 (range 30 %: 900).

    Long 2 BTC in 30 days, short 1 in 60: net 1. Scan 15,000 (the far move: 0.35 x 30,000 = 10,500). One spread from
    the near tier to the middle one: 1.5 % of 60,000 = 900. Short 30 ETH: scan 27,000. One BTC against 20 ETH: credit
    0.5 x 15,000 = 7,500 on the one and 0.5 x 20 x 900 = 9,000 on the other.
    """
    near, middle = dollars("NEAR", "BTC", 60_000.0, 30), dollars("MIDDLE", "BTC", 60_000.0, 60)
    ether = dollars("ETHER", "ETH", 3_000.0)
    report = assessed(holding(NEAR=2, MIDDLE=-1, ETHER=-30), SPAN, priced(near, middle, ether))
    wanted = {
        "net_delta": 1 - 30,
        "scan_risk": 15_000 + 27_000,
        "intra_commodity": 900,
        "delivery": 0,
        "inter_commodity": 7_500 + 9_000,
        "short_option_minimum": 0,
        "commodity_risk": (15_000 + 900 - 7_500) + (27_000 - 9_000),
    }
    assert {name: report.lines[name].initial for name in wanted} == pytest.approx(wanted, rel=1e-12)
    assert report.maintenance_margin == pytest.approx(26_400, rel=1e-12)
    assert report.initial_margin == pytest.approx(29_040, rel=1e-12)


def test_the_last_days_cost_a_delivery_charge() -> None:
    near = dollars("NEAR", "BTC", 60_000.0, 4)
    report = assessed(holding(NEAR=-3), SPAN, priced(near))
    assert report.lines["delivery"].initial == pytest.approx(0.01 * 60_000 * 3)


# The worked example of a covered write (L. McMillan, Options as a Strategic Investment, chapter 34): what one contract
# long gains in each of the sixteen scenarios, and the requirement of 6,620.
_FUTURE = (0, 0, 3330, 3330, -3330, -3330, 6670, 6670, -6670, -6670, 10000, 10000, -10000, -10000, 7000, -7000)
_CALL = (460, -610, 2640, 1730, -1270, -2340, 5210, 4540, -2540, -3430, 8060, 7640, -3380, -3990, 3130, -1500)


@pytest.mark.parametrize(
    ("quantities", "loss", "row"), [((1, -1), 6_620, 13), ((0, 1), 3_990, 14), ((1, 0), 10_000, 13)]
)
def test_a_published_covered_write(quantities: tuple[int, int], loss: float, row: int) -> None:
    contract, call = dollars("SP", "SP500", 100.0, 30), dollars("SP-CALL", "SP500", 100.0, 30)
    arrays = {"SP": _FUTURE, "SP-CALL": _CALL}
    snapshot = priced(contract, call, risk_arrays=arrays, composite_deltas={"SP": [1], "SP-CALL": [0.5]})
    report = assessed(holding(**dict(zip(arrays, quantities, strict=True))), ARRAYS, snapshot)
    assert report.lines["scan_risk"].initial == loss
    (table,) = (table for table in report.pools[0].scenario_tables if table.line == "scan_risk")
    assert table.worst_scenario == f"risk_arrays {row}"


def test_a_published_credit_between_commodities() -> None:
    """CME's own example: corn 1,750, soybeans 2,500, 2:1 at 55 %: credit 3,300 of 6,000, and 2,700 left."""
    listings = (dollars("CORN", "CORN", 17_500.0), dollars("SOYBEANS", "SOYBEANS", 25_000.0))
    rulebook = with_values(
        rules(SPAN),
        {
            "parameters.price_scan_range": {"by": "bucket", "default": 0.10},
            "charges.inter_commodity.pairs": [{"of": ["SOYBEANS", "CORN"], "ratio": 2, "rate": 0.55}],
        },
    )
    report = assessed(holding(CORN=2, SOYBEANS=-1), rulebook, priced(*listings))
    assert report.lines["scan_risk"].initial == pytest.approx(6_000, rel=1e-12)
    assert report.lines["inter_commodity"].initial == pytest.approx(3_300, rel=1e-12)
    assert report.maintenance_margin == pytest.approx(2_700, rel=1e-12)


def test_short_options_cost_at_least_a_minimum_and_their_value() -> None:
    deep = [one for one in market().listings.values() if one.kind == "option" and one.settlement_asset == "USDC"]
    call = next(one for one in deep if one.option_type == "call" and one.strike == 75_000 and one.underlying == "BTC")
    report = assessed(Account(id="a", positions=(position(call, -10),)), SPAN)
    scan, minimum = (report.lines[name].initial for name in ("scan_risk", "short_option_minimum"))
    assert minimum == pytest.approx(0.02 * 0.25 * 60_000 * 10)
    value = report.lines["option_value"].initial
    assert value < 0
    spread = report.lines["delivery"].initial
    assert report.maintenance_margin == pytest.approx(max(minimum, scan + spread) - value)


# --- properties


def grown(account: Account, by: int) -> Account:
    return replace(account, positions=tuple(replace(held, quantity=held.quantity * by) for held in account.positions))


@pytest.mark.parametrize("spec", [SPAN, ARRAYS])
def test_requirements_grow_in_proportion(spec: str) -> None:
    for account in random_accounts(spec, 55, 40, orders=False):
        bare = replace(account, balances={})
        once, thrice = assessed(bare, spec), assessed(grown(bare, 3), spec)
        assert thrice.initial_margin == pytest.approx(3 * once.initial_margin, rel=1e-9, abs=1e-6)


def test_offsetting_legs_never_raise_the_scan() -> None:
    """Of any account's halves the scan together is at most the sum; what is held both ways costs nothing."""
    for account in random_accounts(SPAN, 56, 40, orders=False):
        half = len(account.positions) // 2
        parts = [replace(account, positions=p) for p in (account.positions[:half], account.positions[half:])]
        scans = [assessed(part, SPAN).lines["scan_risk"].initial for part in (*parts, account)]
        assert scans[2] <= scans[0] + scans[1] + 1e-6
        mirrored = tuple(replace(held, quantity=-held.quantity) for held in account.positions)
        both = replace(account, positions=(*account.positions, *mirrored), balances={})
        assert assessed(both, SPAN).initial_margin == pytest.approx(0, abs=1e-6)


# --- what is refused


def test_a_contract_without_a_supplied_row_is_refused_where_it_is_held() -> None:
    held = dollars("HELD", "BTC", 60_000.0)
    deltas = {"composite_deltas": {"HELD": [1]}}
    with pytest.raises(InputError, match="no row is supplied for HELD") as refused:
        assessed(holding(HELD=1), ARRAYS, priced(held, risk_arrays={"OTHER": _FUTURE}, **deltas))
    assert refused.value.reason == FailureReason.MISSING_CALIBRATION
    for broken in ({"HELD": [1, 2]}, {"HELD": "much"}, {"HELD": [float("nan")] * 16}, [1]):
        with pytest.raises(InputError, match="risk_arrays") as refused:
            assessed(holding(HELD=1), ARRAYS, priced(held, risk_arrays=broken, **deltas))
        assert refused.value.reason == FailureReason.MISSING_CALIBRATION


def test_rows_may_be_taken_in_another_order() -> None:
    body = '[scenarios]\nsome = [ { supplied = "risk_arrays", rows = 16, take = [13, 1, 14] } ]\n[charges.charge]\n'
    body += 'kind = "scan"\nlevel = "bucket"\nof = "future"\nscenarios = "some"\n'
    contract = dollars("SP", "SP500", 100.0, 30)
    snapshot = priced(contract, risk_arrays={"SP": _CALL})
    report = assessed(holding(SP=1), made(body), snapshot)
    assert [s.pnl for s in report.pools[0].scenario_tables[0].scenarios] == [-3380, 460, -3990]
    assert report.pools[0].scenario_tables[0].worst_scenario == "risk_arrays 14"


_SCAN = "[scenarios]\nmoves = [ { spot = [-0.1] } ]\n"
_ROW = _SCAN + '[values.charge]\nkind = "scan"\nlevel = "bucket"\nscenarios = "moves"\nmeasure = "row"\n'
_PAIRED = '[charges.charge]\nkind = "pairing"\nlevel = "bucket"\nof = "future"\nbetween = "{between}"\n{rest}'
_NEAR_FAR = 'tiers = { near = 35, far = "inf" }\n'
_TIERED = _PAIRED.format(between="expiry", rest=_NEAR_FAR + 'pairs = [ { of = ["%s"], rate = "price" } ]')


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (_ROW.replace("values", "charges"), "signed"),
        (_ROW + "fold.bucket = { gain = 0.5 }\n", "no fold"),
        (_ROW.replace('"row"', '"worst"\nexposure = "delta"').replace("values", "charges"), "deltas are no losses"),
        (_ROW.replace("{ spot = [-0.1] }", '{ supplied = "x", rows = 2, spot = [0.1] }'), "without axes"),
        (_ROW.replace("{ spot = [-0.1] }", '{ supplied = "x", rows = 2, take = [3] }'), "1 to `rows`"),
        (_ROW.replace("{ spot = [-0.1] }", '{ supplied = "x", take = [1] }'), "say `rows`"),
        (_TIERED % 'near", "further', "no tier 'further'"),
        (_TIERED.replace("rate =", "ratio = 2, rate =") % 'near", "near', "one to one"),
        (_TIERED.replace('"inf"', "90") % 'near", "far', "the last one is"),
        (_PAIRED.format(between="expiry", rest='pairs = [ { of = ["a", "b"], rate = 1 } ]'), "matches tiers"),
        (_PAIRED.format(between="bucket", rest='pairs = [ { of = ["BTC", "ETH"], rate = 1 } ]'), "`worth`"),
        (
            _PAIRED.format(between="bucket", rest='worth = "w"\npairs = [ { of = ["BTC", "ETH"], rate = 1 } ]'),
            "no measure or line 'w'",
        ),
        (
            _PAIRED.format(between="asset", rest='exposure = "vol"\npairs = [ { of = ["BTC", "ETH"], rate = 1 } ]'),
            "no measure or line 'vol'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(body: str, match: str) -> None:
    with pytest.raises(RulebookError, match=match):
        made(body)


def test_a_line_that_is_matched_is_no_coarser_than_what_it_is_matched_by() -> None:
    body = _PAIRED.format(
        between="expiry", rest=_NEAR_FAR + 'exposure = "net"\npairs = [ { of = ["near", "far"], rate = 1 } ]'
    )
    with pytest.raises(RulebookError, match="no coarser"):
        made(body + '\n[values.net]\nlevel = "bucket"\nis = "delta_value"\n')
    rulebook = made(body + '\n[values.net]\nof = "future"\nis = "delta_value"\n')
    near, far = dollars("NEAR", "BTC", 100.0, 30), dollars("FAR", "BTC", 100.0, 60)
    assert assessed(holding(NEAR=3, FAR=-2), rulebook, priced(near, far)).initial_margin == pytest.approx(200)


def test_without_worth_buckets_are_matched_at_account_level() -> None:
    body = _PAIRED.replace('"bucket"\nof', '"account"\nof').format(
        between="bucket", rest='exposure = "delta_value"\npairs = [ { of = ["BTC", "ETH"], rate = 0.1 } ]'
    )
    listings = dollars("B", "BTC", 100.0, 30), dollars("E", "ETH", 10.0, 30)
    assert assessed(holding(B=3, E=-5), made(body), priced(*listings)).initial_margin == pytest.approx(5)
    assert assessed(holding(B=3, E=5), made(body), priced(*listings)).initial_margin == 0


def test_a_row_of_pnl_is_its_sum() -> None:
    body = _ROW.replace("[-0.1]", "[-0.1, 0.3], weight = [0.5, 0.25]") + 'of = "future"\nreported_only = true\n'
    rulebook = made(body.replace("values.charge", "values.tilt") + "[charges.charge]\nis = '0 * notional'\n")
    report = assessed(holding(B=3), rulebook, priced(dollars("B", "BTC", 100.0, 30)))
    assert report.lines["tilt"].initial == pytest.approx(3 * 100 * (-0.05 + 0.075))
