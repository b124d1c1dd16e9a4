"""One run the way the published studies train: what a user would otherwise write.

``python -m tests.benchmarks.peer DIR < config.json``. A torch.nn network, derivatives by nested
automatic differentiation through the inputs, all metrics of one frame in every step (mean squared
errors and SSIM), averages over all frames in TensorBoard. Where a step is a whole frame, it is that
one, and its predictions are there already; where a step is random points, the frames take turns.
It starts from the same parameters, targets and batches as this product: both learn the same. What
it found goes to ``DIR/metrics.npz``, with the seconds of training and of measuring.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from inr.config import ModelConfig, RunConfig
from inr.metrics import frame_similarity
from inr.network.model import Network, initialize
from inr.quantities import QUANTITIES, Quantity
from inr.training.batches import Batches, sequence_samples
from inr.training.evaluation import Evaluator
from inr.training.schedules import rate_factor
from tests.helpers.reference import Targets, split


class Sine(nn.Module):
    """sin(omega z)."""

    def __init__(self, omega: float) -> None:
        super().__init__()
        self.omega = omega

    def forward(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * z)


def make_module(config: ModelConfig, start: Network) -> nn.Sequential:
    """The network as a torch.nn module that begins with the parameters of ``start``."""
    layers: list[nn.Module] = []
    for number, (weight, bias) in enumerate(zip(start.weights, start.biases, strict=True)):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        layers.append(linear)
        if number < config.depth:
            sine = config.activation == "sine"
            layers.append(Sine(start.config.omega(number)) if sine else nn.ELU())
    return nn.Sequential(*layers)


def nested_fields(module: nn.Module, points: Tensor) -> dict[str, Tensor]:
    """Value and derivatives, each by a gradient of what was found before."""
    points = points.detach().requires_grad_()
    value = module(points).squeeze(-1)
    (first,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    second = [
        torch.autograd.grad(first[:, axis].sum(), points, create_graph=True)[0][:, axis]
        for axis in (0, 1)
    ]
    return {
        "value": value,
        "gradient": first[:, :2],
        "laplacian": second[0] + second[1],
        "time_derivative": first[:, 2],
    }


def squared_errors(fields: dict[str, Tensor], targets: Targets) -> dict[str, Tensor]:
    """Mean squared error of every quantity."""
    errors = {}
    for quantity in QUANTITIES:
        square = (fields[quantity] - getattr(targets, quantity)) ** 2
        errors[quantity] = (square.sum(-1) if quantity == "gradient" else square).mean()
    return errors


def similarity(quantity: Quantity, found: Tensor, wanted: Tensor, shape: tuple[int, int]) -> float:
    """SSIM of one frame; the gradient by its magnitude."""
    wanted_picture, found_picture = (
        (field.norm(dim=-1) if field.ndim == 2 else field).detach().reshape(shape).double().numpy()
        for field in (wanted, found)
    )
    return frame_similarity(wanted_picture, found_picture, quantity)


def train(config: RunConfig, folder: Path) -> None:
    """The whole run."""
    training = config.training
    evaluator = Evaluator(config)
    grid = (evaluator.x, evaluator.y, evaluator.times)
    samples = sequence_samples(*grid, evaluator.target, torch.device("cpu"), torch.float32)
    batches = Batches(training, samples)
    module = make_module(
        config.model, initialize(config.model, training.seed, torch.float32, config.input_scales)
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=training.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: rate_factor(training, s))
    weights = dict(zip(QUANTITIES, training.loss_weights.as_tuple(), strict=True))
    series: list[list[float]] = []
    started, measuring = time.perf_counter(), 0.0
    with SummaryWriter(folder) as board:
        for step in range(training.steps):
            where, wanted = split(batches(step))
            fields = nested_fields(module, where)
            errors = squared_errors(fields, wanted)
            loss = sum(
                weights[quantity] / evaluator.variances[quantity] * errors[quantity]
                for quantity in QUANTITIES
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            trained = time.perf_counter()
            if training.batch != "frame":
                frame = step % config.data.frames
                where, wanted = split(samples[frame])
                fields = nested_fields(module, where)
                errors = squared_errors(fields, wanted)
            scores = [
                similarity(quantity, fields[quantity], getattr(wanted, quantity), evaluator.shape)
                for quantity in QUANTITIES
            ]
            series.append([*(errors[quantity].item() for quantity in QUANTITIES), *scores])
            if (step + 1) % config.data.frames == 0:
                epoch = np.mean(series[-config.data.frames :], axis=0)
                for quantity, mse, ssim in zip(QUANTITIES, epoch[:4], epoch[4:], strict=True):
                    board.add_scalar(f"mse/{quantity}", mse, step + 1)
                    board.add_scalar(f"ssim/{quantity}", ssim, step + 1)
            measuring += time.perf_counter() - trained
    training_seconds = time.perf_counter() - started - measuring
    np.savez(
        folder / "metrics.npz",
        series=np.array(series),
        training_seconds=training_seconds,
        measuring_seconds=measuring,
    )


if __name__ == "__main__":
    train(RunConfig.model_validate_json(sys.stdin.read()), Path(sys.argv[1]))
