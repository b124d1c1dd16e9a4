"""One job for Slurm: its script, written by submitit, and its submission."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from inr.errors import UsageError, UserError
from inr.layout import SweepLayout
from jobs.profiles import Profile
from jobs.submissions import comment

SIGNAL_SECONDS = 90  # USR2 comes this long before the time limit

# Word in a refusal by sbatch -> fields of the profile it is about. The first match counts.
_REFUSALS = {
    "account": ("account", "partition", "qos"),
    "partition": ("partition",),
    "qos": ("qos",),
    "feature": ("constraint",),
    "node name": ("nodelist", "exclude"),
    "mem": ("memory",),
    "processors": ("cpus",),
    "gres": ("gpus",),
    "node configuration": ("gpus", "cpus", "memory", "partition"),
    "time limit": ("time",),
    "array": ("max_array_size",),
    "option": ("extra",),
}
# Words of errors after which the job may nevertheless have been accepted.
_UNCERTAIN = ("timed out", "unable to contact", "zero bytes", "communication", "connection")
# Words of `sbatch --test-only` about nodes that are away just now: a real job would wait for them.
_FOR_THE_MOMENT = ("not available", "down", "drain", "reserved", "busy")
# Options of `extra` that are about the resources of a training task.
_TRAINING_ONLY = re.compile(r"exclusive|gres|tres.*|gpu.*|.*-per-(gpu|cpu|task)|mem-.*")
# A signal that comes before Python listens must not end the task; what is ignored stays so.
_DEAF = 'trap "" USR2 TERM; exec "$@"'


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
    """

    profile: Profile
    executor: _Executor
    command: str

    @property
    def text(self) -> str:
        """The sbatch script, exactly as `send` submits it."""
        return str(self.executor._make_submission_file_text(self.command, uid=""))

    def send(self) -> str:
        """Submit. Returns the job id. Raises `RefusedError`."""
        folder = Path(self.executor.folder)
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.iterdir())
        try:
            with redirect_stderr(io.StringIO()):  # submitit prints what it then raises
                return str(self.executor._submit_command(self.command).job_id)
        except (FailedJobError, FailedSubmissionError) as error:
            for path in set(folder.glob(".submission_file_*")) - before:
                path.unlink(missing_ok=True)
            said = str(error).lower()
            certain = not any(words in said for words in _UNCERTAIN)
            raise RefusedError(_explain(str(error), self.profile), certain) from None

    def test(self) -> str:
        """Ask whether Slurm would take the job. Returns what keeps it from starting, or "".

        Raises `UserError` if Slurm would refuse it.
        """
        require_slurm()
        answer = subprocess.run(
            ["sbatch", "--test-only"],  # noqa: S607
            input=self.text,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode == 0:
            return ""
        said = answer.stderr.replace("allocation failure: ", "").lower()
        message = _explain(answer.stderr, self.profile)
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
    layout: SweepLayout, profile: Profile, token: str, code: Path, count: int, parallelism: int
) -> JobScript:
    """The job of the ``count`` tasks of submission ``token``, ``parallelism`` at a time.

    An array, or a plain job for a single task. Raises `UsageError` for a path that Slurm cannot
    write logs to.
    """
    parameters = _common(layout, profile, token) | {
        "partition": profile.partition,
        "constraint": profile.constraint,
        "nodelist": profile.nodelist,
        "time": profile.time,
        "gpus_per_node": profile.gpus or None,
        "cpus_per_task": profile.cpus,
        "mem": profile.memory,
        "array_parallelism": parallelism,
        # since Slurm 22.05 srun does not inherit this from sbatch
        "srun_args": [f"--cpus-per-task={profile.cpus}"],
        "additional_parameters": _extra(profile) | {"requeue": True},
    }
    executor = _executor(layout, parameters)
    if count > 1:
        executor.parameters["map_count"] = count
    root = str(layout.root.resolve())
    command = f"{_python(code)} -m jobs.worker {shlex.quote(root)} {token}"
    return JobScript(profile, executor, _deaf(command))


