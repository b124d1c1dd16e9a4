"""Where and with what a run was made."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import inr

_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "h5py", "submitit")
ROOT = Path(inr.__file__).resolve().parents[1]  # the checkout, a snapshot, or site-packages
CODE = ("inr", "jobs", "postprocess", "slurm")  # below it: what decides how runs end;
NO_CODE = "slurm/testbed"  # not this
SOURCE = "source.json"  # in a snapshot: the `Source` that it was made from


@dataclass(frozen=True)
class Source:
    """Which code this is.

    Attributes:
        version: of this software.
        commit: git commit, or "" where there is no git.
        dirty: whether the code differs from that commit.
    """

    version: str
    commit: str
    dirty: bool

    def __str__(self) -> str:
        """As in ``1.0.0+g0123456789ab-dirty``."""
        commit = f"+g{self.commit[:12]}" if self.commit else ""
        return f"{self.version}{commit}{'-dirty' if self.dirty else ''}"


@cache
def source() -> Source:
    """Which code runs: as a snapshot says of itself, otherwise as git says of the checkout."""
    try:
        said = json.loads((ROOT / SOURCE).read_text(encoding="utf-8"))
        return Source(said["version"], said["commit"], said["dirty"])
    except FileNotFoundError:
        pass
    # an installed copy may lie in somebody else's repository
    if git("rev-parse", "--show-prefix") != "":
        return Source(inr.__version__, "", False)
    commit = git("rev-parse", "--verify", "HEAD") or ""
    return Source(
        inr.__version__,
        commit,
        bool(commit and git("status", "--porcelain", "--", *CODE, f":!{NO_CODE}")),
    )


@cache
def code_version() -> str:
    """Version of this software, with the git commit (``-dirty`` if changed) where there is one."""
    return str(source())


def git(*arguments: str) -> str | None:
    """What git says of the code that runs, without the last line break; None if it cannot say."""
    try:
        answer = subprocess.run(  # noqa: S603
            # who runs the code of a tree trusts it, whoever owns it
            ["git", "-c", f"safe.directory={ROOT}", *arguments],  # noqa: S607
            cwd=ROOT,
            # not of the repository that a hook or a shell is about
            env={name: value for name, value in os.environ.items() if name[:4] != "GIT_"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.removesuffix("\n")


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
