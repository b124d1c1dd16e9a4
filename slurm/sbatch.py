"""Calls of sbatch: the number of a job, or why there is none and what to do about it."""

import re
from pathlib import Path

from inr.errors import UserError
from inr.files import write_text
from slurm.commands import SlurmTimeout, SlurmUnavailable, reason_of, run_slurm
from slurm.profile import Profile

SECONDS = 150.0  # sbatch itself tries for two minutes while the queue is full

# Words of `sbatch --test-only` about nodes that are away just now: a real job would wait for them.
_FOR_THE_MOMENT = ("not available", "down", "drain", "reserved", "busy")
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


class RefusedError(UserError):
    """Slurm did not take a job; if that is not ``certain`` it may have, and no answer arrived."""

    def __init__(self, message: str, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


def send(script: str, path: Path, profile: Profile) -> str:
    """Submit a script, which is written to ``path``. Returns the job id. Raises `RefusedError`."""
    # Slurm shows the path: it tells our job where a site writes over comments
    write_text(path, script)
    try:
        answer = run_slurm("sbatch", "--parsable", str(path), timeout=SECONDS)
    except SlurmUnavailable as error:
        certain = not isinstance(error, SlurmTimeout)
        raise RefusedError(_with_advice(str(error), profile), certain) from None
    said = f"{answer.stdout}\n{answer.stderr}"
    job_id = _read_job_id(answer.stdout, said)
    if answer.returncode == 0:
        if job_id:
            return job_id
        raise RefusedError(f"sbatch named no job: {' '.join(said.split())[:300]!r}", certain=False)
    certain = job_id is None and not _UNCERTAIN.search(said)
    raise RefusedError(_with_advice(f"Slurm refused: {reason_of(answer)}", profile), certain)


def send_test(script: str, profile: Profile) -> str:
    """What keeps a job from starting just now, or "". Raises `UserError` for one Slurm refuses."""
    answer = run_slurm("sbatch", "--test-only", stdin=script, timeout=SECONDS)
    if answer.returncode == 0:
        return ""
    message = _with_advice(f"Slurm refused: {reason_of(answer)}", profile)
    said = answer.stderr.replace("allocation failure: ", "").lower()
    if "node configuration" not in said and any(word in said for word in _FOR_THE_MOMENT):
        return message
    raise UserError(message)


def _read_job_id(out: str, said: str) -> str | None:
    """The job id in an answer of sbatch, whatever a site's wrapper puts around it.

    ``12``, ``12;cluster``, or a sentence as ``Submitted batch job 12 on cluster c``; None if there
    is none, or several.
    """
    for pattern, text in (
        (r"(?i)submitted\s+batch\s+job\s+(\d+)", said),
        (r"(?m)^\s*(\d+)(?:;\S*)?\s*$", out),
        (r"(?i)\bjob(?:\s+id)?[\s:=#]+(\d+)\b", out),
    ):
        found = set(re.findall(pattern, text))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _with_advice(message: str, profile: Profile) -> str:
    """Why there is no job, and what to do about it where that is known."""
    found = (a for pattern, a in _REFUSALS.items() if re.search(pattern, message, re.IGNORECASE))
    advice = next(found, ())
    if not isinstance(advice, str):
        # the first one, and others that are set
        fields = dict.fromkeys((*advice[:1], *filter(profile.__getattribute__, (*advice, "extra"))))
        given = ", ".join(f"{field} ({getattr(profile, field)!r})" for field in fields)
        advice = f"In the cluster profile, look at {given}" if given else ""
    return f"{message}. {advice}".removesuffix(". ")
