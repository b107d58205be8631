"""Which kernel computes: the best that is built, or the one that the environment names."""

from __future__ import annotations

import os
from typing import Final

VARIABLE: Final = "CROSSMARGIN_KERNEL"


def choose_kernel() -> None:
    """Let the kernel serve that the environment names: numpy, native, or native at one of its levels."""
    if name := os.environ.get(VARIABLE):
        from crossmargin.kernels import use_kernel

        use_kernel(name)


def kernel() -> str:
    """Return the name and version of the kernel in use."""
    from crossmargin.kernels import kernel_name

    choose_kernel()
    return kernel_name()
