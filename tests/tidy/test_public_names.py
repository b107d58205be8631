import subprocess
import sys

import pytest

import crossmargin


@pytest.mark.parametrize("name", crossmargin.__all__)
def test_every_public_name_resolves(name: str) -> None:
    found = getattr(crossmargin, name)
    assert found is not None
    assert getattr(found, "__name__", name) == name


def test_dir_lists_every_public_name_before_any_is_used() -> None:
    script = "import crossmargin; print(*dir(crossmargin))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(crossmargin.__all__) <= set(done.stdout.split())


def test_the_list_and_the_table_agree() -> None:
    table = {name for names in crossmargin.__dict__["_ROOMS"].values() for name in names}
    assert table | {"__version__"} == set(crossmargin.__all__)


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'asess'"):
        getattr(crossmargin, "asess")  # noqa: B009  # the misspelt name is the point
