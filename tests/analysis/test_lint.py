from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from crossmargin.analysis.lint import Finding, LintRule, check_semantics, lint, provenance, unverified_entries
from crossmargin.analysis.lint.finding import declared
from crossmargin.cli import main
from crossmargin.cli.exit_codes import ExitCode
from crossmargin.errors import FailureReason, RulebookError
from crossmargin.margin import parse_rulebook, with_values
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from pathlib import Path

    from crossmargin.margin import Rulebook

SOUND = """\
rulebook = { name = "sound", effective_from = 2025-06-01, reporting = "USDC", scope = ["perpetual", "option", "asset"] }
[sources]
S1 = { title = "help page", status = "exact" }
[scenarios]
source = "S1"
grid = [{ spot = [-0.2, 0, 0.2] }]
[charges.scan]
source = "S1"
kind = "scan"
level = "expiry"
of = ["perpetual", "option"]
scenarios = "grid"
close_out.expiry = { gain = "close_long", loss = "close_short" }
close_long = 0.9
close_short = 1.1
[charges.haircuts]
source = "S1"
of = "long coin"
haircut = true
is = "cut * value"
cut = { by = "asset", BTC = 0.1, default = 0.5 }
[charges.base]
source = "S1"
of = "perpetual"
is = "marginal(tiers, notional)"
tiers = [[1e6, 0.01], ["inf", 0.02]]
[values.holdings]
is = "value"
[equity]
adjusted = "holdings - haircuts"
[requirement]
maintenance = "scan + base"
initial = "1.5 * scan + 1.5 * base"
"""


WRONG: tuple[tuple[LintRule, str, str, str], ...] = (
    (LintRule.CHARGE_NOT_NEGATIVE, "charges.base.tiers", '["inf", 0.02]', '["inf", -0.02]'),
    (LintRule.HAIRCUT_LOWERS_VALUE, "charges.haircuts.cut.BTC", "BTC = 0.1", "BTC = -0.1"),
    (LintRule.HAIRCUT_LOWERS_VALUE, "charges.haircuts.cut.default", "default = 0.5", "default = 1.5"),
    (LintRule.HAIRCUT_LOWERS_VALUE, "equity.adjusted", '"holdings - haircuts"', '"holdings + holdings - haircuts"'),
    (LintRule.DEBT_COUNTS_IN_FULL, "equity.adjusted", "[values.holdings]", '[values.holdings]\nof = "long asset"'),
    (LintRule.CASH_RAISES_HEADROOM, "requirement.initial", '"1.5 * scan', '"2 * max(0, equity) + 1.5 * scan'),
    (LintRule.LONG_CLOSES_OUT_LOWER, "charges.scan.close_out.expiry.gain", "close_long = 0.9", "close_long = 1.1"),
    (LintRule.SHORT_CLOSES_OUT_HIGHER, "charges.scan.close_out.expiry.loss", "close_short = 1.1", "close_short = 0.9"),
    (LintRule.GROWS_WITH_QUANTITY, "requirement.maintenance", 'inf", 0.02', 'inf", -0.5'),
    (LintRule.FLAT_REQUIRES_NOTHING, "requirement.maintenance", '"scan + base"', '"scan + base + haircuts"'),
    (LintRule.INITIAL_COVERS_MAINTENANCE, "requirement.initial", "1.5 * scan", "0.5 * scan"),
    (
        LintRule.RAMP_CONTINUOUS,
        "charges.base.tiers",
        '"marginal(tiers, notional)"',
        '"ramp(tiers, notional) * notional"',
    ),
    (
        LintRule.STEP_DECLARED,
        "charges.base.tiers",
        '"marginal(tiers, notional)"',
        '"step(tiers, notional) * notional"',
    ),
    (LintRule.WEIGHT_WITHIN_ONE, "scenarios.grid.0.weight", "spot = [-0.2", "weight = [1, 2, 1], spot = [-0.2"),
    (LintRule.WEIGHT_WITHIN_ONE, "scenarios.grid.0.weight", "spot = [-0.2", "weight = -1, spot = [-0.2"),
    (LintRule.PRICE_STAYS_POSITIVE, "scenarios.grid.0.spot", "spot = [-0.2", "scale = 6, spot = [-0.2"),
    (
        LintRule.RESULT_DEFINED,
        "requirement",
        '"marginal(tiers, notional)"',
        '"marginal(tiers, notional) / (years / years)"',
    ),
    (
        LintRule.BRANCH_REACHED,
        "charges.base.is",
        '"marginal(tiers, notional)"',
        '"max(marginal(tiers, notional), -notional)"',
    ),
    (
        LintRule.VALUATION_EXPLAINED,
        "valuation",
        "[values.holdings]",
        '[valuation.value]\nasset = "quantity * price"\n[values.holdings]',
    ),
    (LintRule.SOURCE_USED, "sources.S2", "[scenarios]", 'S2 = { title = "a reply", status = "retold" }\n[scenarios]'),
    (LintRule.VERIFIED, "charges.base.tiers", "tiers = [[", 'unverified = ["tiers"]\ntiers = [['),
)


