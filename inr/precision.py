"""Arithmetic of the matrix products while training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from inr.config import Precision
from inr.products import rounding_factors


def parameter_type(precision: Precision) -> torch.dtype:
    """Type of parameters, points and targets."""
    return torch.float64 if precision == "float64" else torch.float32


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Within it, products of float32 matrices are computed as ``precision`` allows.

    Evaluation stays outside: errors are measured with full float32 products.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        with rounding_factors(precision == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
