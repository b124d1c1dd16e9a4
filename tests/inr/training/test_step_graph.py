"""Steps in buffers that keep their place are the plain steps."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inr.network.adjoint import EAGER
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.fit import Run
from inr.training.step import take_step
from inr.training.step_graph import StaticStep, differs_from_plain, prepare_graph
from inr.training.trainer import Trainer
from tests.helpers.tiny_run import CHOICES, make_config

CPU = torch.device("cpu")


def trainers_of(root: Path, choice: str, count: int = 1) -> list[Trainer]:
    different = ({"seed": seed, "learning_rate": 1e-3 / (seed + 1)} for seed in range(count))
    configs = [make_config(precision="float64", **CHOICES[choice] | each) for each in different]
    return [Trainer(Run(c, RunWriter(RunLayout(root / c.run_id), c, "x")), CPU) for c in configs]


def state(trainers: list[Trainer]) -> list[Tensor]:
    found = [each.detach().clone() for t in trainers for each in t.network.parameters]
    for trainer in trainers:
        for optimizer in trainer.optimizers:
            for kept in optimizer.state.values():
                found += [each.clone() for each in kept.values() if isinstance(each, Tensor)]
    return found


@pytest.mark.parametrize("choice", [name for name in CHOICES if name != "soap"])
@pytest.mark.parametrize("count", [1, 3])
def test_static_steps_are_the_plain_ones(choice: str, count: int, tmp_path: Path) -> None:
    static = trainers_of(tmp_path / "static", choice, count)
    plain = trainers_of(tmp_path / "plain", choice, count)
    take = StaticStep(static, EAGER)
    for _ in range(30):  # past the warm-up of the rate, and an epoch of frames
        found, wanted = take(), take_step(plain)
        torch.testing.assert_close(found.loss, wanted.loss, rtol=1e-6, atol=0)
    assert [trainer.step for trainer in static] == [30] * count
    for mine, other in zip(state(static), state(plain), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("begun", [0, 3])
@pytest.mark.parametrize("choice", ["adam", "muon", "balancing"])
def test_comparing_with_the_plain_step_leaves_no_trace(
    choice: str, begun: int, tmp_path: Path
) -> None:
    trainers, untouched = (trainers_of(tmp_path / name, choice, 2) for name in "ab")
    for both in (trainers, untouched):
        for _ in range(begun):
            take_step(both)
    take = StaticStep(trainers, EAGER)
    assert not differs_from_plain(take, trainers, EAGER)
    for both in (trainers, untouched):
        take_step(both)
    assert all(map(torch.equal, state(trainers), state(untouched)))


@pytest.mark.parametrize("choice", ["adam", "muon"])
@pytest.mark.parametrize("times", [0, 2])
def test_steps_that_differ_are_found(choice: str, times: int, tmp_path: Path) -> None:
    trainers = trainers_of(tmp_path, choice)
    take = StaticStep(trainers, EAGER)
    assert differs_from_plain(lambda: [take() for _ in range(times)], trainers, EAGER)


def test_no_graph_is_tried_on_the_cpu(tmp_path: Path) -> None:
    assert prepare_graph(trainers_of(tmp_path, "adam"), EAGER) == (None, None)
