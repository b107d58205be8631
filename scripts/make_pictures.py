"""The pictures of the documentation, from real output: `python scripts/make_pictures.py`.

`assess.svg` is the terminal's report, drawn by rich. The pages of the HTML report are photographed by a headless
browser where one is found (chromium, google-chrome); without one those pictures stay as they are.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

import crossmargin
from crossmargin.cli import calls
from crossmargin.cli.tables.report import report_tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
DEMO = ROOT / "src" / "crossmargin" / "cli" / "demo"
ACCOUNT = "mission-call"
LINES = 40
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def as_svg(parts: Iterable[RenderableType], title: str, lines: int) -> str:
    """The first lines of an output as a picture."""
    drawn = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=100, highlight=False)
    for part in parts:
        drawn.print(part)
    text = drawn.file.getvalue().splitlines()[:lines]  # type: ignore[attr-defined]  # it is the StringIO above
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=100, highlight=False)
    from rich.text import Text  # noqa: PLC0415  # only here

    console.print(Text.from_ansi("\n".join(text)))
    svg = console.export_svg(title=title, unique_id="crossmargin")
    # no page fetches anything from elsewhere
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def photograph(page: Path, picture: Path, width: int, height: int) -> None:
    """A picture of a page, if there is a browser."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"no browser: {picture.name} stays as it is", file=sys.stderr)
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    subprocess.run([browser, *flags, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)


def main() -> None:
    """Make all of them."""
    PICTURES.mkdir(exist_ok=True)
    market = crossmargin.load_snapshot(DEMO / "snapshot.json")
    account = next(row for row in crossmargin.load_accounts(DEMO / "accounts.json").accounts if row.id == ACCOUNT)
    rules = crossmargin.load_rulebook("reference", market.as_of.date())
    report = crossmargin.assess(account, market, rules)
    explanation = crossmargin.explain(account, market, rules)
    shaky = calls.unverified_lines(rules)
    command = f"crossmargin assess accounts.json snapshot.json --account {ACCOUNT}"
    (PICTURES / "assess.svg").write_text(as_svg(report_tables(report, shaky), command, LINES), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        from crossmargin.cli.html_report import html_report  # noqa: PLC0415  # after the tables, which are quick

        page = Path(folder) / "report.html"
        page.write_text(html_report(explanation, shaky), encoding="utf-8")
        photograph(page, PICTURES / "report.png", 1100, 1290)


if __name__ == "__main__":
    main()
