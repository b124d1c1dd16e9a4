"""Who takes part, and what of a step can be measured on a device."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.profiler import ProfilerActivity, profile

from inr.network.adjoint import Passes
from inr.training.compilation import prepare_passes
from tests.benchmarks import steps
from tests.benchmarks.steps import Answer, Problem, Step

Build = Callable[[Problem], Step]
WARM_UP = 3


def graphed(build: Build) -> Build:
    """The step as one CUDA graph; elsewhere as it is."""

    def captured(problem: Problem) -> Step:
        step = build(problem)
        if problem.points.device.type != "cuda":
            return step
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step()
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = step()

        def replay() -> Answer:
            graph.replay()
            return found

        return replay

    return captured


def functional_compiled(problem: Problem) -> Step:
    """torch.func under torch.compile."""
    return torch.compile(steps.functional(problem), dynamic=False)


def ours_compiled(problem: Problem) -> Step:
    """Ours with the passes compiled, as a long run has them."""

    def trial(passes: Passes) -> Answer:
        return steps.ours(problem, passes)()

    passes, note = prepare_passes(problem.points.device.type, trial)
    if note:
        raise RuntimeError(note)
    return steps.ours(problem, passes)


def jax_step(name: str, problem: Problem) -> Step:
    """A step of `tests.benchmarks.jax_steps`, in the precision that torch has."""
    # before jax is loaded: it would take most of the GPU's memory at once
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    from tests.benchmarks import jax_steps

    full = torch.get_float32_matmul_precision() == "highest"
    jax.config.update("jax_default_matmul_precision", "highest" if full else "tensorfloat32")
    build: Build = getattr(jax_steps, name)
    return build(problem)


CONTESTANTS: dict[str, Build] = {
    "nested autograd": steps.nested,
    "nested autograd, graph": graphed(steps.nested),
    "torch.func, compiled": functional_compiled,
    "forward Laplacian, compiled": steps.forward_laplacian_compiled,
    "forward Laplacian, compiled, graph": graphed(steps.forward_laplacian_compiled),
    "jax, nested": partial(jax_step, "nested_jit"),
    "jax, jet": partial(jax_step, "jet_jit"),
    "jax, folx": partial(jax_step, "folx_jit"),
    "ours": steps.ours,
    "ours, graph": graphed(steps.ours),
    "ours, compiled": ours_compiled,
    "ours, compiled, graph": graphed(ours_compiled),
    "values alone, autograd, graph": graphed(steps.pixel_only),
    "bare products, graph": graphed(steps.products_by_ours),
}
FLOORS = ("values alone, autograd, graph", "bare products, graph")
BASE = "nested autograd"


@dataclass(frozen=True)
class Device:
    """A device by its torch name, such as "cuda" or "cpu"."""

    name: str

    @property
    def on_gpu(self) -> bool:
        return self.name.startswith("cuda")

    @property
    def described(self) -> str:
        return torch.cuda.get_device_name(self.name) if self.on_gpu else "the CPU"

    def wait(self) -> None:
        """For all that was started."""
        if self.on_gpu:
            torch.cuda.synchronize(self.name)

    def launches(self, step: Step) -> int | None:
        """Kernels and graphs that the host launches in a step."""
        if not self.on_gpu:
            return None
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            step()
            self.wait()
        names = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cudaGraphLaunch")
        return sum(event.count for event in found.key_averages() if event.key in names)

    def peak_bytes(self, step: Step) -> int | None:
        """That a step adds at its peak to what torch held before; nothing of jax is seen."""
        if not self.on_gpu:
            return None
        self.wait()
        before = torch.cuda.memory_allocated(self.name)
        torch.cuda.reset_peak_memory_stats(self.name)
        step()
        self.wait()
        return torch.cuda.max_memory_allocated(self.name) - before
