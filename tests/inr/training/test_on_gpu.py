"""Training on a GPU is training as on the CPU: ``make test-gpu``, or ``--device cpu`` to try it.

In float64 results agree to rounding, but for Muon's, which orthogonalises in bfloat16.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inr.config import LossWeights, Precision, RunConfig
from inr.memory import GPU_TILE_BYTES, MIB
from inr.network.adjoint import EAGER
from inr.network.matmul import arithmetic
from inr.results import open_run, read_series
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.fit import Run, fit_together
from inr.training.step import Step, loss_and_gradients, take_step
from inr.training.step_graph import StaticStep, prepare_graph
from inr.training.trainer import Trainer
from tests.helpers.networks import network_of, sample_points, sample_targets
from tests.helpers.reference import join
from tests.helpers.tiny_run import CHOICES, make_config

pytestmark = pytest.mark.gpu

TOLERANCE = {"muon": 0.02}  # of a parameter's change, in norm; others: 1e-6


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--device"))


def only_on_gpu(device: str) -> None:
    if device == "cpu":
        pytest.skip("of a GPU alone")


def trainers_of(root: Path, device: str, *configs: RunConfig) -> list[Trainer]:
    runs = [Run(c, RunWriter(RunLayout(root / c.run_id), c, "x")) for c in configs]
    return [Trainer(run, torch.device(device)) for run in runs]


def of_network(device: str, precision: Precision, points: int = 100, width: int = 16) -> Step:
    dtype = torch.float64 if precision == "float64" else torch.float32
    network, where = network_of("sine", width=width), sample_points(points)
    samples = join(where, sample_targets(where)).to(device, dtype)
    ones = torch.ones(4, dtype=dtype, device=device)
    with arithmetic(precision):
        return loss_and_gradients(network.to(device, dtype), samples, ones, 2)


def relative(found: Step, wanted: Step) -> float:
    pairs = list(zip(found.gradients, wanted.gradients, strict=True))
    off = sum(float((a.cpu().double() - b.cpu()).square().sum()) for a, b in pairs)
    return float((off / sum(float(b.square().sum()) for _, b in pairs)) ** 0.5)


@pytest.mark.parametrize(
    ("precision", "largest"),
    [("float64", 1e-12), ("float32", 1e-5), ("tf32", 2e-2), ("bfloat16", 0.2)],
)
def test_gradients_are_those_of_the_cpu(precision: Precision, largest: float, device: str) -> None:
    wanted = of_network("cpu", "float64", width=128)
    assert relative(of_network(device, precision, width=128), wanted) < largest


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("count", [1, 3])
def test_steps_are_those_of_the_cpu(choice: str, count: int, device: str, tmp_path: Path) -> None:
    """Alone and fused; on a GPU by one graph, where the optimiser allows it."""
    configs = [make_config(precision="float64", seed=s, **CHOICES[choice]) for s in range(count)]
    there, here = (trainers_of(tmp_path / name, name, *configs) for name in (device, "cpu"))
    begun = [each.detach().clone() for t in here for each in t.network.parameters]
    graph, note = prepare_graph(there, EAGER)
    assert note is None
    assert (graph is not None) == (device != "cpu" and choice != "soap")
    for _ in range(20):
        graph() if graph else take_step(there)
        take_step(here)
    parameters = [[each for t in ts for each in t.network.parameters] for ts in (there, here)]
    for found, wanted, start in zip(*parameters, begun, strict=True):
        off = torch.linalg.vector_norm(found.detach().cpu() - wanted)
        assert off <= TOLERANCE.get(choice, 1e-6) * torch.linalg.vector_norm(wanted - start)


def train(root: Path, config: RunConfig, device: str, stop_after: float = np.inf) -> Any:
    calls = itertools.count()
    run = Run(config, RunWriter(RunLayout(root), config, "x"))
    return fit_together([run], device=device, should_stop=lambda: next(calls) >= stop_after)


@pytest.mark.parametrize("optimizer", ["adam", "muon", "soap"])
@pytest.mark.parametrize("then", ["same", "cpu"])
def test_a_run_that_was_cut_off_goes_on(
    optimizer: str, then: str, device: str, tmp_path: Path
) -> None:
    """Also on the CPU; to the same series, within what one step differs from the next."""
    config = make_config(precision="float64", optimizer=optimizer)
    assert train(tmp_path / "whole", config, device) == ["complete"]
    assert train(tmp_path / "cut", config, device, stop_after=20) == ["stopped"]
    assert train(tmp_path / "cut", config, device if then == "same" else "cpu") == ["complete"]
    found, wanted = [], []
    for name, series in (("cut", found), ("whole", wanted)):
        with open_run(RunLayout(tmp_path / name).results) as file:
            series.append(read_series(file)["nmse_value"])
    np.testing.assert_allclose(found, wanted, rtol=0.02 if optimizer == "muon" else 1e-5)


@pytest.mark.parametrize("choice", [name for name in CHOICES if name != "soap"])
def test_nothing_waits_between_two_looks(choice: str, device: str, tmp_path: Path) -> None:
    only_on_gpu(device)
    trainers = trainers_of(tmp_path, device, make_config(**CHOICES[choice]))
    static = StaticStep(trainers, EAGER)
    static.capture()
    for take in (static, lambda: take_step(trainers)):
        take()
        trainers[0].batches.prepare(trainers[0].step, 10)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(10):
                take()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_step_keeps_within_its_memory(device: str) -> None:
    """Whatever the batch; its own targets and points come on top."""
    only_on_gpu(device)
    network, where = network_of("sine", width=256, depth=3), sample_points(100_000)
    samples = join(where, sample_targets(where)).to(device, torch.float32)
    weights = LossWeights(value=1, gradient=1, laplacian=1, time_derivative=1)
    coefficients = torch.tensor(weights.as_tuple(), device=device)
    network = network.to(device, torch.float32)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    loss_and_gradients(network, samples, coefficients, 2)
    assert torch.cuda.max_memory_allocated() - before < GPU_TILE_BYTES + 64 * MIB
