"""Tables of the documentation that are made from the code; a test compares them with the pages.

Run it after a change of the vocabulary, the rulebooks, the exit codes or the reasons: python -m scripts.docs_tables
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from crossmargin.analysis.lint import provenance
from crossmargin.cli.exit_codes import MEANINGS
from crossmargin.cli.refusals import HINTS
from crossmargin.margin import Rulebook
from crossmargin.margin.locate import undotted
from crossmargin.margin.procedure import MARKET, Payment, Step
from crossmargin.margin.vocabulary import CASE_MEASURES, FUNCTIONS, HALT_MEASURES, MEASURES
from crossmargin.sources import list_rulebooks, load_rulebook
from scripts.bench_pages import bench_table, clearing_table

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- (?P<name>[\w-]+): begin -->\n).*?(<!-- (?P=name): end -->)", re.DOTALL)

_FUNCTIONS = {
    "min": ("min(a, b, ...)", "the least of two or more"),
    "max": ("max(a, b, ...)", "the greatest of two or more"),
    "abs": ("abs(x)", "the amount without its sign"),
    "sqrt": ("sqrt(x)", "square root"),
    "exp": ("exp(x)", "exponential"),
    "log": ("log(x)", "natural logarithm"),
    "clip": ("clip(x, low, high)", "x, held between two bounds"),
    "when": ("when(a < b, x, y)", "x where the comparison holds, else y"),
    "ceil": ("ceil(x, unit)", "x rounded up to a multiple of unit"),
    "floor": ("floor(x, unit)", "x rounded down to a multiple of unit"),
    "marginal": ("marginal(t, x)", "progressive: each part of x at its own tier's rate"),
    "step": ("step(t, x)", "the rate of the tier that holds x; a bound belongs to the tier below it"),
    "ramp": ("ramp(t, x)", "piecewise linear through the points (bound, rate), flat outside"),
    "lognormal_es_up": ("lognormal_es_up(p, mean, sd)", "mean of the upper tail of a lognormal"),
    "lognormal_es_down": ("lognormal_es_down(p, mean, sd)", "mean of its lower tail"),
    "lognormal_quantile": ("lognormal_quantile(p, mean, sd)", "what a lognormal stays below with probability p"),
    "largest": ("largest(x)", "the largest of the finer rows of a line or measure"),
    "root": ("root(x, rho)", "square root of the sum of rho x_i x_j over finer rows, with 1 in place of rho for i = j"),
}

_LOCKS = {
    "any": "an account that is worth less than nothing is being closed",
    "fund": "such accounts together lack more than the fund is worth",
}
_WORDS = (
    ("`option` `perpetual` `future` `spot` `asset`", "the kind; a balance is a leg of kind `asset`"),
    ("`call` `put`", "options of that type"),
    ("`long` `short`", "the sign of the holding"),
    ("`linear` `inverse` `quanto`", "how a contract settles; no balances"),
    ("`cash` `coin`", "balances in the pool's reporting asset, and all other balances"),
    ("`isolated`", "legs in the pool of one position, its collateral included"),
    ("`debt`", "negative balances"),
    ("your own", "words declared in `[tags]`"),
)


_SECTIONS = ("bands", "liquidation", "waterfall", "fund", "halt", "prices")
_MOVES = {
    "cancel": ("open orders: what they reserve is freed", "-"),
    "close": ("contracts against `to`, at `price` or at the market", "contracts, rounded up to lots, never past 0"),
    "hedge": ("a listed instrument, opened against the underlying's delta", "delta"),
    "exchange": ("a debt repaid for collateral", "units of the debt; `price` is collateral per unit"),
    "share": ("the same share of everything for money", "a share; `price` is for the whole"),
    "settle": ("unrealised P&L into the wallet", "units of the settlement asset; `price` is paid per unit of profit"),
    "assume": (
        "contracts with their basis, or balances, to another owner",
        "contracts; at `price` where one is stated",
    ),
}


def reproduced() -> dict[str, dict[str, int | str]]:
    """What is reproduced of the published cases, by rulebook; scripts/conformance_table.py writes it from the cases."""
    found: dict[str, dict[str, int | str]] = json.loads(
        (ROOT / "docs" / "conformance.json").read_text(encoding="utf-8")
    )
    return found


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of a page."""
    lines = [list(heads), ["---"] * len(list(heads)), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def measures() -> str:
    """The measures, those that sum first."""
    rows = (
        (
            f"`{m.name}`",
            "of the pool" if m.level == "account" else "sums" if m.extensive else "equal",
            m.dimension,
            m.text,
        )
        for m in MEASURES.values()
    )
    return table(("measure", "across a row", "dimension", "meaning"), rows)


def functions() -> str:
    """The functions of the expression language."""
    return table(("function", "result"), ((f"`{_FUNCTIONS[name][0]}`", _FUNCTIONS[name][1]) for name in FUNCTIONS))


def words() -> str:
    """The words of `of`."""
    return table(("word", "selects"), _WORDS)


def rulebooks(pages: str) -> str:
    """The shipped rulebooks with their dates; `pages` is where the venues' pages stand."""
    dates: dict[str, list[str]] = {}
    for shipped in list_rulebooks():
        if not shipped.name.startswith("family-"):  # examples of methods: docs/families has them
            dates.setdefault(shipped.name, []).append(str(shipped.effective_from))
    proven = reproduced()
    rows = []
    for name, days in dates.items():
        rules = load_rulebook(name)
        span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)})"
        found = proven.get(name)
        cases = f"{found['reproduced']} of {found['total']}" if found else _UNPROVEN.get(name, "none published")
        numbers = provenance(rules)
        open_ones = sum(row.unverified for row in numbers)
        unverified = f"{open_ones} of {len(numbers)}" if open_ones else "0"
        residual = str(found["worst_residual"]) if found else ""
        rows.append((f"[`{name}`]({pages}{name}.md)", rules.title, span, cases, residual, unverified))
    heads = ("rulebook", "what it is", "dates", "published cases", "worst residual", "unverified numbers")
    return table(heads, rows)


