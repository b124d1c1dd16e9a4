"""Learning-rate curves, in numbers that can be checked by hand, and against those of torch."""

from typing import get_args

import pytest
import torch

from inr.config import ModelConfig, Schedule, ScheduleOptions, TrainingConfig
from inr.network.model import initialize
from inr.training.optimizers import make_optimizers, step_optimizers
from inr.training.schedules import SCHEDULES, rate_factor

POINTS = [
    ("uniform", {}, {0.0: 1, 0.5: 1, 1.0: 1}),
    ("exponential", {"final_fraction": 0.01}, {0.0: 1, 0.5: 0.1, 1.0: 0.01}),
    ("multi_step", {}, {0.0: 1, 0.24: 1, 0.26: 0.1, 0.51: 0.01, 0.76: 0.001}),
    (
        "cyclic",
        {"cycles": 2, "floor_fraction": 0.1},
        {0.0: 0.1, 0.125: 0.55, 0.25: 1, 0.5: 0.1, 0.75: 1, 1.0: 0.1},
    ),
    (
        "cosine",
        {"warmup_fraction": 0.2, "final_fraction": 0.1},
        {0.1: 0.5, 0.2: 1, 0.6: 0.55, 1.0: 0.1},
    ),
]


@pytest.mark.parametrize(("name", "options", "expected"), POINTS, ids=[p[0] for p in POINTS])
def test_curve(name: Schedule, options: dict[str, float], expected: dict[float, float]) -> None:
    chosen = ScheduleOptions.model_validate(options)
    for fraction, factor in expected.items():
        assert SCHEDULES[name](fraction, chosen) == pytest.approx(factor)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_runs_of_any_length_follow_the_same_curve(schedule: Schedule) -> None:
    short = TrainingConfig(schedule=schedule, steps=50)
    long = TrainingConfig(schedule=schedule, steps=5000)
    for step in range(50):
        middle = rate_factor(long, step * 100 + 50)
        assert rate_factor(short, step) == pytest.approx(middle, rel=0.02, abs=0.02)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_optimiser_uses_the_schedule_and_never_a_rate_of_zero(schedule: Schedule) -> None:
    training = TrainingConfig(schedule=schedule, steps=40, learning_rate=0.02)
    network = initialize(ModelConfig(width=2, depth=1), 0)
    optimizers = make_optimizers(training, network)
    for step in range(40):
        for parameter in network.parameters:
            parameter.grad = torch.zeros_like(parameter)
        step_optimizers(optimizers, rate_factor(training, step))
        rate = optimizers[0].param_groups[0]["lr"]
        assert rate == pytest.approx(0.02 * rate_factor(training, step))
        assert 0 < rate <= 0.02


def test_cyclic_integrates_to_half_the_peak() -> None:
    """The mean of triangles from near 0 to 1: a schedule that never rises would be far below."""
    training = TrainingConfig(schedule="cyclic", steps=1000)
    mean = sum(rate_factor(training, step) for step in range(1000)) / 1000
    assert mean == pytest.approx(0.5, abs=0.01)


PEAK = 1e-4
TORCH = {
    "uniform": lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "exponential": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
    "multi_step": lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(
        optimizer, [25, 50, 75], 0.1
    ),
    "cyclic": lambda optimizer: torch.optim.lr_scheduler.CyclicLR(
        optimizer, 1e-7, PEAK, step_size_up=250, cycle_momentum=False
    ),
}


@pytest.mark.parametrize("schedule", TORCH)
def test_schedules_are_those_of_torch_stepped_every_iteration(schedule: Schedule) -> None:
    network = initialize(ModelConfig(width=2, depth=1), 0)
    training = TrainingConfig(
        protocol="original", schedule=schedule, learning_rate=PEAK, steps=1000
    )
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=PEAK)
    scheduler, ours = TORCH[schedule](optimizer), make_optimizers(training, network)
    rates = []
    for step in range(1000):
        step_optimizers(ours, rate_factor(training, step))
        rates.append([each.param_groups[0]["lr"] for each in (*ours, optimizer)])
        optimizer.step()
        scheduler.step()
    found, wanted = zip(*rates, strict=True)
    assert found == pytest.approx(wanted, rel=1e-9)


def test_all_schedules_but_cosine_are_known() -> None:
    assert {*TORCH, "cosine"} == set(get_args(Schedule))