_MARGINAL = 'is = "marginal(tiers, notional)"'
SWEPT: tuple[tuple[LintRule, str, str], ...] = (
    (
        LintRule.PARAMETER_MONOTONE,
        "warning",
        'is = "marginal(tiers, notional) + odd * (1 - odd) * notional"\nodd = 0.5',
    ),
    (
        LintRule.PARAMETER_ONE_WAY,
        "note",
        'is = "marginal(tiers, notional) + (odd * long + (1 - odd) * short) * price"\nodd = 0.5',
    ),
    (LintRule.PARAMETER_MATTERS, "note", 'is = "marginal(tiers, notional) + max(0, odd - 1) * notional"\nodd = 0.1'),
)


def rulebook(old: str = "", new: str = "") -> Rulebook:
    """The sound rulebook, one text in it replaced."""
    assert old in SOUND
    return parse_rulebook(SOUND.replace(old, new, 1) if old else SOUND, "sound.toml")


def known(*whats: str) -> str:
    """Known defects, ready to stand at the head of a section."""
    return "".join(f'[[known_defects]]\nwhat = "{what}"\nsource = "S1"\n' for what in whats)


@pytest.mark.parametrize(("rule", "severity", "formula"), SWEPT)
def test_a_parameter_that_does_not_move_as_it_should_is_told(rule: LintRule, severity: str, formula: str) -> None:
    changed = rulebook(_MARGINAL, formula)
    found = {finding.path: finding for finding in lint(changed, sweep=True) if finding.rule == rule}
    assert found["charges.base.odd"].severity == severity
    assert not [finding for finding in lint(changed) if finding.rule == rule]


def test_a_step_that_the_rulebook_declares_is_its_rule() -> None:
    stepped = 'stepwise = ["tiers"]\nis = "step(tiers, notional) * notional"'
    assert lint(rulebook(_MARGINAL, stepped)) == ()
    with pytest.raises(RulebookError, match="names `tears`"):
        rulebook(_MARGINAL, stepped.replace('["tiers"]', '["tears"]'))


def test_in_a_sound_rulebook_nothing_is_found() -> None:
    assert lint(rulebook(), sweep=True) == ()
    assert lint(rulebook()) == ()
    check_semantics(rulebook())


@pytest.mark.parametrize(("rule", "path", "old", "new"), WRONG)
def test_what_is_wrong_is_found_where_it_stands(rule: LintRule, path: str, old: str, new: str) -> None:
    found = lint(rulebook(old, new))
    assert (rule, path) in {(finding.rule, finding.path) for finding in found}, found
    severities = {finding.severity for finding in found if finding.rule is rule}
    expected = {LintRule.BRANCH_REACHED: "warning", LintRule.SOURCE_USED: "warning", LintRule.VERIFIED: "note"}
    assert severities == {expected.get(rule, "error")}


def test_every_rule_has_a_wrong_rulebook() -> None:
    apart = {LintRule.DEFECT_FOUND, LintRule.AMOUNT_RESTORES}  # each has a test of its own
    assert {rule for rule, *_ in (*WRONG, *SWEPT)} | apart == set(LintRule)


@pytest.mark.parametrize(("path", "old", "new"), [row[1:] for row in WRONG if row[0] not in {
    LintRule.BRANCH_REACHED, LintRule.SOURCE_USED, LintRule.VALUATION_EXPLAINED, LintRule.VERIFIED,
}])  # fmt: skip
def test_an_error_refuses_the_rulebook(path: str, old: str, new: str) -> None:
    text = SOUND.replace(old, new, 1)
    with pytest.raises(RulebookError) as caught:
        check_semantics(rulebook(old, new), text)
    assert caught.value.reason is FailureReason.INVALID_RULEBOOK
    assert caught.value.line is not None or path == "requirement"
    assert str(caught.value).startswith("sound.toml")
    assert "lint rule" in str(caught.value)


def test_the_error_names_rule_entry_file_and_line() -> None:
    text = SOUND.replace("close_long = 0.9", "close_long = 1.1")
    with pytest.raises(
        RulebookError, match=r"^sound.toml:13: charges.scan.close_out.expiry.gain: a long is closed"
    ) as caught:
        check_semantics(parse_rulebook(text, "sound.toml"), text)
    assert text.splitlines()[12].startswith("close_out.expiry")
    assert "(lint rule long_closes_out_lower)" in str(caught.value)


def test_lint_finds_the_same_on_every_run() -> None:
    wrong = rulebook("BTC = 0.1", "BTC = -0.1")
    assert lint(wrong) == lint(wrong)


def test_messages_hold_figures_and_what_to_do() -> None:
    (finding,) = (f for f in lint(rulebook("1.5 * scan", "0.5 * scan")) if f.severity == "error")
    assert "more initial than maintenance headroom: " in finding.message
    assert "USDC; raise the initial" in finding.message