_PROCEDURE = "procedure-"
_UNPROVEN = {"reference": "our own"}


def kinds_of_step() -> str:
    """The kinds of step."""
    return table(("`do`", "moves", "its amount is in"), ((f"`{do}`", *told) for do, told in _MOVES.items()))


def case_measures() -> str:
    """What only a procedure may read."""
    return table(("name", "meaning"), ((f"`{name}`", text) for name, text in CASE_MEASURES.items()))


def halt_measures() -> str:
    """What conditions of [[halt]] may read."""
    return table(("name", "meaning"), ((f"`{name}`", text) for name, text in HALT_MEASURES.items()))


def procedure(name: str) -> str:
    """A rulebook's procedure: when, its steps, its layers, its numbers with their sources."""
    rulebook = load_rulebook(name)
    rule = rulebook.procedure.liquidation
    until = rule.until.text if rule.until else f"{rule.target or 'maintenance'}_headroom >= 0"
    rows = [("liquidated when", f"`{rule.trigger.text}`"), ("until", f"`{until}`")]
    if rule.loss_lock:
        rows += [("nobody withdraws while", _LOCKS[rule.loss_lock])]
    rows += [(f"`{band.then}` when", f"`{band.when.text}`") for band in rulebook.procedure.bands]
    steps = table(("step", "does", "when", "amount", "price", "to"), map(_step, rule.steps))
    layers = table(
        ("who pays what is missing", "by", "weight or rank", "at most"), map(_layer, rulebook.procedure.waterfall)
    )
    numbers = table(("number", "value", "source", "status"), _numbers(rulebook))
    return "\n".join((table(("", ""), rows), steps, layers, numbers))


def _code(formula: object) -> str:
    text = getattr(formula, "text", None)
    return f"`{text}`" if text else ""


def _step(step: Step) -> tuple[str, ...]:
    does = " ".join((step.do, *(["pairs"] if step.pairs else []), *("".join(sorted(words)) for words in step.of)))
    return (
        step.name,
        does,
        _code(step.when),
        _code(step.amount) or "all",
        _code(step.price) or "market",
        "" if step.to == MARKET else step.to,
    )


def _layer(layer: Payment) -> tuple[str, ...]:
    return layer.pay, layer.rule, _code(layer.weight or layer.rank), _code(layer.cap)


def _numbers(rulebook: Rulebook) -> Iterator[tuple[str, ...]]:
    for row in provenance(rulebook):
        path = undotted(row.path)
        if path[0] in _SECTIONS:
            status = "unverified" if row.unverified else rulebook.sources[row.source].status
            told = path[0 if path[0] in {"halt", "prices"} else 2 if path[1] in {"parameters", "steps"} else 1 :]
            yield ".".join(told), f"{row.value:g}", row.source, status


def exit_codes() -> str:
    """The exit codes."""
    return table(("code", "meaning"), ((f"{code.value}", text) for code, text in MEANINGS.items()))


def reasons() -> str:
    """The reasons of refusals and what the command line advises."""
    return table(("reason", "what to do"), ((f"`{reason.value}`", hint) for reason, hint in HINTS.items()))


def filled(text: str, pages: str = "venues/") -> str:
    """A page with its tables made anew."""
    made = {
        "measures": measures,
        "functions": functions,
        "words": words,
        "rulebooks": lambda: rulebooks(pages),
        "exit-codes": exit_codes,
        "reasons": reasons,
        "kinds-of-step": kinds_of_step,
        "case-measures": case_measures,
        "halt-measures": halt_measures,
        "benchmark": bench_table,
        "clearing-speed": clearing_table,
    }

    def one(name: str) -> str:
        return procedure(name.removeprefix(_PROCEDURE)) if name.startswith(_PROCEDURE) else made[name]()

    return MARK.sub(lambda found: f"{found[1]}\n{one(found['name'])}\n{found[3]}", text)


def tables_of(path: Path) -> str:
    """The text that a page should have."""
    prefix = {"README.md": "docs/venues/", "docs/venues/index.md": ""}
    return filled(path.read_text(encoding="utf-8"), prefix.get(path.relative_to(ROOT).as_posix(), "venues/"))


def main() -> None:
    """Write the tables into the pages."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = tables_of(path)
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
