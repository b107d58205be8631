"""Conformance on cases of our own: every format reproduces, wrong figures and wrong shapes are told."""

import copy
import json
from collections.abc import Iterator
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossmargin.account import Account
from crossmargin.analysis.conformance import FamilyResult, run_conformance, sweep
from crossmargin.analysis.conformance.judge import Verdict
from crossmargin.cli.entry import main
from crossmargin.errors import InputError
from crossmargin.margin import assess
from crossmargin.margin.parser import parse_document
from crossmargin.sources import decode_accounts, decode_snapshot
from crossmargin.sources.cases import interchange_cases, load_cases
from tests.conformance.made import LOADED, documents

KNOWN = {
    ("derive_pmrm2", "portfolio_margin"): 1,
    ("derive_srm", "standard_margin"): 1,
    ("deribit_pme", "simulate"): 1,
    ("deribit_standard", "linear_perpetual"): 2,
    ("okx_portfolio", "position_builder"): 3,
    ("binance_usdm", "brackets"): 4,
}


def known(name: str, document: object) -> FamilyResult:
    return run_conformance({name: document}, LOADED).families[0]


def test_every_format_reproduces() -> None:
    report = run_conformance(documents(), LOADED)
    found = {(f.family, f.kind): f for f in report.families}
    assert [failure for family in report.families for failure in family.failures] == []
    assert {key: found[key].reproduced for key in KNOWN} == KNOWN
    assert {key: found[key].total for key in KNOWN} == KNOWN
    assert all(found[key].status == "reproduced" for key in KNOWN)
    assert all((found[key].worst_residual or 0.0) <= 1e-9 for key in KNOWN)


def test_what_nothing_reads_is_listed_and_not_failed() -> None:
    families = run_conformance(
        {"dir/venue_other.json": documents()["venue_other.json"], "x.json": [1]}, LOADED
    ).families
    assert [(f.family, f.kind, f.reproduced, f.total, f.status) for f in families] == [
        ("other", "auction", 0, 2, "not yet"),
        ("other", "case", 0, 1, "not yet"),
        ("other", "health", 0, 1, "not yet"),
        ("x", "document", 0, 1, "not yet"),
    ]
    assert all(f.worst_residual is None and f.failures == () for f in families)


@pytest.mark.parametrize("figure", ["IM", "basis_contingency", "option_mtm", "oracle_contingency", "im_loss_factor"])
def test_a_wrong_figure_is_told(figure: str) -> None:
    document = copy.deepcopy(documents()["made_portfolio.json"])
    document["cases"][0]["expected"][figure] += 0.001
    result = known("made.json", document)
    (failure,) = result.failures
    assert (result.reproduced, result.status) == (0, "differs")
    assert (failure.case, failure.figure, failure.tolerance) == ("made", figure, 1e-9)
    assert failure.residual is not None
    assert failure.residual > 1e-9


def test_the_file_states_its_tolerance() -> None:
    document = copy.deepcopy(documents()["made_portfolio.json"])
    document["cases"][0]["expected"]["scenario_pnl"][2] *= 1 + 1e-6
    assert [failure.figure for failure in known("made.json", document).failures] == ["scenario_pnl[2]"]
    document["cases"][0]["tolerance"]["scenario_pnl_rel"] = 1e-5
    assert known("made.json", document).failures == ()


@pytest.mark.parametrize(("shift", "met"), [(0.0, True), (0.999, True), (-0.002, False), (1.002, False)])
def test_cut_integers_are_cut_toward_zero(shift: float, met: bool) -> None:
    document = copy.deepcopy(documents()["made_standard.json"])
    case = document["cases"][0]
    exact = case["expected"]["IM"]
    whole = 700
    case["portfolio"]["cash"] += whole - exact + shift
    case["expected"] = {"IM_trunc": whole}
    assert (known("made.json", document).failures == ()) == met


