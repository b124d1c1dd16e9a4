"""Whether, and how, the passes of a training step are compiled.

Compiling takes up to 40 s the first time, less from a cache, and saves about a fifth of a step.
The decision rests on the configuration alone: a cost model with fixed constants, never a clock
and never what a cache holds. Compiled and uncompiled steps differ in their last bits, so a
decision that could change between two attempts would break the promise that a run which was cut
off goes on with the same bits.
"""

from __future__ import annotations

import os
import shutil
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from inr.adjoint import EAGER, Passes, first_pass, other_passes
from inr.config import CompileMode, ModelConfig

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

COLD_SECONDS = 40.0  # of compiling with an empty cache
SAVED_SHARE = 0.2  # of a step that is not compiled
REPAID = 2.0  # how many times over compiling must repay itself
UNITS = {0: 3, 1: 6, 2: 12}  # products of a step per pair of hidden layers, by order
# Multiplications and additions a second in a step that is not compiled. One core of an AMD EPYC
# (Zen 5), on a busy machine, did 1.6e11; for two, 2.3e11 is assumed, as is the figure for GPUs.
SPEED = {"cpu": 2.3e11, "cuda": 1e13}


def step_seconds(
    model: ModelConfig, points: int, order: int, device_type: str, models: int = 1
) -> float:
    """Modelled duration of a step that is not compiled, s; equal on every machine.

    Args:
        model: shape of the network.
        points: points in a batch.
        order: highest derivative in the loss.
        device_type: "cpu" or "cuda".
        models: how many are trained at once.
    """
    product = 2.0 * points * model.width**2
    # depth - 1 pairs of hidden layers; the rest of the step counts as one more
    flops = UNITS[order] * product * model.depth * models
    return flops / SPEED.get(device_type, SPEED["cuda"])


def should_compile(mode: CompileMode, seconds: float, steps: int) -> bool:
    """Whether to compile a run of ``steps`` steps in all that take ``seconds`` each uncompiled.

    ``steps`` is the length of the whole run, not what is left of it, so that every attempt at it
    decides alike.
    """
    if mode != "auto":
        return mode == "on"
    return steps * seconds * SAVED_SHARE >= REPAID * COLD_SECONDS


def prepare_passes(
    device_type: str, trial: Callable[[Passes], object]
) -> tuple[Passes, str | None]:
    """The compiled passes, tried once; or the plain ones and a line that says why.

    Args:
        device_type: "cpu" or "cuda".
        trial: takes one step of the shape to come, and throws its result away. Compiling
            happens here.
    """
    compiler = os.environ.get("CXX", "g++")
    if device_type == "cpu" and shutil.which(compiler) is None:
        return EAGER, _note(f"no C++ compiler: {compiler!r} was not found")
    passes = Passes(
        first=torch.compile(first_pass, dynamic=False, fullgraph=True),
        others=torch.compile(other_passes, dynamic=False, fullgraph=True),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler about itself
            trial(passes)
    except (RuntimeError, OSError) as error:  # all that torch's compilers raise
        return EAGER, _note(_reason(error))
    return passes, None


def _reason(error: Exception) -> str:
    """The first line that says something: torch puts "backend='inductor' raised:" before it."""
    lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
    return lines[0] if lines else type(error).__name__


def _note(reason: str) -> str:
    return f"steps are not compiled ({reason}); they take about a quarter longer"


def share_cache(directory: Path) -> str | None:
    """Let this process, and those it starts, keep compiled code in ``directory``.

    Compiled code is run when it is read back, so the directory is the user's alone (mode 700).
    One that somebody else owns or may write to is not used. A cache that the user has chosen by
    the environment variable stays. Call before anything is compiled.

    Returns:
        None, or a line that says why the directory is not used.
    """
    if os.environ.get(CACHE_VARIABLE):
        return None
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return (
            f"{directory} is not used to keep compiled code: others may write to it. "
            "Make it yours alone (chmod 700) or remove it"
        )
    os.environ[CACHE_VARIABLE] = str(directory.resolve())
    return None
