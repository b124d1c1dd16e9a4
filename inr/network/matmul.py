"""Matrix products by the faster of the libraries that torch brings, and their precision.

In float32 on an x86 CPU ``torch.matmul`` takes MKL. oneDNN, which torch brings as well, was twice
as fast on an AMD EPYC (Zen 5): one core multiplied 256 x 256 by 256 x 1,024 at 200 instead of 98
GFLOP/s. Other processors with AVX-512 were not measured. Both add in float32, in a different order.

The choice depends on the machine and the shapes alone, never on a clock, so that a run that is cut
off goes on with the same bits. Products of this module have no automatic derivative.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from inr.config import Precision

MIN_SIDE = 64  # below this both are bound by the cost of a call

HAS_FAST_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)

# not torch's own setting: the compiler cannot ask for it
_rounds = False


def parameter_type(precision: Precision) -> torch.dtype:
    """Type of parameters, points and targets."""
    return torch.float64 if precision == "float64" else torch.float32


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Within it, products of float32 matrices are computed as ``precision`` allows.

    Evaluation stays outside: errors are measured with full float32 products.
    """
    global _rounds
    rounded, before = _rounds, torch.get_float32_matmul_precision()
    _rounds = precision == "bfloat16"
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        _rounds = rounded
        torch.set_float32_matmul_precision(before)


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` of matrices with equal leading axes, outside automatic differentiation.

    Within `arithmetic` of bfloat16, float32 factors are rounded to that, and so is the product; its
    sums are kept in float32.
    """
    if _rounds and left.dtype == torch.float32:
        return torch.matmul(left.bfloat16(), right.bfloat16()).float()
    multiply = torch.ops.inr.product if suits_onednn(left, right) else torch.matmul
    return multiply(left, right)


def suits_onednn(left: Tensor, right: Tensor) -> bool:
    """Whether `product` takes oneDNN for these."""
    return (
        HAS_FAST_ONEDNN
        and left.device.type == "cpu"
        and left.dtype == torch.float32
        and left.ndim in (2, 3)
        and min(*left.shape[-2:], right.shape[-1]) >= MIN_SIDE
    )


# A custom operator, because the compiler takes the operator below for constant weights only.
# A bare Library: torch.library.custom_op adds 20 microseconds a call for checks and autograd.
_library = torch.library.Library("inr", "DEF")
_library.define("product(Tensor left, Tensor right) -> Tensor")


def _product_cpu(left: Tensor, right: Tensor) -> Tensor:
    if left.ndim == 3:  # one call a model: torch offers no batched one
        return torch.stack(list(map(_product_cpu, left, right)))
    found: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.mT, None, "none", [], "")
    return found


def _product_fake(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(*left.shape[:-1], right.shape[-1])


_library.impl("product", _product_cpu, "CPU")
torch.library.register_fake("inr::product", _product_fake)
