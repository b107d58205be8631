import subprocess
import sys

import pytest

HEAVY = ("numpy", "rich", "polars", "pyarrow", "scipy")
REPORT = f"import sys; print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
IMPORT = f"import crossmargin; {REPORT}"
HELP = f"""
from crossmargin.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
{REPORT}
"""


@pytest.mark.parametrize("script", [IMPORT, HELP], ids=["import", "help"])
def test_nothing_heavy_is_loaded(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