def test_cut_zero_is_met_from_both_sides() -> None:
    document = copy.deepcopy(documents()["made_standard.json"])
    case = document["cases"][0]
    start, exact = case["portfolio"]["cash"], case["expected"]["IM"]
    case["expected"] = {"IM_trunc": 0}
    for left, met in ((0.9, True), (-0.9, True), (1.1, False), (-1.1, False)):
        case["portfolio"]["cash"] = start - exact + left
        assert (known("made.json", document).failures == ()) == met


def leaves(value: object, steps: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Steps to every value of a document, tables and lists too."""
    yield steps
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from leaves(part, (*steps, key))


def with_value(value: Any, steps: tuple[Any, ...], new: object) -> object:  # noqa: ANN401 - whatever JSON holds
    if not steps:
        return new
    out = copy.copy(value)
    out[steps[0]] = with_value(value[steps[0]], steps[1:], new)
    return out


@pytest.mark.parametrize("new", [None, "x", [], {}, -1, 0, 1e300, True, [[]], {"BTC-1JAN24": 1}])
@pytest.mark.parametrize("name", [name for name in documents() if name.startswith("made")])
def test_a_case_of_the_wrong_shape_is_a_row_and_never_a_traceback(name: str, new: object) -> None:
    """Every value of each document in turn is something else."""
    document = documents()[name]
    steps = list(leaves(document))
    step = max(1, len(steps) // 15)
    offset = len(repr(new)) % step  # each replacement meets other places
    for place in steps[offset::step]:
        report = run_conformance({name: with_value(document, place, new)}, LOADED)
        json.dumps(report.document(), allow_nan=False)
        for family in report.families:
            assert (
                family.reproduced + len({f.case for f in family.failures}) >= family.total or family.status == "not yet"
            )


def test_a_missing_key_is_named_with_its_place() -> None:
    document = copy.deepcopy(documents()["made_portfolio.json"])
    del document["cases"][0]["market"]["stable_price"]
    (failure,) = known("made.json", document).failures
    assert failure.figure == "case"
    assert "cases[0].market" in str(failure.computed)
    assert "'stable_price' is missing" in str(failure.computed)


def test_entries_of_one_contract_are_one_position() -> None:
    document = copy.deepcopy(documents()["made_portfolio.json"])
    options = document["cases"][0]["portfolio"]["options"]
    options[0]["amount"] /= 2
    options.append(dict(options[0]))
    assert known("made.json", document).failures == ()
    (case,) = interchange_cases(document)
    assert len({p.instrument for p in case.posed.account.positions}) == len(case.posed.account.positions)


def test_one_bad_case_leaves_the_others() -> None:
    document = copy.deepcopy(documents()["made_linear.json"])
    document["cases"].insert(0, {"sym": "ETH_USDC", "price": "high", "size": 1, "base": 1, "slope": 1, "kind": "IM"})
    result = known("made.json", document)
    assert (result.reproduced, result.total, len(result.failures)) == (2, 3, 1)


@pytest.mark.parametrize("name", [name for name in documents() if name.startswith("made")])
def test_each_case_in_the_interchange_gives_the_same_numbers(name: str) -> None:
    found = list(interchange_cases(documents()[name]))
    assert found
    for case in found:
        (account,) = decode_accounts(case.accounts).rows
        assert isinstance(account, Account)
        snapshot = decode_snapshot(case.snapshot)
        rulebook = parse_document(copy.deepcopy(dict(case.rulebook)))
        report = assess(account, snapshot, rulebook, max_quote_age_seconds=None, withdrawable=False)
        direct = case.posed.assess().report
        assert report.initial_margin == direct.initial_margin
        assert report.maintenance_margin == direct.maintenance_margin
        assert report.lines == direct.lines
        assert report.pools == direct.pools


def test_one_per_cent_of_a_parameter_is_noticed_and_the_line_named() -> None:
    chosen = {name: documents()[name] for name in documents() if name.startswith("made")}
    moved = sweep(chosen, LOADED)
    assert {m.parameter for m in moved if m.case is None and m.family == "derive_pmrm2"} == {
        "other_contingency.conf_threshold",  # lies between two confidences
        "skew_shock.min_k_star",  # floors that do not bind here
        "vol_shock.dte_floor_days",
        "vol_shock.min_vol_up_shock",
    }
    lines = {(m.family, m.parameter): m.lines for m in moved if m.case is not None}
    assert all(lines.values())
    assert lines["derive_pmrm2", "basis_contingency.add_factor"] == ("basis",)
    assert lines["derive_pmrm2", "other_contingency.im_option_pct"] == ("naked_options",)
    assert lines["derive_srm", "ETH.perp_im"] == ("perpetuals",)
    assert lines["okx_portfolio", "LTC.mr6_shock"] == ("mr6", "unit")
    assert "delta_shock" in lines["deribit_pme", "m_inc"]
    assert lines["binance_usdm", "rows[1].rate"] == ("perpetuals",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, document in documents().items():
        (tmp_path / name).write_text(json.dumps(document))
    return tmp_path


def test_a_directory_is_read_by_name(folder: Path) -> None:
    (folder / "README.md").write_text("no case")
    assert list(load_cases(folder)) == sorted(documents())
    assert load_cases(folder) == documents()


def test_a_file_that_is_no_json_is_refused_by_line(folder: Path) -> None:
    (folder / "broken.json").write_text('{\n "cases": [\n  {"id": }\n ]\n}')
    with pytest.raises(InputError, match=r"broken\.json:3:\d+"):
        load_cases(folder)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1" + "0" * 400])
def test_a_number_that_is_none_fails_its_case_only(folder: Path, number: str) -> None:
    name, place = "made_linear.json", "cases[1].price"
    document = documents()[name]
    document["cases"][1]["price"] = 12345678.5
    (folder / name).write_text(json.dumps(document).replace("12345678.5", number))
    found = {family.family: family for family in run_conformance(load_cases(folder), LOADED).families}
    (failure,) = found["deribit_standard"].failures
    assert place in str(failure.computed)
    assert found["deribit_standard"].reproduced == found["deribit_standard"].total - 1
    assert not found["derive_srm"].failures


@pytest.mark.parametrize("error", [ZeroDivisionError("Fraction(1, 0)"), OverflowError("too large"), InvalidOperation()])
def test_numbers_without_a_result_fail_their_case_only(error: ArithmeticError, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Verdict:
        raise error

    monkeypatch.setattr("crossmargin.analysis.conformance.judge.compare", fails)
    (found,) = run_conformance({"made": documents()["made_linear.json"]}, LOADED).families
    assert {failure.figure for failure in found.failures} == {"case"}
    assert all(f"no result: {error!r}" in str(failure.computed) for failure in found.failures)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is none in it"):
        load_cases(tmp_path)


def test_the_command_line_tells_the_same(folder: Path) -> None:
    ran = CliRunner().invoke(main, ["conformance", str(folder), "--format", "json"])
    told = json.loads(ran.output)
    assert ran.exit_code == 0
    assert told["families"] == run_conformance(load_cases(folder), LOADED).document()["families"]
    table = CliRunner().invoke(main, ["conformance", str(folder)])
    assert "derive_pmrm2" in table.output


def test_the_command_line_ends_with_5_where_a_case_differs(folder: Path) -> None:
    document = documents()["made_linear.json"]
    document["cases"][0]["expected"] += 1
    (folder / "made_linear.json").write_text(json.dumps(document))
    ran = CliRunner().invoke(main, ["conformance", str(folder), "--format", "json"])
    assert ran.exit_code == 5


def test_the_command_line_refuses_a_broken_file(folder: Path) -> None:
    (folder / "broken.json").write_text("{")
    ran = CliRunner().invoke(main, ["conformance", str(folder)])
    assert ran.exit_code not in {0, 5}
    assert "Traceback" not in ran.output
