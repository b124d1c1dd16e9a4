"""Compiles the step of `tests.helpers.compiled_run`, or reads its code from CACHE, and compares.

Prints the note of the compilation, if there is one, and the largest difference to the plain step. A
process of its own: type checks, which tests add to every function, cannot be compiled.
"""

import sys
from pathlib import Path

import torch

from inr.config import ModelConfig
from inr.network.adjoint import EAGER, Passes
from inr.network.model import initialize
from inr.training.compilation import prepare_passes, share_cache
from inr.training.step import Step, loss_and_gradients


def one_step(passes: Passes) -> Step:
    """All terms; the fewest layers, as every kernel takes a second to compile."""
    network = initialize(ModelConfig(width=8, depth=1, omega_first=3.0), 0, torch.float64)
    samples = torch.linspace(-1, 1, 240, dtype=torch.float64).reshape(30, 8)
    coefficients = torch.ones(4, dtype=torch.float64)
    return loss_and_gradients(network, samples, coefficients, 2, passes)


def main() -> None:
    """Compile, compare, print."""
    note = share_cache(Path(sys.argv[1]))
    passes, trouble = prepare_passes("cpu", one_step)
    assert passes is not EAGER, trouble
    pairs = zip(one_step(passes).gradients, one_step(EAGER).gradients, strict=True)
    difference = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    print(note or trouble or "", difference)


if __name__ == "__main__":
    main()
