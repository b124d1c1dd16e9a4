"""``index.json``: every run of a sweep, and every job that was submitted for it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inr.added_fields import with_added
from inr.errors import UserError
from inr.files import retried
from inr.storage.paths import SweepLayout

SCHEMA = "inr-index/1"


@dataclass(frozen=True)
class IndexEntry:
    """One run of a sweep."""

    run_id: str
    name: str  # directory below runs/
    task: int  # position in the sweep, from 0
    config: dict[str, Any]  # the complete configuration
    dropped: str = ""  # when it was taken out of the sweep, ISO 8601, UTC; "" if it was not


@dataclass(frozen=True)
class Submission:
    """One job that was given to Slurm: an array, a plain job for one run, or post-processing."""

    token: str  # its name; ``submissions/<token>.json`` says what its tasks train
    created: str  # ISO 8601, UTC
    profile: str  # the cluster profile: a name, or the path of a file
    tasks: int  # how many runs it trains; 0 for post-processing
    job_id: str | None  # what Slurm calls it (all of the array); None while not known


def read_index(layout: SweepLayout) -> list[IndexEntry]:
    """All runs of a sweep in task order. Raises `UserError` if the file is missing or broken."""
    return _read(layout)[0]


def read_submissions(layout: SweepLayout) -> list[Submission]:
    """What was submitted, oldest first. Raises `UserError` as `read_index` does."""
    return _read(layout)[1]


def _read(layout: SweepLayout) -> tuple[list[IndexEntry], list[Submission]]:
    try:
        document = json.loads(retried(layout.index.read_bytes))
        if document["schema"] != SCHEMA:
            raise UserError(
                f"{layout.index}: schema {document['schema']!r}, expected {SCHEMA!r}. "
                "It was written by another version of this software"
            )
        runs = [
            IndexEntry(**{**entry, "config": with_added(entry["config"])})
            for entry in document["runs"]
        ]
        return runs, [Submission(**entry) for entry in document.get("submissions", [])]
    except FileNotFoundError:
        raise UserError(f"{layout.index}: missing. Launch the sweep first") from None
    except OSError as error:
        raise UserError(f"{layout.index}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{layout.index}: broken ({error}). Delete it and launch the sweep again: "
            "runs that are complete are kept"
        ) from error


def index_json(
    sweep: str, entries: Sequence[IndexEntry], submissions: Sequence[Submission] = ()
) -> str:
    """The text of ``index.json``, one line a run and a submission."""

    def lines(rows: Iterable[IndexEntry | Submission]) -> str:
        kept = ({k: v for k, v in vars(row).items() if (k, v) != ("dropped", "")} for row in rows)
        return "[" + ",".join(f"\n {json.dumps(row)}" for row in kept) + "\n]"

    head = f'"schema": {json.dumps(SCHEMA)}, "sweep": {json.dumps(sweep)}'
    return f'{{{head},\n"runs": {lines(entries)},\n"submissions": {lines(submissions)}}}\n'


def flatten_config(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The single fields (dotted path, value) of a configuration dumped to plain data."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten_config(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