@pytest.mark.parametrize(
    ("what", "suppressed"),
    [
        ("`charges.scan.close_out` is swapped", True),
        ("`charges.scan` is swapped", True),
        ("`long_closes_out_lower` everywhere", True),
        ("`long_closes_out_lower` at `charges.scan`", True),
        ("`long_closes_out_lower` at `charges.base`", False),
        ("`charges.scan.close` is no entry above it", False),
        ("charges.scan.close_out without backticks", False),
    ],
)
def test_a_known_defect_covers_what_it_names(what: str, suppressed: bool) -> None:
    wrong = rulebook("close_long = 0.9", "close_long = 1.1")
    text = SOUND.replace("close_long = 0.9", "close_long = 1.1").replace("[scenarios]", known(what) + "[scenarios]", 1)
    declaring = parse_rulebook(text, "sound.toml")
    assert [finding.severity for finding in lint(wrong)] == ["error"]
    found = {finding.severity for finding in lint(declaring)}
    if suppressed:
        assert found == {"note"}
        check_semantics(declaring)
    else:
        assert found == ({"error", "warning"} if "`" in what else {"error"})


def test_a_defect_that_is_not_found_is_a_warning() -> None:
    (finding,) = lint(
        rulebook("[scenarios]", known("`charges.scan` was put right", "told in words only") + "[scenarios]")
    )
    assert (finding.rule, finding.path, finding.severity) == (LintRule.DEFECT_FOUND, "known_defects.0", "warning")
    assert declared([], rulebook()) == []


def test_ratios_may_be_negative_and_mean_nothing_for_equity() -> None:
    helper = (
        "[values.holdings]",
        '[charges.shift]\nsource = "S1"\nof = "perpetual"\nlevel = "account"\nis = "0 - 1"\n[values.holdings]',
    )
    text = SOUND.replace(*helper, 1).replace('"scan + base"', '"scan + base - 0 * shift * base"')
    assert not [finding for finding in lint(parse_rulebook(text)) if finding.severity == "error"]


def test_supplied_scenarios_are_lint_s_own() -> None:
    assert lint(rulebook("{ spot = [-0.2, 0, 0.2] }", '{ supplied = "returns" }')) == ()


def test_provenance_lists_every_number_with_its_source() -> None:
    book = rulebook("tiers = [[", 'unverified = ["tiers"]\ntiers = [[')
    rows = {row.path: row for row in provenance(book)}
    assert (rows["charges.scan.close_long"].value, rows["charges.scan.close_long"].source) == (0.9, "S1")
    assert not rows["charges.scan.close_long"].unverified
    assert rows["charges.base.tiers.0.1"].unverified
    assert unverified_entries(book) == {("charges", "base", "tiers"): 3}


def test_the_shipped_defect_is_a_note_until_it_is_put_right() -> None:
    swapped = {f.rule for f in lint(load_rulebook("derive-portfolio@2025-06-09")) if "known_defects" in f.message}
    assert swapped == {LintRule.LONG_CLOSES_OUT_LOWER, LintRule.SHORT_CLOSES_OUT_HIGHER}
    right = with_values(
        load_rulebook("derive-portfolio@2025-06-09"), {"charges.scan.base_long": 0.95, "charges.scan.base_short": 1.05}
    )
    assert LintRule.DEFECT_FOUND in {finding.rule for finding in lint(right)}


def test_findings_are_plain_data() -> None:
    finding = Finding(rule=LintRule.VERIFIED, path="a.b", message="said")
    assert finding.severity == "error"


@pytest.mark.parametrize(("old", "new", "says"), [
    ("BTC = 0.1", "BTC = -0.1", "charges.haircuts.cut.BTC"),
    ("close_short = 1.1", "close_short = 0.9", "short_closes_out_higher"),
])  # fmt: skip
def test_the_command_line_refuses_a_file_that_is_semantically_wrong(
    root: Path, tmp_path: Path, old: str, new: str, says: str
) -> None:
    file = tmp_path / "own.toml"
    demo = [str(root / "src" / "crossmargin" / "cli" / "demo" / name) for name in ("accounts.json", "snapshot.json")]
    file.write_text(SOUND.replace(old, new), encoding="utf-8")
    done = CliRunner().invoke(main, ["assess", *demo, "--rulebook", str(file), "--account", "flat"])
    assert done.exit_code == ExitCode.RULEBOOK
    assert "invalid_rulebook" in done.stderr
    assert says in " ".join(done.stderr.split())
    assert "own.toml:" in "".join(done.stderr.split())
    assert "Traceback" not in done.output
    file.write_text(SOUND, encoding="utf-8")
    assert (
        CliRunner().invoke(main, ["assess", *demo, "--rulebook", str(file), "--account", "flat"]).exit_code
        == ExitCode.OK
    )
