"""Every call of a program of Slurm: its environment, its time-out, and its words when it fails."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from subprocess import CompletedProcess

from inr.errors import UserError

TIMEOUT_SECONDS = 60.0

# What a launcher's shell may hold and no job may get: defaults of Slurm's programs, which win over
# the script; the step, the devices and the threads of a job that the launcher itself runs in;
# the window of its notebook.
_FOREIGN = re.compile(
    r"(SLURM|SLURMD|SBATCH|SRUN|SALLOC|SQUEUE|SACCT|SACCTMGR|SCONTROL|SCANCEL|SINFO|SPRIO|SSHARE"
    r"|SSTAT|SREPORT|SATTACH|SBCAST|STRIGGER|SCRONTAB|SUBMITIT|PMI|PMI2|PMIX|OMPI|PRTE|HYDRA"
    r"|OMP|GOMP|KMP|MKL|OPENBLAS|BLIS|NUMEXPR|VECLIB)_.*"
    r"|(CUDA|HIP|ROCR|NVIDIA)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK|MPLBACKEND"
)
# Which cluster, and a right to use it. Not SLURM_CLUSTERS: a job is looked for where it was sent.
_KEPT = ("SLURM_CONF", "SLURM_JWT")


class SlurmUnavailable(UserError):  # noqa: N818 - it names a state of the world
    """There is no Slurm here, or it does not answer."""


class SlurmTimeout(SlurmUnavailable):
    """A program was started and gave no answer in time: it may have done what it was asked."""


def reason_of(answer: CompletedProcess[str]) -> str:
    """Why a program of Slurm failed, on one line."""
    # some wrappers complain on standard output
    lines = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
    prefix = rf"^{Path(answer.args[0]).name}: (error: |fatal: )?|^(slurm_\w+ )?error: "
    said = [" ".join(re.sub(prefix, "", line).split()) for line in lines]
    said = [line for line in dict.fromkeys(said) if line and "--help" not in line]
    return "; ".join(said)[:1000] or f"exit code {answer.returncode}"


def clean_environment() -> dict[str, str]:
    """This process's environment without what only concerns the job or the shell it runs in."""
    return {k: v for k, v in os.environ.items() if k in _KEPT or not _FOREIGN.fullmatch(k)}


def run_slurm(
    program: str, *arguments: str, stdin: str = "", timeout: float = 0
) -> CompletedProcess[str]:
    """Run ``program`` and wait for its answer, whatever its exit code.

    It reads ``stdin``, and has ``timeout`` seconds; 0: `TIMEOUT_SECONDS`. Raises `SlurmTimeout` if
    it gave no answer in time, `SlurmUnavailable` if there is none here, or it cannot be started.
    """
    command = shutil.which(program)
    if command is None:
        raise SlurmUnavailable(f"no {program} here: this machine has no Slurm")
    # lists of array tasks are not cut off; only what prints them looks at it
    environment = clean_environment()
    if program != "sbatch":
        environment["SLURM_BITSTR_LEN"] = "0"
    timeout = timeout or TIMEOUT_SECONDS
    try:
        return subprocess.run(  # noqa: S603 - a program of Slurm
            [command, *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode("utf-8", "replace")
        words = f" ({reason_of(CompletedProcess([program], 0, '', said))})" if said.strip() else ""
        raise SlurmTimeout(f"{program} gave no answer within {timeout:g} seconds{words}") from None
    except OSError as error:
        raise SlurmUnavailable(f"{command} cannot be started: {error.strerror}") from None


def ask_slurm(program: str, *arguments: str) -> str:
    """What ``program`` prints. Raises `SlurmUnavailable`, also when it fails."""
    answer = run_slurm(program, *arguments)
    if answer.returncode != 0:
        raise SlurmUnavailable(f"{program} failed: {reason_of(answer)}")
    return answer.stdout
