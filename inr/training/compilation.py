"""Whether, and how, the passes of a training step are compiled.

Compiling takes about 20 s the first time, 5 from a cache, and nothing for further runs of a shape
in one process; it saves a fifth to a third of a step. The decision rests on a cost model with
fixed constants, never on a clock and never on what a cache holds, and stays with the run (its
checkpoint knows). Compiled and uncompiled steps differ in their last bits, so a decision that
changed between two attempts would break the promise that a run which was cut off goes on with the
same bits.
"""

import hashlib
import os
import platform
import shutil
import stat
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch

from inr.config import CompileMode, ModelConfig
from inr.network.adjoint import EAGER, Passes
from inr.signals import signals_blocked

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

# What the compiler looks at, on x86 and on ARM, of all that /proc/cpuinfo tells.
_CPU_FACTS = (
    *("vendor_id", "cpu family", "model", "model name", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),
)

COLD_SECONDS = 20.0  # of compiling with an empty cache
REPAID = 1.5  # how many times over compiling must repay itself
# Seconds that a compiled step of order 2 saves for every point, unit and hidden layer, and the
# parts of it that those of lower order save. Two cores of an AMD EPYC (Zen 5) gave 3.8e-9 to
# 4.7e-9 at widths 64 to 512 and 1,024 to 65,536 points (docs/performance.md); for elu 5.6e-9. One
# core saves about half more. The figure for GPUs is assumed.
SAVED = {"cpu": 4.5e-9, "cuda": 1e-10}
SHARES = {0: 0.25, 1: 0.4, 2: 1.0}


def saved_seconds(
    model: ModelConfig, points: int, order: int, device_type: str, models: int = 1
) -> float:
    """What compiling is modelled to save of a step of so many models, s; equal on all machines."""
    numbers = points * model.width * model.depth * models
    return SAVED.get(device_type, SAVED["cuda"]) * SHARES[order] * numbers


def should_compile(mode: CompileMode, saved: float, earlier: bool | None = None) -> bool:
    """Whether to compile steps, where that saves ``saved`` seconds of all of them.

    ``earlier`` is whether an earlier attempt at the run compiled its steps; None: there was none.
    """
    if mode != "auto":
        return mode == "on"
    return saved >= REPAID * COLD_SECONDS if earlier is None else earlier


@cache
def _compiled() -> Passes:
    compiled = partial(torch.compile, dynamic=False, fullgraph=True)
    return Passes(compiled(EAGER.first), compiled(EAGER.others))


def prepare_passes(
    device_type: str, trial: Callable[[Passes], object]
) -> tuple[Passes, str | None]:
    """The compiled passes, tried once; or the plain ones and a line that says why.

    ``trial`` takes one step of the shape to come. Compiling happens there.
    """
    compiler = os.environ.get("CXX", "g++")
    if device_type == "cpu" and shutil.which(compiler) is None:
        return EAGER, _note(f"no C++ compiler: {compiler!r} was not found")
    passes = _compiled()
    try:
        # Ctrl-C in a terminal, and Slurm, signal the compiler too, which must not die of it: steps
        # that are not compiled have other bits
        with signals_blocked(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler about itself
            trial(passes)
    except (RuntimeError, OSError) as error:  # all that torch's compilers raise
        # the first line that says something: before it, "backend='inductor' raised:"
        lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
        return EAGER, _note(lines[0] if lines else type(error).__name__)
    return passes, None


def _note(reason: str) -> str:
    return f"steps are not compiled ({reason}); they take about a quarter longer"


def share_cache(directory: Path) -> str | None:
    """Let this process, and those it starts, keep compiled code in ``directory``.

    Every kind of processor has a part of its own: code is compiled for the one at hand, and would
    die on an older one with an illegal instruction. Compiled code is run when it is read back, so
    the directory is the user's alone (mode 700): one that somebody else owns or may write to is not
    used; the line returned says so. A cache that the user has chosen by the environment variable
    stays. Call before anything is compiled.
    """
    if os.environ.get(CACHE_VARIABLE):
        return None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
    except OSError as error:
        return f"{directory} is not used to keep compiled code: {error.strerror}"
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return (
            f"{directory} is not used to keep compiled code: others may write to it. "
            "Make it yours alone (chmod 700) or remove it"
        )
    os.environ[CACHE_VARIABLE] = str(directory.resolve() / processor())
    return None


def processor(described: Path = Path("/proc/cpuinfo")) -> str:
    """A name for this kind of processor: equal where code compiled for one runs on the other."""
    try:
        first, _, _ = described.read_text(encoding="utf-8").partition("\n\n")
    except OSError:  # not Linux
        first = ""
    pairs = (line.partition(":") for line in first.splitlines())
    facts = [f"{name.strip()}:{value}" for name, _, value in pairs if name.strip() in _CPU_FACTS]
    told = "\n".join([platform.processor(), *facts])
    return f"{platform.machine()}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
