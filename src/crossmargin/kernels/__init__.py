"""The few hot loops. Here in NumPy; a compiled twin of the same signatures may replace them."""

from crossmargin.kernels.numpy_engine import codes_in_use, group_rows, kernel_name, packed_key, segment_sum

__all__ = ["codes_in_use", "group_rows", "kernel_name", "packed_key", "segment_sum"]