def post_script(
    layout: SweepLayout, profile: Profile, token: str, code: Path, after: Sequence[str]
) -> JobScript:
    """The job that merges and draws when the jobs ``after`` have ended, however they ended."""
    extra = {k: v for k, v in _extra(profile).items() if not _TRAINING_ONLY.fullmatch(k)}
    parameters = _common(layout, profile, token) | {
        "job_name": f"{layout.name}_post",
        "partition": profile.post_partition or profile.partition,
        "time": profile.post_time,
        "cpus_per_task": profile.post_cpus,
        "mem": profile.post_memory or profile.memory,
        "dependency": ":".join(("afterany", *after)) if after else None,
        "srun_args": [f"--cpus-per-task={profile.post_cpus}"],
        "additional_parameters": extra | {"requeue": True, "signal": f"TERM@{SIGNAL_SECONDS}"},
    }
    root = shlex.quote(str(layout.root.resolve()))
    command = f"{_python(code)} -m jobs.afterwards {root}"
    return JobScript(profile, _executor(layout, parameters), _deaf(command))


def _deaf(command: str) -> str:
    return f"bash -c {shlex.quote(_DEAF)} bash {command}"


def require_slurm() -> None:
    """Raise `UserError` where no job can be submitted."""
    missing = [program for program in ("sbatch", "srun") if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"no {' and no '.join(missing)} here, so nothing can be submitted. Go to a machine of "
            "the cluster (perhaps `module load slurm` first), or run here with --local"
        )


def _executor(layout: SweepLayout, parameters: dict[str, Any]) -> _Executor:
    folder = layout.submitit.resolve()
    if "%" in str(folder):
        raise UsageError(
            f"{folder}: Slurm gives '%' in the names of log files a meaning of its own. "
            "Choose an --output directory without it"
        )
    executor = _Executor(folder)
    executor.update_parameters(**parameters)
    return executor


def _common(layout: SweepLayout, profile: Profile, token: str) -> dict[str, Any]:
    """What all jobs ask for, in submitit's terms. None means: no such line in the script."""
    return {
        "job_name": layout.name,
        "account": profile.account,
        "qos": profile.qos,
        "exclude": profile.exclude,
        "comment": comment(token),
        "ntasks_per_node": 1,
        "signal_delay_s": SIGNAL_SECONDS,
        "wckey": None,
        "setup": list(_guarded(profile.setup)) or None,
    }


def _extra(profile: Profile) -> dict[str, Any]:
    return {name: value for name, value in profile.extra.items() if value is not False}


def _python(code: Path) -> str:
    """Shell words that start Python with the code of the snapshot ``code``."""
    path = shlex.quote(f"PYTHONPATH={code.resolve()}")
    # -P: a job starts where it was submitted, and must not import what happens to lie there
    return f'env {path}"${{PYTHONPATH:+:$PYTHONPATH}}" {shlex.quote(sys.executable)} -P -u'


def _guarded(setup: Sequence[str]) -> Iterator[str]:
    """Each setup line, followed by a check that ends the job if it failed.

    Not `set -e`: it would miss `cd data && . env.sh`, and it breaks scripts that module and conda
    run, which were not written for it.
    """
    for line in setup:
        yield line
        yield f"[ $? -eq 0 ] || {{ echo {shlex.quote(f'setup failed: {line}')} >&2; exit 1; }}"


def _explain(refusal: str, profile: Profile) -> str:
    """Say what sbatch said, and which fields of the profile it is about."""
    lines = [re.sub(r"^sbatch: (error: )?", "", line) for line in refusal.splitlines()]
    said = "; ".join(line for line in dict.fromkeys(lines) if line and "--help" not in line)
    message = f"Slurm refused: {said}"
    for word, fields in _REFUSALS.items():
        if word in said.lower():
            given = ", ".join(f"{field} ({getattr(profile, field)!r})" for field in fields)
            return f"{message}. In the cluster profile, look at {given}"
    return message
