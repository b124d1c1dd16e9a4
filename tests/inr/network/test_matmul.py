"""Products by oneDNN are products."""

import pytest
import torch

from inr.network.matmul import HAS_FAST_ONEDNN, product, suits_onednn


@pytest.mark.parametrize("models", [None, 3])
def test_product_is_a_matrix_product_in_float32(models: int | None) -> None:
    generator, lead = torch.Generator().manual_seed(2), () if models is None else (models,)
    left = torch.rand(*lead, 96, 130, generator=generator)
    right = torch.rand(*lead, 200, 130, generator=generator).mT
    assert suits_onednn(left, right) == HAS_FAST_ONEDNN
    assert not suits_onednn(left.double(), right.double())
    expected = left.double() @ right.double()
    torch.testing.assert_close(product(left, right).double(), expected, rtol=1e-6, atol=0)
