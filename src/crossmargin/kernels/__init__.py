"""The few hot loops: compiled where that is built, in NumPy elsewhere; the same functions either way."""

from crossmargin.kernels.engine import (
    OptionScenarios,
    account_engine,
    checked_threads,
    group_rows,
    group_tail,
    group_worst,
    implied_vols,
    kernel_name,
    kernels_here,
    operations,
    option_greeks,
    option_values,
    revalue_options,
    threads_in_use,
    use_kernel,
)
from crossmargin.kernels.numpy_engine import codes_in_use, packed_key, segment_sum

__all__ = [
    "OptionScenarios",
    "account_engine",
    "checked_threads",
    "codes_in_use",
    "group_rows",
    "group_tail",
    "group_worst",
    "implied_vols",
    "kernel_name",
    "kernels_here",
    "operations",
    "option_greeks",
    "option_values",
    "packed_key",
    "revalue_options",
    "segment_sum",
    "threads_in_use",
    "use_kernel",
]
