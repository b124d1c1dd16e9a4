"""One job for Slurm: its script, written by submitit, and its submission."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from inr.errors import UserError
from inr.files import write_text
from inr.storage.paths import SweepLayout
from slurm.commands import SlurmTimeout, SlurmUnavailable, run_slurm
from slurm.journal import comment, post_name
from slurm.profile import Profile
from slurm.requeue import REQUEUE, REQUEUE_CODE, REQUEUE_LINES
from slurm.sbatch_errors import advice_on, explain, is_certain, read_job_id

SIGNAL_SECONDS = 90  # USR2 comes this long before the time limit
# sbatch itself tries for two minutes while the queue is full
_SBATCH_SECONDS = 150.0

# Words of `sbatch --test-only` about nodes that are away just now: a real job would wait for them.
_FOR_THE_MOMENT = ("not available", "down", "drain", "reserved", "busy")
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


class RefusedError(UserError):
    """Slurm did not take a job.

    Attributes:
        certain: False when it may have taken it all the same: its answer did not arrive.
    """

    def __init__(self, message: str, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


@dataclass(frozen=True)
class JobScript:
    """One job: what sbatch is asked for, and how to ask.

    Attributes:
        profile: the cluster profile, for explanations.
        executor: submitit's, with all options set.
        command: what each task runs.
        token: of the submission.
    """

    profile: Profile
    executor: _Executor
    command: str
    token: str

    @property
    def text(self) -> str:
        """The sbatch script, exactly as `send` submits it."""
        return str(self.executor._make_submission_file_text(self.command, uid=""))

    def send(self) -> str:
        """Submit. Returns the job id. Raises `RefusedError`."""
        # Slurm shows the path: it tells our job where a site writes over comments
        path = Path(self.executor.folder) / f"{self.token}_submission.sh"
        write_text(path, self.text)
        try:
            answer = run_slurm("sbatch", "--parsable", str(path), timeout=_SBATCH_SECONDS)
        except SlurmUnavailable as error:
            hint = advice_on(str(error), self.profile)
            certain = not isinstance(error, SlurmTimeout)
            raise RefusedError(f"{error}. {hint}".removesuffix(". "), certain) from None
        job_id = read_job_id(answer.out, answer.err)
        if answer.code == 0 and job_id:
            return job_id
        if answer.code == 0:
            said = " ".join(f"{answer.out} {answer.err}".split())[:300]
            raise RefusedError(f"sbatch named no job: {said!r}", certain=False)
        raise RefusedError(explain(answer, self.profile), is_certain(answer))

    def test(self) -> str:
        """Ask whether Slurm would take the job. Returns what keeps it from starting, or "".

        Raises `UserError` if Slurm would refuse it.
        """
        require_slurm()
        answer = run_slurm("sbatch", "--test-only", stdin=self.text, timeout=_SBATCH_SECONDS)
        if answer.code == 0:
            return ""
        message = explain(answer, self.profile)
        said = answer.err.replace("allocation failure: ", "").lower()
        if "node configuration" not in said and any(word in said for word in _FOR_THE_MOMENT):
            return message
        raise UserError(message)


class _Executor(submitit.SlurmExecutor):
    """submitit's executor, which can also be made without a cluster."""

    @classmethod
    def affinity(cls) -> int:
        """Always available: whoever submits has looked for Slurm before."""
        return 2


def array_script(
    layout: SweepLayout,
    profile: Profile,
    token: str,
    code: Path,
    count: int,
    parallelism: int,
    after: str = "",
) -> JobScript:
    """The job of the ``count`` tasks of submission ``token``, ``parallelism`` at a time.

    An array, or a plain job for a single task; it starts when job ``after`` has ended, if given.
    """
    parameters = _common(layout, profile, token, plain=count == 1) | {
        "partition": profile.partition,
        "constraint": profile.constraint,
        "nodelist": profile.nodelist,
        "time": profile.time,
        "gpus_per_node": profile.gpus or None,
        "cpus_per_task": profile.cpus,
        "mem": profile.memory,
        "array_parallelism": parallelism,
        "dependency": f"afterany:{after}" if after else None,
        # since Slurm 22.05 srun does not inherit this from sbatch
        "srun_args": [f"--cpus-per-task={profile.cpus}"],
        "additional_parameters": _extra(profile) | {"requeue": True},
    }
    executor = _executor(layout, parameters)
    if count > 1:
        executor.parameters["map_count"] = count
    root = str(layout.root.resolve())
    command = _command(code, profile, "jobs.worker.array_task", root, token)
    return JobScript(profile, executor, command, token)


def post_script(
    layout: SweepLayout, profile: Profile, token: str, code: Path, after: Sequence[str]
) -> JobScript:
    """The job that merges and draws when the jobs ``after`` have ended, however they ended."""
    extra = {k: v for k, v in _extra(profile).items() if not _TRAINING_ONLY.fullmatch(k)}
    parameters = _common(layout, profile, token, plain=True) | {
        "job_name": post_name(layout.name),
        "partition": profile.post_partition or profile.partition,
        "time": profile.post_time,
        "cpus_per_task": profile.post_cpus,
        "mem": profile.post_memory or profile.memory,
        "dependency": ":".join(("afterany", *after)) if after else None,
        "srun_args": [f"--cpus-per-task={profile.post_cpus}"],
        "additional_parameters": extra | {"requeue": True, "signal": f"TERM@{SIGNAL_SECONDS}"},
    }
    command = _command(code, profile, "jobs.launching.postprocessing", str(layout.root.resolve()))
    return JobScript(profile, _executor(layout, parameters), command, token)


def require_slurm() -> None:
    """Raise `UserError` where no job can be submitted."""
    missing = [program for program in ("sbatch", "srun") if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"no {' and no '.join(missing)} here, so nothing can be submitted. Go to a machine of "
            "the cluster (perhaps `module load slurm` first), or run here with --local"
        )


def _executor(layout: SweepLayout, parameters: dict[str, Any]) -> _Executor:
    executor = _Executor(layout.submitit.resolve())
    executor.update_parameters(**parameters)
    return executor


def _common(layout: SweepLayout, profile: Profile, token: str, plain: bool) -> dict[str, Any]:
    """What all jobs ask for, in submitit's terms. None means: no such line in the script."""
    unset = [_UNSET]
    if profile.memory:
        unset.append("SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU")
    trap = ["trap : TERM"] if profile.container else []  # what requeues the job outlives it
    if plain:  # not of an array, though one of its tasks may have launched it
        unset.append("SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID")
    return {
        "job_name": layout.name,
        "account": profile.account,
        "qos": profile.qos,
        "exclude": profile.exclude,
        "comment": profile.comment or comment(token),
        "ntasks_per_node": 1,
        "signal_delay_s": SIGNAL_SECONDS,
        "wckey": None,
        "setup": [" ".join(unset), *trap, *guarded(profile.setup)],
        "teardown": list(REQUEUE_LINES) if profile.container else None,
    }


def _extra(profile: Profile) -> dict[str, Any]:
    return {name: value for name, value in profile.extra.items() if value is not False}


def _command(code: Path, profile: Profile, module: str, *arguments: str) -> str:
    """What a task runs, as a line of shell."""
    words = f"-m {module} {' '.join(map(shlex.quote, arguments))}"
    return f"bash -c {shlex.quote(_DEAF)} bash {python_command(code, profile)} {words}"


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
