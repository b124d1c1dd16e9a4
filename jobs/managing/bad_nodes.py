"""Nodes that fail the runs they are given: what is started again avoids them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from jobs.managing.run_state import UNFINISHED
from jobs.managing.sweep_status import SweepStatus
from slurm.commands import SlurmUnavailable, ask_slurm
from slurm.profile import Profile

_ENOUGH = 2  # failures on a node
# How errors of a GPU and of its driver read, and what looks like one and is not.
_OF_NODE = re.compile(
    r"CUDA.*(error|capable|driver)|NVIDIA driver|NVML|HIP error|no GPU", re.IGNORECASE
)
_NOT_OF_NODE = re.compile(
    r"out of memory|device-side assert|illegal memory|without CUDA", re.IGNORECASE
)


def bad_nodes(status: SweepStatus) -> list[str]:
    """Nodes on which at least two runs of a sweep failed for the node's reasons.

    These are: Slurm says NODE_FAIL (where there is accounting), or a run that is not finished
    failed before its first step, with an error of the GPU.
    """
    failures = Counter(_failed_nodes(status))
    for run in status.in_states(UNFINISHED):
        for attempt in status.seen[run.name].attempts:
            at_start = attempt.status == "failed" and attempt.last_step <= attempt.first_step
            why = attempt.reason
            if at_start and attempt.node and _OF_NODE.search(why) and not _NOT_OF_NODE.search(why):
                failures[attempt.node] += 1
    return sorted(node for node, count in failures.items() if count >= _ENOUGH)


def avoiding(profile: Profile, nodes: Collection[str]) -> Profile:
    """The profile without those of ``nodes`` that it uses. Says so.

    They are not excluded where the profile insists on nodes, or uses no others: Slurm would refuse
    the job.
    """
    usable = _nodes_of(profile)
    bad = [node for node in nodes if node in usable] if usable else list(nodes)
    if not bad:
        return profile
    names = ",".join(bad)
    if profile.nodelist or usable == set(bad):
        print(f"note: runs failed on {names}, but the profile allows no other node")
        return profile
    print(
        f"note: {names} excluded, where at least {_ENOUGH} runs failed for the node's reasons "
        "(--all-nodes submits to it all the same)"
    )
    return profile.model_copy(update={"exclude": ",".join(filter(None, (profile.exclude, names)))})


def _failed_nodes(status: SweepStatus) -> list[str]:
    """The node of every task that ended by the failure of a node; requeued ones too."""
    jobs = sorted({each.job_id for each in status.job_map.submissions if each.job_id})
    if not jobs:
        return []
    what = ("--allocations", "--duplicates", "--noheader", "--parsable2")
    try:
        told = ask_slurm("sacct", *what, "--jobs", ",".join(jobs), "--format", "State,NodeList")
    except SlurmUnavailable:
        return []
    rows = (line.partition("|") for line in told.splitlines())
    return [node for state, _, node in rows if state == "NODE_FAIL"]


def _nodes_of(profile: Profile) -> set[str]:
    """Nodes that jobs of a profile may get; none if Slurm does not say."""
    where = ("--partition", profile.partition) if profile.partition else ()
    try:
        told = ask_slurm("sinfo", "--Node", "--noheader", *where, "--format", "%N %P")
        excluded = ask_slurm("scontrol", "show", "hostnames", profile.exclude or "")
    except SlurmUnavailable:
        return set()
    rows = [row for line in told.splitlines() if len(row := line.split()) == 2]
    nodes = {node for node, partition in rows if profile.partition or partition.endswith("*")}
    return nodes - (set(excluded.split()) if profile.exclude else set())
