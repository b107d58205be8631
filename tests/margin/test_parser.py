"""Every load-time error names the file, the line and what to do."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest

from crossmargin.errors import FailureReason, RulebookError
from crossmargin.margin.diff import diff_documents
from crossmargin.margin.expression import to_text
from crossmargin.margin.locate import dotted, locate, undotted
from crossmargin.margin.merge import leaves, replaced
from crossmargin.margin.model import CustomKind, Formula, Keyed, Scan, Slopes, Tiers, Variants
from crossmargin.margin.parser import numbers, parse_document, parse_rulebook, with_values
from tests.margin.rulebook_texts import PLAIN, SCAN, changed, line_with

PERPETUALS = "[charges.perpetuals]\n"
REQUIREMENT = '[requirement]\nmaintenance = "perpetuals"\n'

# what is broken | the text it is broken in | the swap | what the line of the error holds | the error | what to do
BROKEN = [
    ("toml", PLAIN, ("share = 0.5", "share = = 0.5"), "share", "not TOML", "correct the text"),
    ("section", PLAIN, ("[parameters]", "[parametres]"), "[parametres]", "unknown key", "did you mean `parameters`"),
    ("head key", PLAIN, ("reporting =", "reports ="), "rulebook =", "unknown key", "did you mean `reporting`"),
    ("name", PLAIN, ('name = "plain", ', ""), "rulebook =", "a text is needed", "nothing"),
    ("date", PLAIN, ("2025-06-01", '"2025-06-01"'), "rulebook =", "a date without quotes", "2025-06-01"),
    ("scope", PLAIN, ('"perpetual", "asset"', '"perpetuals"'), "rulebook =", "unknown kind", "did you mean `perp"),
    ("status", PLAIN, ('"retold"', '"told"'), "S2 =", "unknown word 'told'", "did you mean `retold`"),
    ("maintenance", PLAIN, ('maintenance = "perpetuals"\n', ""), "[requirement]", "needs `maintenance", "= "),
    ("initial", PLAIN, ('initial = "1.3 * perpetuals"\n', ""), "[requirement]", "needs `initial", "= "),
    ("equity", PLAIN, ('adjusted = "coins"\n', ""), "[equity]", "needs `adjusted", "= "),
    ("sources", PLAIN, ("S1 = {", "S3 = {"), "[parameters]", "unknown source 'S1'", "add it to [sources]"),
    ("kind", SCAN, ('kind = "scan"', 'kind = "scam"'), "scan.kind", "unknown word 'scam'", "did you mean `scan`"),
    ("level", SCAN, ('scan.level = "bucket"', 'scan.level = "buket"'), "scan.level", "unknown word", "`bucket`"),
    ("kind's level", SCAN, ('scan.level = "bucket"', 'scan.level = "leg"'), "scan.kind", "not at leg", "set `level`"),
    ("word", PLAIN, ('of = "perpetual"\n', 'of = "perp"\n'), 'of = "perp"', "unknown word 'perp'", "[tags]"),
    ("no rule", PLAIN, ('is = "value" }', 'of_all = "value" }'), "coins =", "either a formula", "is ="),
    ("measure", PLAIN, ("abs(quantity) * price", "abs(quantty) * price"), "where.worth", "`quantty`", "`quantity`"),
    ("name in line", PLAIN, ("share * worth", "shares * worth"), "is = {", "unknown name `shares`", "`share`"),
    ("requirement's name", PLAIN, ('"1.3 * perpetuals"', '"perpetual"'), "initial = ", "`perpetual`", "`perpetuals`"),
    ("variant", PLAIN, ('"1.3 * perpetuals"', '"perpetuals.maint"'), "initial = ", "`.maint`", "`maintenance`"),
    (
        "expression",
        PLAIN,
        ('"1.3 * perpetuals"', '"1.3 perpetuals"'),
        "initial = ",
        "column 5: an operator is missing",
        "+ - * /",
    ),
    ("shadow", PLAIN, ("coins = {", "delta = {"), "delta = {", "is a measure", "rename"),
    (
        "cycle",
        PLAIN,
        ('worth = "abs(quantity)', 'worth = "worth * abs(quantity)'),
        "where.worth",
        "reads itself",
        "break",
    ),
    ("tiers overlap", PLAIN, ("[[50_000", "[[60_000, 0.1], [50_000"), "brackets =", "tiers overlap", "sort"),
    ("tiers end", PLAIN, ('["inf", 0.005]', "[90_000, 0.005]"), "brackets =", "must reach to infinity", '"inf"'),
    ("tiers early", PLAIN, ("[[50_000", '[["inf", 0.1], [50_000'), "brackets =", "only the last tier", "never hold"),
    ("tiers pairs", PLAIN, ("[[50_000, 0.004]", "[[50_000]"), "brackets =", "pairs of bound and rate", "[[50_000, 0"),
    ("tiers read plainly", PLAIN, ("share * worth", "brackets * worth"), "brackets =", "a tier table", "marginal"),
    (
        "no tiers",
        PLAIN,
        ("marginal(brackets", "marginal(leverage_limit"),
        "leverage_limit =",
        "no tier table",
        "only there",
    ),
    ("number", PLAIN, ("leverage_limit = 20", "leverage_limit = true"), "leverage_limit", "finite number", "True"),
    ("nan", PLAIN, ("leverage_limit = 20", "leverage_limit = inf"), "leverage_limit", "finite number", "inf"),
    ("table", PLAIN, ("share = 0.5", "share = { BTC = 0.5 }"), "share = ", "neither a requirement nor `by`", "by ="),
    ("key", SCAN, ('by = "bucket"', 'by = "buckets"'), "width = ", "unknown word 'buckets'", "`bucket`"),
    (
        "variant missing",
        PLAIN,
        ("share = 0.5", "share = { maintenance = 0.5 }"),
        "share =",
        "no figure for `initial`",
        "add",
    ),
    ("literal", PLAIN, ("share * worth", "0.5 * worth"), "is = {", "name every number: 0.5", "make it a parameter"),
    ("literal in equity", PLAIN, ('"coins"', '"0.9 * coins"'), "adjusted = ", "name every number: 0.9", "parameter"),
    (
        "unused line",
        PLAIN,
        (PERPETUALS, 'other = { is = "pnl" }\n' + PERPETUALS),
        "other =",
        "unused line",
        "reported_only",
    ),
    ("unused own", PLAIN, ("share * worth", "worth"), "share = ", "nothing reads `share`", "delete it"),
    (
        "unused where",
        PLAIN,
        ("where.worth", "where.wide = 2\nwhere.worth"),
        "where.wide",
        "nothing reads `wide`",
        "delete",
    ),
    (
        "unused set",
        SCAN,
        ("[tags]", "other = [{ spot = [0] }]\n[tags]"),
        "other = [",
        "nothing reads `other`",
        "delete it",
    ),
    ("unused vol", SCAN, ("tenor =", 'vol.wide = "iv"\ntenor ='), "vol.wide", "nothing reads `wide`", "delete it"),
    ("unused helper", SCAN, ("tenor =", 'other = "iv"\ntenor ='), "other = ", "nothing reads `other`", "delete it"),
    ("unused input", SCAN, ('"unit + order_margin"', '"unit"'), "order_margin =", "nothing reads", "delete it"),
    ("unused tag", SCAN, ('"option", "hedging"', '"option"'), "hedging =", "no line's `of`", "delete it"),
    (
        "set",
        SCAN,
        ('scenarios = "grid"', 'scenarios = "gird"'),
        "scan.scenarios",
        "no scenario set",
        "did you mean `grid`",
    ),
    ("vol", SCAN, ('"same", "down"', '"same", "don"'), "grid =", "no shocked vol 'don'", "did you mean `down`"),
    ("same", SCAN, ("vol.up", "vol.same"), "vol.same", "the vol as it is", "another name"),
    ("spot", SCAN, ("[-0.66, 5]", "[-66, 5]"), "grid =", "fractions in [-1, 10]", "0.15 for 15 %"),
    ("axis", SCAN, ("spot = [-0.66, 5]", "spots = [-0.66, 5]"), "grid =", "unknown key", "did you mean `spot`"),
    (
        "confidence",
        SCAN,
        ("scan.drop", 'scan.measure = "mean"\nscan.confidence = 0.99\nscan.drop'),
        "scan.measure",
        "goes with",
        "only",
    ),
    ("fold level", SCAN, ("close_out.expiry", "close_out.expire"), "close_out.expire", "unknown level", "`expiry`"),
    (
        "coarser",
        SCAN,
        ('"rate_of * max(0, -quantity) * index"', '"rate_of * notional + scan"'),
        "naked.is",
        "money of the bucket",
        "at bucket level",
    ),
    (
        "equity below",
        PLAIN,
        ('is = "value" }', 'is = "value + equity" }'),
        "coins =",
        "money of the account",
        "at account level",
    ),
    (
        "crossing",
        SCAN,
        ('naked.level = "strike"', 'naked.level = "asset"'),
        "unit = { level",
        "cut across",
        "account level",
    ),
    (
        "twice",
        PLAIN,
        ("share = 0.5", "share = 0.5\ncoins = 2"),
        "coins = {",
        "in [parameters] and in [values]",
        "rename one",
    ),
    ("where twice", PLAIN, ("where.worth", "worth = 1\nwhere.worth"), "where.worth", "and in its `where`", "keep one"),
    ("identifier", PLAIN, ("share = 0.5", "max = 0.5"), "max = ", "no name for a formula", "letters"),
    (
        "pools",
        PLAIN,
        ("[values]", '[pools]\nby = "asset"\n[values]'),
        'by = "asset"',
        "unknown word 'asset'",
        "there are account",
    ),
    ("target", SCAN, ('target = "initial"', 'target = "inital"'), "target =", "unknown word 'inital'", "`initial`"),
    (
        "trigger",
        SCAN,
        ("adjusted_equity < 0.9 * maintenance", "adjusted_equity"),
        "trigger =",
        "one comparison",
        "adjusted_equity <",
    ),
    (
        "defect",
        PLAIN,
        ("[values]", '[[known_defects]]\nwhat = "w"\nsource = "X"\n[values]'),
        'source = "X"',
        "unknown word 'X'",
        "S1",
    ),
    (
        "extends",
        PLAIN,
        ('name = "plain"', 'name = "plain", extends = "other@2024-01-01"'),
        "rulebook =",
        "cannot be found",
        "name@2024-04-01",
    ),
]


@pytest.mark.parametrize(
    ("text", "swap", "held", "message", "advice"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN]
)
def test_an_error_names_file_line_and_what_to_do(
    text: str, swap: tuple[str, str], held: str, message: str, advice: str
) -> None:
    broken = changed(text, swap)
    with pytest.raises(RulebookError) as caught:
        parse_rulebook(broken, "book.toml")
    said = str(caught.value)
    assert caught.value.line == line_with(broken, held), said
    assert said.startswith(f"book.toml:{caught.value.line}: ")
    assert message in said
    assert advice in said
    assert caught.value.reason is FailureReason.INVALID_RULEBOOK


def test_the_texts_that_are_broken_here_load_when_whole() -> None:
    assert parse_rulebook(PLAIN).lines.keys() == {"coins", "perpetuals"}
    assert parse_rulebook(SCAN).lines.keys() == {"scan", "naked", "unit"}


def test_a_line_is_data() -> None:
    line = parse_rulebook(PLAIN).line("perpetuals")
    assert isinstance(line.spec, Variants)
    assert line.of == (frozenset({"perpetual"}),)
    assert line.parameters.keys() == {"worth", "leverage_limit", "brackets"}
    brackets = line.parameters["brackets"]
    assert isinstance(brackets, Tiers)
    assert brackets.upto == (50_000.0, float("inf"))


def test_a_scan_and_its_scenarios_are_data() -> None:
    rulebook = parse_rulebook(SCAN)
    spec = rulebook.line("scan").spec
    assert isinstance(spec, Scan)
    assert isinstance(spec.close_out["expiry"], Slopes)
    first, second = rulebook.scenarios["grid"]
    assert first.vol == ("up", "same", "down")
    assert second.vol == ("same",)
    assert second.rate == (0.0,)
    assert isinstance(rulebook.parameters["width"], Keyed)
    assert rulebook.line("naked").of == (frozenset({"short", "option"}),)


def test_the_trigger_has_a_default() -> None:
    assert to_text(parse_rulebook(PLAIN).procedure.liquidation.trigger.tree) == "adjusted_equity < maintenance"


def test_a_reported_line_needs_no_reader() -> None:
    text = changed(PLAIN, ("coins = {", 'shown = { is = "pnl", reported_only = true }\ncoins = {'))
    assert "shown" in parse_rulebook(text).values


def test_a_kind_from_outside_makes_its_own_parameters() -> None:
    text = changed(
        PLAIN, ("coins = {", 'reserve = { kind = "ours", level = "account", depth = 2, source = "S1" }\ncoins = {')
    )
    text = changed(text, ('adjusted = "coins"', 'adjusted = "coins + reserve"'))
    ours = CustomKind(read=dict, compute=lambda evaluation, *_: np.zeros(evaluation.row_count("account")))
    rulebook = parse_rulebook(text, extra_kinds={"ours": ours})
    assert rulebook.line("reserve").spec.parameters == {"depth": 2}
    assert rulebook.line("reserve").kind == "ours"


def test_every_number_can_be_moved() -> None:
    for text in (PLAIN, SCAN):
        rulebook = parse_rulebook(text)
        found = numbers(rulebook)
        assert found
        for path, value in found.items():
            moved = with_values(rulebook, {path: value + 0.001})
            assert moved.digest != rulebook.digest
            assert numbers(moved) == {**found, path: value + 0.001}
    assert numbers(parse_rulebook(PLAIN))["charges.perpetuals.brackets.0.0"] == 50_000
    assert numbers(parse_rulebook(SCAN))["parameters.third"] == pytest.approx(1 / 3)


def test_moving_an_unknown_number_is_refused_with_the_nearest() -> None:
    with pytest.raises(RulebookError, match=r"no entry 'parameters.shar'.*parameters\.share"):
        with_values(parse_rulebook(PLAIN), {"parameters.shar": 1})


def test_formulas_can_be_replaced_too() -> None:
    moved = with_values(parse_rulebook(PLAIN), {"requirement.initial": "2 * perpetuals"})
    requirement = moved.requirements["initial"]
    assert isinstance(requirement, Formula)
    assert requirement.text == "2 * perpetuals"


def test_the_digest_reads_numbers_not_how_they_are_written() -> None:
    same = changed(PLAIN, ("50_000", "50e3"), ("share = 0.5", "share   = 0.50 # half"))
    assert parse_rulebook(same).digest == parse_rulebook(PLAIN).digest
    other = changed(PLAIN, ("share = 0.5", "share = 0.6"))
    assert parse_rulebook(other).digest != parse_rulebook(PLAIN).digest
    difference = diff_documents(parse_rulebook(PLAIN).document, parse_rulebook(other).document)
    assert difference == [("parameters.share", 0.5, 0.6)]


def test_keys_are_found_in_every_form_of_toml() -> None:
    text = '''
# a = 1
a = "[b]" # c = 2
[t."x.y"]
k = [
  1, # ]
  2,
]
d.e = """
f = 1
"""
g = { h = "}" }
[[rows]]
n = 1
[[rows]]
n = 2
'''
    lines = locate(text)
    assert lines[("a",)] == 3
    assert lines[("t", "x.y")] == 4
    assert lines[("t", "x.y", "k")] == 5
    assert lines[("t", "x.y", "d", "e")] == 9
    assert lines[("t", "x.y", "g")] == 12
    assert lines[("rows", "1", "n")] == 16
    assert ("f",) not in lines
    assert ("t", "x.y", "f") not in lines


def test_dotted_paths_read_back() -> None:
    path = ("charges", "x.y", "0", "BTC-27JUN25")
    assert dotted(path) == 'charges."x.y".0.BTC-27JUN25'
    assert undotted(dotted(path)) == path


JUNK = [
    5,
    -1.5,
    "x",
    "",
    "((",
    "9**9**9",
    [],
    [[]],
    [1],
    {},
    {"a": 1},
    {"by": 5},
    True,
    date(2025, 1, 1),
    math.nan,
    10**400,
]


@pytest.mark.parametrize("text", [PLAIN, SCAN])
def test_junk_in_any_place_is_refused_or_read_but_never_crashes(text: str) -> None:
    document = parse_rulebook(text).document
    tables = {path[:count] for path, _ in leaves(document) for count in range(1, len(path) + 1)}
    for path in sorted(tables):
        for junk in JUNK:
            try:
                parse_document(replaced(document, path, junk), "junk.toml")
            except RulebookError as error:
                assert str(error).startswith("junk.toml: ")  # noqa: PT017 - many may load


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "\ufeff", "a = 1\na = 2", "= 1", "[a"])
def test_texts_that_no_toml_reader_takes_are_refused(text: str) -> None:
    with pytest.raises(RulebookError, match=r"not TOML|table is needed"):
        parse_rulebook(text, "book.toml")
