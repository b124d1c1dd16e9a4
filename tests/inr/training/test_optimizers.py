"""Optimisers and clipping: what they do to which tensor; every recipe resumes exactly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from inr.config import ModelConfig, Optimizer, RunConfig, TrainingConfig
from inr.network.model import Network, initialize
from inr.quantities import QUANTITIES
from inr.results import open_run, read_series
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.optimizers import clip_gradients, make_optimizers, step_optimizers
from inr.training.schedules import rate_factor
from tests.helpers.reference import initialize_together
from tests.helpers.tiny_run import fit

NAMES: tuple[Optimizer, ...] = get_args(Optimizer)
MODEL = ModelConfig(width=16, depth=3)


def with_gradients(network: Network, seed: int = 0) -> Network:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
    return network


def take_steps(training: TrainingConfig, network: Network, count: int = 5) -> None:
    optimizers = make_optimizers(training, network)
    for step in range(count):
        with_gradients(network, step)
        step_optimizers(optimizers, rate_factor(training, step))


def after_one_step(name: Optimizer) -> tuple[Network, Network]:
    """A network with gradients before and after a step at the constant rate 1e-2."""
    before, after = (with_gradients(initialize(MODEL, 0)) for _ in range(2))
    training = TrainingConfig(optimizer=name, learning_rate=1e-2)
    step_optimizers(make_optimizers(training, after), rate_factor(training, 0))
    return before, after


def test_muon_moves_hidden_matrices_by_near_orthogonal_steps() -> None:
    before, after = after_one_step("muon")
    for layer in (1, 2):
        step = (after.weights[layer] - before.weights[layer]).detach()
        # twice the rate, at the root-mean-square of an Adam step, 0.2 sqrt(width)
        sizes = torch.linalg.svdvals(step) / (2 * 1e-2 * 0.2 * 16**0.5)
        # five Newton-Schulz iterations leave singular values between about 0.5 and 1.5; the
        # smallest ones of a random matrix may stay below
        assert sizes.max() < 1.5
        assert sizes.median() > 0.5


def test_muon_leaves_the_rest_to_adam() -> None:
    _, by_muon = after_one_step("muon")
    _, by_adam = after_one_step("adam")
    for number in (0, 3):  # first layer and output
        torch.testing.assert_close(by_muon.weights[number], by_adam.weights[number])
    for mine, other in zip(by_muon.biases, by_adam.biases, strict=True):
        torch.testing.assert_close(mine, other)
    assert not torch.allclose(by_muon.weights[1], by_adam.weights[1])


@pytest.mark.parametrize("name", NAMES)
def test_one_hidden_layer_is_enough(name: Optimizer) -> None:
    network = initialize(ModelConfig(width=4, depth=1), 0)
    start = [parameter.detach().clone() for parameter in network.parameters]
    take_steps(TrainingConfig(optimizer=name), network)
    for old, new in zip(start, network.parameters, strict=True):
        assert not torch.equal(old, new)


def test_the_schedule_scales_all_rates_alike() -> None:
    training = TrainingConfig(
        optimizer="muon",
        learning_rate=1e-2,
        steps=10,
        schedule="exponential",
        optimizer_options={"hidden_rate_factor": 3},
    )
    network = initialize(MODEL, 0)
    optimizers = make_optimizers(training, network)
    for step in range(10):
        with_gradients(network, step)
        step_optimizers(optimizers, rate_factor(training, step))
        rate = 1e-2 * 0.01 ** ((step + 0.5) / 10)
        used = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
        assert used == pytest.approx([rate, 3 * rate])


def test_zero_grad_reaches_every_parameter() -> None:
    network = with_gradients(initialize(MODEL, 0))
    for optimizer in make_optimizers(TrainingConfig(optimizer="muon"), network):
        optimizer.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in network.parameters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_parameters_may_be_slices_of_larger_tensors(name: Optimizer, dtype: torch.dtype) -> None:
    training = TrainingConfig(optimizer=name, learning_rate=1e-2)
    stacked = initialize_together(MODEL, [0, 1], dtype)

    def view(tensor: Tensor) -> Tensor:
        return tensor.detach()[1].requires_grad_()

    trainer = replace(
        stacked,
        weights=tuple(map(view, stacked.weights)),
        biases=tuple(map(view, stacked.biases)),
    )
    neighbour = [tensor[0].detach().clone() for tensor in stacked.parameters]
    alone = initialize(MODEL, 1, dtype)
    take_steps(training, alone)
    take_steps(training, trainer)
    for whole, mine, theirs in zip(stacked.parameters, alone.parameters, neighbour, strict=True):
        assert torch.equal(whole[1], mine)
        assert torch.equal(whole[0], theirs)


def total_norm(network: Network) -> float:
    return float(torch.cat([tensor.grad.flatten() for tensor in network.parameters]).norm())


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0.5, lambda norm: 0.5), (1e6, lambda norm: norm), ("none", lambda norm: norm)],
    ids=["larger", "smaller", "off"],
)
def test_clipping_limits_the_norm(limit: float | str, expected: Callable[[float], float]) -> None:
    network = with_gradients(initialize(MODEL, 0))
    norm = total_norm(network)
    direction = network.weights[0].grad / norm
    clip_gradients(TrainingConfig.model_validate({"clip_norm": limit}), network)
    assert total_norm(network) == pytest.approx(expected(norm), rel=1e-5)
    torch.testing.assert_close(network.weights[0].grad / total_norm(network), direction)


def stop_after(steps: int) -> Callable[[], bool]:
    """A request to stop that comes after some steps, as a signal would."""
    left = iter(range(steps))
    return lambda: next(left, None) is None


RECIPES = {
    "muon": {"optimizer": "muon", "schedule": "cosine"},
    "soap": {"optimizer": "soap", "optimizer_options": {"basis_every": 3}},
    "clipped": {"clip_norm": 0.1},
    "balanced": {"loss_balancing": "relobralo", "balancing_options": {"lookback": 0.8}},
    "all": {"optimizer": "muon", "clip_norm": 0.5, "loss_balancing": "relobralo"},
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_run_cut_off_again_and_again_gives_the_same_bytes(
    recipe: dict[str, object], tmp_path: Path
) -> None:
    training = {"steps": 17, "learning_rate": 1e-3, "loss_weights": [1, 1, 1, 1], "batch": 50}
    config = RunConfig.model_validate(
        {
            "data": {"size": 16, "frames": 3},
            "model": {"width": 16, "depth": 3, "time_scale": 0.2},
            "training": training | recipe,
            "record": {"metrics_every": 4, "tensorboard": False},
        }
    )

    def attempt(where: str, after: int) -> str:
        with RunWriter(RunLayout(tmp_path / where), config, where) as recorder:
            return fit(config, recorder, device="cpu", should_stop=stop_after(after))

    assert attempt("whole", 100) == "complete"
    assert [attempt("pieces", 5) for _ in range(3)] == ["stopped", "stopped", "complete"]
    found = []
    for where in ("whole", "pieces"):
        with open_run(RunLayout(tmp_path / where).results) as file:
            found.append(read_series(file))
    whole, pieces = found
    for name in set(whole) - {"seconds"}:
        assert pieces[name].tobytes() == whole[name].tobytes(), name
    # the objective that is recorded is that of the configured weights, whatever the balance
    total = sum(whole[f"nmse_{name}"] for name in QUANTITIES)
    assert whole["loss"] == pytest.approx(total)
