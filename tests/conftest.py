import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from crossmargin import kernels
from crossmargin.kernels import engine

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

# The whole suite passes with either kernel; the command line reads the same variable.
if os.environ.get("CROSSMARGIN_KERNEL"):
    kernels.use_kernel(os.environ["CROSSMARGIN_KERNEL"])

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def kernel_kept() -> Iterator[None]:
    """The kernel that serves is the same after the test as before it."""
    before = engine.serving()
    yield
    kernels.use_kernel(*before)


@pytest.fixture
def native(kernel_kept: None) -> None:
    """The compiled kernel serves, whichever the run was told to take; without one the test is skipped."""
    del kernel_kept
    if len(kernels.kernels_here()) == 1:
        pytest.skip("no compiled kernel is built here")
    kernels.use_kernel("native")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data beside the checkout; without it the test is skipped, and the summary says so."""
    place = ROOT.parent / "shared"
    if not place.is_dir():
        pytest.skip(f"real data absent: no directory {place.name}/ beside the checkout")
    return place
