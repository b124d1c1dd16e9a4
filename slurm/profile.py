"""Cluster profiles: what to ask of Slurm for one task, read from ``slurm/profiles/*.yaml``."""

import re
import shlex
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
)

from jobs.sweeps.yaml_document import Block, as_text, show
from jobs.sweeps.yaml_file import find_document, read_document

DIRECTORY = Path(__file__).resolve().parent / "profiles"

# Why `extra` may not set an option of sbatch, or what to use instead -> options
_FIELDS = ("partition", "account", "qos", "constraint", "comment", "exclude", "time")
_REASONS = {
    **{f"use the field {name}": name for name in _FIELDS},
    "use the field nodelist": "nodelist nodefile",
    "use the field memory": "mem mem-per-cpu mem-per-gpu",
    "use the field cpus": "cpus-per-task cpus-per-gpu",
    "use the field gpus": "gpus gpus-per-node gpus-per-task gpus-per-socket",
    "use the field setup to set variables": "export export-file get-user-env",
    "a task is one process on one node": "nodes ntasks ntasks-per-node ntasks-per-core "
    "ntasks-per-socket ntasks-per-gpu tasks tasks-per-node",
    "the launcher sets it": "array job-name jobid output error input open-mode signal "
    "dependency kill-on-invalid-dep requeue no-requeue no-kill chdir workdir",
    "the launcher could not read the answer of sbatch": "parsable quiet verbose wait wrap "
    "test-only help usage version",
    "only root may": "uid gid",
    "jobs elsewhere cannot be watched. Launch on a login node of that cluster": "cluster clusters "
    "cluster-constraint",
}
RESERVED = {name: reason for reason, names in _REASONS.items() for name in names.split()}

_TIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


def minutes(time: object) -> object:
    """``HH:MM:SS`` or ``D-HH:MM:SS`` in minutes, rounded up. Anything else is left as it is."""
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    if match is None:
        return time
    days, hours, mins, seconds = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + mins + (seconds > 0)


def _check_option(option: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]+", option):
        raise ValueError(f"{show(option)}: write the long option without dashes, as mail-type")
    if option in RESERVED:
        raise ValueError(f"{option} is not free: {RESERVED[option]}")
    # sbatch takes any clear beginning of an option for it
    if full := [name for name in RESERVED if name.startswith(option)]:
        raise ValueError(f"{option} is short for {full[0]}. Write options in full")
    return option


def shell_words(command: object) -> object:
    """A list of words as one line of shell. Anything else is left as it is."""
    if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        return shlex.join(command)
    return command


# one shell word: no option can hide in it
Word = Annotated[str, BeforeValidator(as_text), Field(pattern=r"^[^\s\p{C}]+$")]
GpusOfAType = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*:[1-9][0-9]*$")]
# Slurm warns 90 s before the limit, and up to a minute early: half of this remains for training.
MIN_MINUTES = 5
Time = Annotated[StrictInt, Field(ge=MIN_MINUTES), BeforeValidator(minutes)]
Count = Annotated[StrictInt, Field(ge=1)]
Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*[KMGT]B?$")]
Line = Annotated[str, Field(pattern=r"^\P{C}*$")]
Option = Annotated[StrictBool | StrictInt | StrictFloat | Line, BeforeValidator(as_text)]


class Profile(Block):
    """What one task asks of the cluster. A field left out is not asked for."""

    time: Time = Field(
        description=f"minutes, HH:MM:SS or D-HH:MM:SS; at least {MIN_MINUTES} minutes, since "
        "runs are told to stop up to 2.5 minutes before the limit"
    )
    gpus: Annotated[StrictInt, Field(ge=0)] | GpusOfAType = Field(
        description="a whole number from 0, or type:number such as a100:1 or 1g.10gb:1"
    )
    cpus: Count = Field(description="a whole number from 1")
    memory: Memory | None = Field(
        None, description="a whole number and KB, MB, GB or TB, such as 8GB"
    )
    partition: Word | None = Field(None, description="one or more names, joined by commas")
    account: Word | None = Field(None, description="a name")
    qos: Word | None = Field(None, description="a name")
    constraint: Word | None = Field(None, description="node features, such as a100|h100")
    nodelist: Word | None = Field(None, description="node names, such as node[01-04]")
    exclude: Word | None = Field(None, description="node names, such as node[01-04]")
    parallelism: Count | None = Field(
        None, description="a whole number from 1: tasks that run at the same time"
    )
    max_array_size: Count | None = Field(
        None, description="a whole number from 1: tasks in one array, instead of asking the cluster"
    )
    setup: tuple[Annotated[str, Field(pattern=r"\S")], ...] = Field(
        (), description="a list of shell commands, each complete in itself"
    )
    container: Annotated[Line, BeforeValidator(shell_words), Field(min_length=1)] | None = Field(
        None,
        description="what runs the words after it in an image, as "
        "apptainer exec --nv image.sif: a line of shell, or a list of words",
    )
    comment: Annotated[Line, BeforeValidator(as_text), Field(min_length=1)] | None = Field(
        None, description="one line: the comment that the cluster demands on a job"
    )
    post_time: Time = Field(
        60,
        description="for post-processing: minutes, HH:MM:SS or D-HH:MM:SS; at least "
        f"{MIN_MINUTES} minutes",
    )
    post_cpus: Count = Field(1, description="for post-processing: a whole number from 1")
    post_memory: Memory | None = Field(
        None, description="for post-processing, instead of memory: such as 8GB"
    )
    post_partition: Word | None = Field(
        None, description="for post-processing, instead of partition: one without GPUs"
    )
    extra: dict[Annotated[str, AfterValidator(_check_option)], Option] = Field(
        {},
        description="a mapping of further sbatch options to values of a single line; true for an "
        "option without value",
    )
    _source: str = PrivateAttr("")

    @property
    def gpu_count(self) -> int:
        """GPUs of a task, of whatever type."""
        return int(str(self.gpus).rpartition(":")[2])

    @property
    def memory_bytes(self) -> int | None:
        """``memory`` in bytes, as Slurm counts: its units are powers of 1,024."""
        if self.memory is None:
            return None
        number = self.memory.rstrip("KMGTB")
        power = 1 + "KMGT".index(self.memory[len(number)])
        return int(number) << 10 * power

    @property
    def source(self) -> str:
        """What `load_profile` finds it by: a name, or an absolute path; "" for one made here."""
        return self._source


def load_profile(name_or_path: str) -> Profile:
    """The shipped profile of that name, or that of the YAML file at that path.

    Raises `UsageError` for no such file, or a field that is unknown, missing or wrong.
    """
    path = find_document(name_or_path, DIRECTORY, "cluster profile")
    profile = read_document(path).check(Profile)
    profile._source = name_or_path if path.parent == DIRECTORY else str(path.resolve())
    return profile
