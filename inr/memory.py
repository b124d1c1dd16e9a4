"""How much memory a run needs at its peak, of the host and of a GPU. Knows nothing of torch.

What grows are the sequences: points = pixels times frames. On the host, in bytes a point with
numbers of n bytes: targets and predictions 5 n each; what batches are drawn from 8 n, on the device
of the run; and at the end, when batches are over, the results file in float32, 40. One frame at a
time is computed in float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inr.config import RunConfig

MIB = 2**20
# of one step on a GPU in float32, whatever its batch and its depth: points come in tiles
GPU_TILE_BYTES = 512 * MIB
TILE_ARRAYS = 14  # [unit, point] of a hidden layer that a step holds at once

_CPU_PROCESS = 380 * MIB  # Python, torch and tiny networks; measured
_COMPILER = 90 * MIB  # of torch, if steps may be compiled; measured
CPU_TILE_NUMBERS = 240_000  # [unit, point] of a tile on a CPU
_GPU_PROCESS = 2560 * MIB  # with CUDA's libraries; assumed
_GPU_CONTEXT = 1024 * MIB  # of CUDA and cuBLAS on the device; assumed
_FRAME = 350  # bytes a pixel of the frame at hand; measured
_COPIES = 6  # of the parameters: gradient, optimiser, checkpoint


@dataclass(frozen=True)
class Memory:
    """Bytes that the largest task of a sweep needs at its peak."""

    host: int
    least: int  # of the host, if it trains its runs as one where that is left to it
    gpu: int  # of each of its GPUs; 0 without

    def describe(self) -> str:
        """As in ``5.1 GB of memory a task``."""
        gpu = f", {in_gb(self.gpu)} of its GPU" if self.gpu else ""
        return f"{in_gb(self.host)} of memory a task{gpu}"


def in_gb(size: int) -> str:
    """Rounded up; a GB is 1,024 MB here, as in Slurm."""
    return f"{math.ceil(size / 2**30 * 10) / 10:.1f} GB"


def expected_memory(
    tasks: Sequence[Sequence[RunConfig]], pack_mode: str, gpus: int, cpus: int
) -> Memory:
    """Of tasks with so many GPUs and cores each, trained as `jobs.worker.train` does."""
    fused = pack_mode == "fused" or (pack_mode == "auto" and gpus > 0)
    needs = []
    for task in tasks:
        processes = [task] if fused else [[run] for run in task]
        at_once = len(processes) if gpus else min(cpus, len(processes))
        host = _largest(at_once, [host_memory(each, gpus > 0) for each in processes])
        least = min(host, host_memory(task, gpus > 0)) if pack_mode == "auto" else host
        on_each = math.ceil(len(processes) / max(1, gpus))
        gpu = _largest(on_each, list(map(gpu_memory, processes))) if gpus else 0
        needs.append((host, least, gpu))
    return Memory(*map(max, zip(*needs, strict=True)))


def _largest(count: int, numbers: list[int]) -> int:
    return sum(sorted(numbers)[-count:])


def host_memory(configs: Sequence[RunConfig], on_gpu: bool) -> int:
    """Bytes of the host that a process needs which trains these runs as one."""
    process = _GPU_PROCESS if on_gpu else _CPU_PROCESS + max(map(_cpu_step, configs))
    frame = max(_FRAME * config.data.size**2 for config in configs)
    return process + frame + sum(_sequences(config, on_gpu) for config in configs)


def gpu_memory(configs: Sequence[RunConfig]) -> int:
    """Bytes of a GPU that such a process needs; nothing of it was measured."""
    samples = sum(8 * _number(config) * _points(config) for config in configs)
    # a CUDA graph keeps its tile, and the plain step it is compared with has another
    tiles = 2 * GPU_TILE_BYTES * max(map(_number, configs)) // 4
    return _GPU_CONTEXT + tiles + samples + sum(map(_parameters, configs))


def _cpu_step(config: RunConfig) -> int:
    """Of a tile and the one before it, and of what compiles them."""
    training = config.training
    numbers = min(CPU_TILE_NUMBERS, config.model.width * config.model.sines * config.step_points)
    compiler = 0 if training.compile == "off" else _COMPILER
    return compiler + 2 * _number(config) * TILE_ARRAYS * config.model.depth * numbers


def _sequences(config: RunConfig, on_gpu: bool) -> int:
    number = _number(config)
    samples = 0 if on_gpu else 8 * number
    parameters = 0 if on_gpu else _parameters(config)
    return (10 * number + max(samples, 40)) * _points(config) + parameters


def _points(config: RunConfig) -> int:
    """The image is taken for square."""
    return config.data.frames * config.data.size**2


def _parameters(config: RunConfig) -> int:
    model = config.model
    return _COPIES * _number(config) * (model.depth - 1) * (model.width * model.sines) ** 2


def _number(config: RunConfig) -> int:
    return 8 if config.training.precision == "float64" else 4
