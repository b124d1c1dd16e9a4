"""What this machine has to compute with, found without loading torch."""

from __future__ import annotations

import os
import shutil
import subprocess


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cuda_devices() -> list[str]:
    """The CUDA devices as ``CUDA_VISIBLE_DEVICES`` names them: indices or UUIDs."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        devices = [device.strip() for device in visible.split(",")]
        # CUDA ignores everything from the first invalid entry on, and -1 is the usual "none"
        return [device for device in devices if device and device != "-1"]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        listing = subprocess.run(  # noqa: S603, a fixed command
            [command, "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if listing.returncode != 0:
        return []
    count = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
    return [str(index) for index in range(count)]
