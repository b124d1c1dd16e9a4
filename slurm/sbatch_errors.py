"""What sbatch answers: the number of a job, or why there is none and what to do about it."""

from __future__ import annotations

import re

from slurm.commands import Answer
from slurm.profile import Profile

# Pattern in a refusal by sbatch -> fields of the profile it is about, or what to do about it. The
# first match counts. Slurm names a limit in a word of its own, as QOSMaxSubmitJobPerUserLimit.
_REFUSALS: dict[str, tuple[str, ...] | str] = {
    r"(Assoc|QOS)\w*SubmitJob": (
        "Only so many tasks may be in the queue at once, each task of an array counting. Launch "
        "again when some have ended, which submits the others, or put several runs into a task "
        "with --pack"
    ),
    r"MaxJobCount|temporarily un": (
        "The cluster's queue is full (MaxJobCount). Launch again later, or put several runs into "
        "a task with --pack"
    ),
    r"(Assoc|QOS)(Grp|Max)Jobs": (
        "Only so many jobs may run at once. Lower parallelism in the cluster profile, or launch "
        "again when some have ended"
    ),
    r"(Assoc|QOS)\w*(Wall|Time)|(Partition|requested) ?time ?limit": ("time",),
    r"(Assoc|QOS)\w*Cpu": ("cpus",),
    r"(Assoc|QOS)\w*Mem": ("memory",),
    r"(Assoc|QOS)\w*(GRES|TRES|Node|Billing|BB)": ("gpus", "cpus", "memory"),
    r"accounting/QOS policy": (
        "It is a limit on submitted jobs, size or time: `sacctmgr show qos` and `sacctmgr show "
        "assoc user=$USER` list them. Fewer tasks (--pack), less time, fewer GPUs, cores or memory "
        "in the cluster profile keep within it"
    ),
    r"\boption": ("extra",),
    r"\baccount\b": ("account", "partition", "qos"),
    r"\bpartition\b": ("partition",),
    r"\bqos\b": ("qos",),
    r"\bfeature": ("constraint",),
    r"\bnode name": ("nodelist", "exclude"),
    r"\bmem": ("memory",),
    r"\bprocessors|\bcpu": ("cpus",),
    r"\bgres\b": ("gpus",),
    r"node config": ("gpus", "cpus", "memory", "partition", "constraint", "nodelist", "exclude"),
    r"time limit": ("time",),
    r"\barray": ("max_array_size",),
}
# Words of errors after which the job may nevertheless have been accepted.
_UNCERTAIN = re.compile(r"timed out|unable to contact|zero bytes|communication|connection", re.I)


def read_job_id(out: str, err: str = "") -> str | None:
    """The job id in an answer of sbatch, whatever a site's wrapper puts around it.

    ``12``, ``12;cluster``, or a sentence as ``Submitted batch job 12 on cluster c``; None if there
    is none, or several.
    """
    for pattern, text in (
        (r"(?i)submitted\s+batch\s+job\s+(\d+)", f"{out}\n{err}"),
        (r"(?m)^\s*(\d+)(?:;\S*)?\s*$", out),
        (r"(?i)\bjob(?:\s+id)?[\s:=#]+(\d+)\b", out),
    ):
        found = set(re.findall(pattern, text))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def is_certain(answer: Answer) -> bool:
    """Whether the job that sbatch failed to submit was not accepted all the same."""
    said = answer.out + answer.err
    return read_job_id(answer.out, answer.err) is None and not _UNCERTAIN.search(said)


def explain(answer: Answer, profile: Profile) -> str:
    """Say what sbatch said, and what to do about it."""
    hint = advice_on(answer.reason, profile)
    return f"Slurm refused: {answer.reason}" + (f". {hint}" if hint else "")


def advice_on(said: str, profile: Profile) -> str:
    """What to do about a refusal; "" if that is not known."""
    found = (a for pattern, a in _REFUSALS.items() if re.search(pattern, said, re.IGNORECASE))
    advice = next(found, ())
    if isinstance(advice, str):
        return advice
    # the first one, and others that are set
    fields = dict.fromkeys((*advice[:1], *filter(profile.__getattribute__, (*advice, "extra"))))
    given = ", ".join(f"{field} ({getattr(profile, field)!r})" for field in fields)
    return f"In the cluster profile, look at {given}" if given else ""
