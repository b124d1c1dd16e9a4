"""Between two looks a step neither reads from its device nor sends anything there.

The device is torch's "meta", which computes nothing: what would make a GPU wait fails there, or
moves a tensor from the host.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from inr.config import RunConfig
from inr.network.adjoint import EAGER
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.fit import Run, fit_together
from inr.training.step import take_step
from inr.training.step_graph import StaticStep
from inr.training.trainer import DIVERGENCE_CHECK, Trainer
from tests.helpers.tiny_run import CHOICES, make_config

META = torch.device("meta")
STEPS = 12  # more than soap's between updates of its bases


class Operators(TorchDispatchMode):
    """Collects the operators that need tensors of the host and of the device."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        leaves = [each for each in tree_leaves((args, kwargs, found)) if isinstance(each, Tensor)]
        # single numbers of the host go with the launch of a kernel
        on_host = any(each.device.type == "cpu" and each.ndim for each in leaves)
        if on_host and any(each.device == META for each in leaves):
            self.seen.append(str(func))
        return found


class Calls(TorchFunctionMode):
    """Collects the calls that make tensors of the device from what Python has."""

    MAKE = (torch.tensor, torch.as_tensor, Tensor.new_tensor)
    INDEX = (Tensor.__getitem__, Tensor.__setitem__)

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        made = func in self.MAKE and found.device == META
        listed = func in self.INDEX and args[0].device == META
        index = args[1] if listed and isinstance(args[1], tuple) else args[1:2]
        if made or (listed and any(isinstance(each, list | np.ndarray) for each in index)):
            self.seen.append(func.__name__)
        return found


@contextmanager
def host_traffic() -> Iterator[list[str]]:
    """What makes the host and the device wait for each other in this block."""
    seen: list[str] = []
    with Operators(seen), Calls(seen):
        yield seen


def trainer_of(config: RunConfig, root: Path) -> Trainer:
    return Trainer(Run(config, RunWriter(RunLayout(root), config, "x")), META)


def traffic(take: Callable[[], object], trainers: list[Trainer]) -> list[str]:
    for trainer in trainers:
        trainer.batches.prepare(trainer.step, STEPS)
    with host_traffic() as found:
        for _ in range(STEPS):
            take()
    return found


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("count", [1, 2])
def test_steps_need_nothing_of_the_host(choice: str, count: int, tmp_path: Path) -> None:
    configs = [make_config(seed=seed, **CHOICES[choice]) for seed in range(count)]
    trainers = [trainer_of(config, tmp_path / config.run_id) for config in configs]
    assert traffic(lambda: take_step(trainers), trainers) == []


@pytest.mark.parametrize("choice", [name for name in CHOICES if name != "soap"])
@pytest.mark.parametrize("count", [1, 2])
def test_steps_in_static_buffers_need_nothing_of_the_host(
    choice: str, count: int, tmp_path: Path
) -> None:
    configs = [make_config(seed=seed, **CHOICES[choice]) for seed in range(count)]
    trainers = [trainer_of(config, tmp_path / config.run_id) for config in configs]
    assert traffic(StaticStep(trainers, EAGER), trainers) == []


def test_a_large_batch_is_sent_for_all_steps_up_to_the_next_look(tmp_path: Path) -> None:
    trainer = trainer_of(make_config(batch=65_536), tmp_path)
    trainer.batches.prepare(0, DIVERGENCE_CHECK)
    with host_traffic() as found:
        for step in range(DIVERGENCE_CHECK):
            trainer.batches(step)
    assert found == []


@pytest.mark.parametrize("choice", CHOICES)
def test_resumed_steps_need_nothing_of_the_host(choice: str, tmp_path: Path) -> None:
    config = make_config(**CHOICES[choice])
    steps = iter(range(100))
    run = Run(config, RunWriter(RunLayout(tmp_path), config, "x"))
    assert fit_together([run], device="cpu", should_stop=lambda: next(steps) >= 25) == ["stopped"]
    resumed = trainer_of(config, tmp_path)
    assert resumed._resume()
    assert resumed.step == 26
    assert traffic(lambda: take_step([resumed]), [resumed]) == []


@pytest.mark.parametrize(
    "move",
    [
        lambda device: device[..., [0, 1]],
        lambda device: device[torch.tensor([0, 1])],
        lambda device: device.copy_(torch.ones(4)),
        lambda device: device.new_tensor([1.0, 2.0]),
        lambda device: torch.ones(4).to(device),
        lambda device: torch.tensor([1.0], device=META),
    ],
)
def test_what_moves_is_seen(move: Callable[[Tensor], object]) -> None:
    with host_traffic() as found:
        move(torch.zeros(3, 4, device=META))
    assert found


def test_what_is_read_fails() -> None:
    with pytest.raises(RuntimeError):
        torch.zeros(1, device=META).item()
