from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# ci repeats itself exactly, so that a failure there is a failure here; nightly looks further.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "nightly",
    max_examples=2_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data beside the checkout; without it the test is skipped, and the summary says so."""
    place = ROOT.parent / "shared"
    if not place.is_dir():
        pytest.skip(f"real data absent: no directory {place.name}/ beside the checkout")
    return place
