"""What this machine has to compute with, found without loading torch."""

import os
import platform
import re
import subprocess
from itertools import takewhile

from inr.cpus import core_count
from inr.errors import UserError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TASKS_A_DEVICE = 4  # each has a context of its own in the memory of the device
# an index, a UUID or its beginning, or a part of a device; anything else names no device
_DEVICE = re.compile(r"\d+|GPU-[\w-]+|MIG-[\w/-]+", re.IGNORECASE)


def default_workers(pack: int) -> int:
    """Tasks of ``pack`` runs at once: a core for each run, at most `TASKS_A_DEVICE` a GPU."""
    workers = max(1, core_count() // pack)
    devices = cuda_devices()
    return min(workers, TASKS_A_DEVICE * len(devices)) if devices else workers


def children_at_once(runs: int) -> int:
    """How many of so many runs train at the same time, in a process each.

    All on a GPU, which shares itself out; on the CPU one a core, and the others wait.
    """
    return runs if cuda_devices() else min(runs, given_cpus())


def given_cpus() -> int:
    """Cores that this task was given."""
    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("OMP_NUM_THREADS") or ""
    return int(given) if given.isdigit() and int(given) > 0 else core_count()


def given_gpus() -> int:
    """GPUs that this task was given, by Slurm or by whoever started it."""
    return slurm_gpus() or len(visible_devices(os.environ.get("CUDA_VISIBLE_DEVICES", "")))


def cuda_devices() -> list[str]:
    """The CUDA devices as ``CUDA_VISIBLE_DEVICES`` names them: indices or UUIDs."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return visible_devices(visible)
    try:
        listing = subprocess.check_output(
            ["nvidia-smi", "-L"],  # noqa: S607
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):  # there is none, or it fails
        return []
    count = sum(line.startswith("GPU ") for line in listing.splitlines())
    return [str(index) for index in range(count)]


def visible_devices(variable: str) -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` names; as CUDA does, up to the first that is none.

    "NoDevFiles", which Slurm gives to jobs without a GPU, and -1 are none. A device that is named
    twice makes CUDA find none at all.
    """
    names = (name.strip() for name in variable.split(","))
    devices = list(takewhile(_DEVICE.fullmatch, names))
    return devices if len(devices) == len(set(devices)) else []


def slurm_gpus() -> int:
    """GPUs that Slurm gave to this task on this node; 0 outside Slurm."""
    given = os.environ.get("SLURM_GPUS_ON_NODE") or os.environ.get("SLURM_GPUS_PER_NODE", "")
    count = given.rpartition(":")[2]  # perhaps of a type
    return int(count) if count.isdigit() else 0


def require_gpu() -> None:
    """Raise `UserError` if Slurm gave this task a GPU and torch finds none.

    Training would go on without it, hold it for nothing, and take many times as long.
    """
    import torch

    if slurm_gpus() and not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise UserError(
            f"no GPU: Slurm gave this task {slurm_gpus()} on {platform.node()}, and torch "
            f"{torch.__version__} (built {built}) finds none (CUDA_VISIBLE_DEVICES={visible}). "
            "Look at nvidia-smi on that node; a profile with gpus: 0 trains on the CPU"
        )
