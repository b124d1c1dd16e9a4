"""Cluster profiles: what to ask of Slurm for one task, read from ``slurm/profiles/*.yaml``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
)

from inr.errors import UsageError
from jobs.document import Document, read_document, show
from jobs.fields import suggest

DIRECTORY = Path(__file__).resolve().parents[1] / "slurm" / "profiles"

# sbatch options that `extra` may not set, and the field to use; None: set by the launcher itself
RESERVED = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "time": "time",
    "gpus-per-node": "gpus",
    "cpus-per-task": "cpus",
    "mem": "memory",
    "constraint": "constraint",
    "nodelist": "nodelist",
    "exclude": "exclude",
    "array": None,
    "job-name": None,
    "nodes": None,
    "ntasks-per-node": None,
    "output": None,
    "error": None,
    "open-mode": None,
    "signal": None,
    "comment": "comment",
    "dependency": None,
    "requeue": None,
    "no-requeue": None,
}

_TIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


def minutes(time: object) -> object:
    """``HH:MM:SS`` or ``D-HH:MM:SS`` in minutes, rounded up. Anything else is left as it is."""
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    if match is None:
        return time
    days, hours, mins, seconds = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + mins + (seconds > 0)


def _check_extra(extra: dict[str, Any]) -> dict[str, Any]:
    for option, value in extra.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", option):
            raise ValueError(f"{option!r}: write the long option without dashes, as mail-type")
        if option in RESERVED:
            field = RESERVED[option]
            what = f"use the field {field}" if field else "the launcher sets it"
            raise ValueError(f"{option} is not free: {what}")
        if "\n" in str(value):
            raise ValueError(f"{option}: must be a single line")
    return extra


def shell_words(command: object) -> object:
    """A list of words as one line of shell. Anything else is left as it is."""
    if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        return shlex.join(command)
    return command


Word = Annotated[str, Field(pattern=r"^\S+$")]  # one shell word: no option can hide in it
Count = Annotated[StrictInt, Field(ge=1)]
Memory = Annotated[str, Field(pattern=r"^[1-9]\d*[KMGT]B?$")]
Option = StrictBool | StrictInt | StrictFloat | str


class Profile(BaseModel):
    """What one task asks of the cluster. A field left out is not asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: Annotated[StrictInt, Field(ge=1), BeforeValidator(minutes)] = Field(
        description='minutes, "HH:MM:SS" or "D-HH:MM:SS" (in quotes), at least one minute'
    )
    gpus: Annotated[StrictInt, Field(ge=0)] | Annotated[str, Field(pattern=r"^\w+:[1-9]\d*$")] = (
        Field(description='a whole number from 0, or "type:number" such as "a100:1"')
    )
    cpus: Count = Field(description="a whole number from 1")
    memory: Memory | None = Field(
        None, description="a whole number and KB, MB, GB or TB, such as 8GB"
    )
    partition: Word | None = Field(None, description="one or more names, joined by commas")
    account: Word | None = Field(None, description="a name (quote a number)")
    qos: Word | None = Field(None, description="a name (quote a number)")
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
    container: Annotated[str, BeforeValidator(shell_words), Field(pattern=r"^\S[^\n]*$")] | None = (
        Field(
            None,
            description="what runs the words after it in an image, as "
            '"apptainer exec --nv image.sif": a line of shell, or a list of words',
        )
    )
    comment: Annotated[str, Field(pattern=r"^[^\n]*\S[^\n]*$")] | None = Field(
        None, description="one line: the comment that the cluster demands on a job"
    )
    post_time: Annotated[StrictInt, Field(ge=1), BeforeValidator(minutes)] = Field(
        60, description='for post-processing: minutes, "HH:MM:SS" or "D-HH:MM:SS" (in quotes)'
    )
    post_cpus: Count = Field(1, description="for post-processing: a whole number from 1")
    post_memory: Memory | None = Field(
        None, description="for post-processing, instead of memory: such as 8GB"
    )
    post_partition: Word | None = Field(
        None, description="for post-processing, instead of partition: one without GPUs"
    )
    extra: Annotated[dict[str, Option], AfterValidator(_check_extra)] = Field(
        {}, description="a mapping of further sbatch options to values; true for one without value"
    )
    _source: str = PrivateAttr("")

    @property
    def source(self) -> str:
        """What `load_profile` finds it by: a name, or an absolute path; "" for one made here."""
        return self._source


def available() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in DIRECTORY.glob("*.yaml"))


def load_profile(name_or_path: str) -> Profile:
    """Read the shipped profile of that name, or the YAML file at that path.

    Raises:
        UsageError: no such profile or file, or a field that is unknown, missing or wrong.
    """
    path = _locate(name_or_path)
    document = read_document(path)
    _refuse_base_sixty(document)
    try:
        profile = Profile.model_validate(document.data)
    except ValidationError as error:
        raise UsageError(_explain(document, error)) from None
    profile._source = name_or_path if path.parent == DIRECTORY else str(path.resolve())
    return profile


def _locate(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if len(path.parts) > 1 or path.suffix in (".yaml", ".yml"):
        return path
    if name_or_path not in available():
        raise UsageError(
            f"no cluster profile {name_or_path!r} in {DIRECTORY}. Give the path of a YAML file, "
            f"or {suggest(name_or_path, available())}"
        )
    return DIRECTORY / f"{name_or_path}.yaml"


def _refuse_base_sixty(document: Document) -> None:
    """Refuse an unquoted ``10:00:00``, which YAML 1.1 reads as the number 36000."""
    for field in ("time", "post_time"):
        time = document.data.get(field)
        if not isinstance(time, int):
            continue
        line = Path(document.source).read_text("utf-8").splitlines()[document.lines[field,] - 1]
        written = line.partition("time:")[2].partition("#")[0].strip()
        if ":" in written:
            raise UsageError(
                f"{document.where(field)}: YAML reads {written} as the number {time}. "
                f'Quote it: {field}: "{written}"'
            )


def _explain(document: Document, error: ValidationError) -> str:
    """One line for the first fault: file, field, value, what is allowed."""
    details = error.errors()[0]
    field = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        return f"{document.where(field)}: no such field: {suggest(field, Profile.model_fields)}"
    allowed = Profile.model_fields[field].description
    if details["type"] == "missing":
        return f"{document.source}: {field} is missing: {allowed}"
    if field == "extra" and details["type"] == "value_error":
        return f"{document.where(field)}: {details['ctx']['error']}"
    value = document.data[field]
    return f"{document.where(field)}: {show(value)} is not allowed: {allowed}"
