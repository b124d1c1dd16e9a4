"""Where and with what a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import inr

_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "h5py", "submitit")


@cache
def code_version() -> str:
    """Version of this software, with the git commit (``-dirty`` if changed) where there is one."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return inr.__version__
    return f"{inr.__version__}+g{described.stdout.strip()}"


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers and files."""
    versions = {"python": platform.python_version(), "platform": sys.platform}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def host() -> str:
    """Name of this machine."""
    return platform.node()


def slurm_job_id() -> str:
    """Slurm job, ``<array>_<task>`` in an array; empty outside Slurm."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
