"""The script of one job, written by submitit: what is asked for, and what a task runs."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.slurm.slurm import _make_sbatch_string

from inr.storage.paths import SweepLayout
from slurm.journal import post_name
from slurm.profile import Profile
from slurm.requeue import REQUEUE, REQUEUE_CODE, REQUEUE_LINES

SIGNAL_SECONDS = 90  # USR2 comes this long before the time limit

# Options of `extra` that are about the resources of a training task.
_TRAINING_ONLY = re.compile(r"exclusive|gres|tres.*|gpu.*|.*-per-(gpu|cpu|task)|mem-.*")
# What a wrapper around sbatch may have set again, and srun would obey.
_UNSET = "unset ${!SRUN_@} ${!SLURM_CPU_BIND@} ${!SLURM_MEM_BIND@} SLURM_EXPORT_ENV"
# A signal that comes before Python listens must not end the task; what is ignored stays so.
_DEAF = 'trap "" USR2 TERM; exec "$@"'
# What a task has to know, also in an image that clears the environment.
_PASSED = (
    "^(SLURM_(CONF|JOB_ID|ARRAY_JOB_ID|ARRAY_TASK_ID|RESTART_COUNT|CPUS_PER_TASK|GPUS_ON_NODE)"
    "|SLURMD_NODENAME|CUDA_VISIBLE_DEVICES)="
)


@dataclass(frozen=True)
class BatchScripts:
    """The scripts of a sweep's jobs, which run the snapshot ``code``."""

    layout: SweepLayout
    profile: Profile
    code: Path

    def array(self, token: str, count: int, parallelism: int, after: str = "") -> str:
        """The job of the ``count`` tasks of submission ``token``, ``parallelism`` at a time.

        An array, or a plain job for a single task; it starts when job ``after``, if any, has ended.
        """
        profile = self.profile
        parameters = profile.model_dump(include={"partition", "constraint", "nodelist", "time"}) | {
            "job_name": self.layout.name,
            "gpus_per_node": profile.gpus or None,
            "cpus_per_task": profile.cpus,
            "mem": profile.memory,
            "array_parallelism": parallelism,
            "dependency": f"afterany:{after}" if after else None,
            "additional_parameters": self._extra,
        }
        return self._script(token, parameters, "jobs.worker.array_task", token, count=count)

    def post(self, token: str, after: Sequence[str]) -> str:
        """The job that merges and draws when the jobs ``after`` have ended, however they ended."""
        profile = self.profile
        extra = {k: v for k, v in self._extra.items() if not _TRAINING_ONLY.fullmatch(k)}
        parameters = {
            "job_name": post_name(self.layout.name),
            "partition": profile.post_partition or profile.partition,
            "time": profile.post_time,
            "cpus_per_task": profile.post_cpus,
            "mem": profile.post_memory or profile.memory,
            "dependency": ":".join(("afterany", *after)) if after else None,
            "additional_parameters": extra | {"signal": f"TERM@{SIGNAL_SECONDS}"},
        }
        return self._script(token, parameters, "jobs.launching.postprocessing")

    @property
    def _extra(self) -> dict[str, Any]:
        return {k: v for k, v in self.profile.extra.items() if v is not False} | {"requeue": True}

    def _script(
        self, token: str, parameters: dict[str, Any], module: str, *arguments: str, count: int = 1
    ) -> str:
        """The script of a module's job. Parameters are submitit's; None: no such line in it."""
        profile = self.profile
        unset = [_UNSET]
        if profile.memory:
            unset.append("SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU")
        if count == 1:  # not of an array, though one of its tasks may have launched it
            unset.append("SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID")
        trap = ["trap : TERM"] if profile.container else []  # what requeues the job outlives it
        parameters |= profile.model_dump(include={"account", "qos", "exclude"}) | {
            "comment": profile.comment or f"inr:{token}",  # `slurm.job_queue` knows it again
            "ntasks_per_node": 1,
            "signal_delay_s": SIGNAL_SECONDS,
            "wckey": None,
            "map_count": count if count > 1 else None,
            "setup": [" ".join(unset), *trap, *guarded(profile.setup)],
            "teardown": list(REQUEUE_LINES) if profile.container else None,
            # since Slurm 22.05 srun does not inherit this from sbatch
            "srun_args": [f"--cpus-per-task={parameters['cpus_per_task']}"],
        }
        words = shlex.join(("-m", module, str(self.layout.root.resolve()), *arguments))
        command = f"bash -c {shlex.quote(_DEAF)} bash {python_command(self.code, profile)} {words}"
        # submitit's executor would submit by itself, and cannot be made where there is no Slurm
        return _make_sbatch_string(command, self.layout.submitit.resolve(), **parameters)


def python_command(code: Path, profile: Profile) -> str:
    """Shell words that start Python with the code of the snapshot ``code``."""
    before, python = "env", shlex.quote(sys.executable)
    if profile.container:  # an image has a Python of its own, and perhaps no scontrol
        passed = f"{REQUEUE}={REQUEUE_CODE} $(env | grep -E '{_PASSED}')"
        before, python = f"{profile.container} env {passed}", "python3"
    # -P: a job starts where it was submitted, and must not import what happens to lie there
    path = shlex.quote(f"PYTHONPATH={code.resolve()}")
    return f'{before} {path}"${{PYTHONPATH:+:$PYTHONPATH}}" {python} -P -u'


def guarded(setup: Sequence[str]) -> Iterator[str]:
    """Each setup line, followed by a check that ends the job if it failed.

    Not `set -e`: it would miss `cd data && . env.sh`, and it breaks scripts that module and conda
    run, which were not written for it.
    """
    for line in setup:
        yield line
        yield f"[ $? -eq 0 ] || {{ echo {shlex.quote(f'setup failed: {line}')} >&2; exit 1; }}"
