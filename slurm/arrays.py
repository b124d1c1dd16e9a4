"""How many tasks fit into a job array, and how a sweep is split into arrays."""

from __future__ import annotations

import itertools
import re

from inr.errors import UserError
from slurm.batch_script import require_slurm
from slurm.commands import SlurmUnavailable, ask_slurm
from slurm.profile import Profile

DEFAULT_MAX_ARRAY_SIZE = 1001  # Slurm's own default


def plan_arrays(count: int, limit: int) -> list[slice]:
    """Split ``count`` tasks into as few arrays as allowed, of sizes that differ by at most one.

    Slurm numbers the tasks of an array from 0 to at most ``limit - 1``. Clusters that
    forbid arrays say 0 or 1: then every task is a job of its own.
    """
    arrays = -(-count // max(1, limit))
    edges = [number * count // arrays for number in range(arrays + 1)] if arrays else []
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def max_array_size(profile: Profile) -> int:
    """The profile's limit, otherwise the cluster's.

    Raises `UserError` where there is no cluster, or no answer.
    """
    require_slurm()
    limit = ask_max_array_size(profile)
    if limit is None:
        raise UserError(
            "Slurm does not answer `scontrol show config`. Try again when the cluster is back, "
            "or run here with --local"
        )
    return limit


def ask_max_array_size(profile: Profile) -> int | None:
    """The profile's limit, otherwise the cluster's; None when there is no cluster to ask."""
    if profile.max_array_size is not None:
        return profile.max_array_size
    try:
        answer = ask_slurm("scontrol", "show", "config")
    except SlurmUnavailable:
        return None
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer, re.MULTILINE)
    return int(found[1]) if found else None
