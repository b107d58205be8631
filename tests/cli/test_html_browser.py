import shutil
import subprocess
from pathlib import Path

import pytest

from crossmargin.cli.html_report import html_report
from tests.cli import fakes

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on PATH ({', '.join(NAMES)}): the page is not tried in a real one")
    return found


def test_the_page_loads_in_a_real_browser_without_a_complaint(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html_report(fakes.explanation(), {"short_options"}), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [browser, *flags, profile, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    assert done.stdout.count("<svg") >= 6
    assert done.stdout.rstrip().endswith("</html>")
