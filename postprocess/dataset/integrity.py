"""Read results files from end to end, in processes of their own, and say what is wrong with them.

A file is broken here when merging finds it broken or, if the frames are read too, when no video can
be made of it: the same functions read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import h5py

from inr.results import ResultsError, UnreadableError, open_run, read_attribute
from inr.storage.paths import RunLayout
from postprocess.dataset.run_frames import RunFrames
from postprocess.dataset.run_reader import READABLE, UNREADABLE, read_complete
from postprocess.worker_pool import Batch, run_isolated, usable_cores

_BATCH_RUNS = 64  # what is read again when a run crashes its reader
_MOST_WORKERS = 8  # on a login node with many cores, which others use too
_TEXTS = ("run_id", "status", "host", "slurm_job_id")


def verify(directories: Sequence[Path], *, frames: bool) -> list[dict[str, Any]]:
    """The verdict on the results file in each of ``directories``, in the same order.

    A verdict has ``status``: complete or diverged; unfinished or missing; or broken. A broken one
    has a ``reason``. A finished one has what the file says of itself: ``run_id``, ``attempts``,
    ``host``, ``slurm_job_id``.

    Args:
        directories: of the runs.
        frames: read the frames too, which are most of a file.

    Raises:
        UserError: a reading process could not be started.
    """
    size = min(_BATCH_RUNS, max(1, len(directories) // (4 * usable_cores())))
    blocks = [directories[first : first + size] for first in range(0, len(directories), size)]
    batches = [Batch((block, frames), len(block)) for block in blocks]
    done = run_isolated(verify_batch, batches, workers=min(_MOST_WORKERS, usable_cores()))
    if frames:  # this takes long
        from postprocess.command_line import track  # only now: it loads pandas

        return list(chain.from_iterable(track(done, "reading runs", total=len(batches))))
    return list(chain.from_iterable(done))


def verify_batch(
    payload: tuple[list[Path], bool], crashed: dict[int, str]
) -> Iterator[dict[str, Any]]:
    """The verdicts on a batch of runs, one after the other; see `postprocess.worker_pool`."""
    directories, frames = payload
    for number, directory in enumerate(directories):
        if number in crashed:
            yield {"status": "broken", "reason": crashed[number]}
        else:
            yield _verdict(RunLayout(directory).results, frames)


def _verdict(path: Path, frames: bool) -> dict[str, Any]:
    if not path.is_file():
        return {"status": "missing"}
    try:
        with open_run(path) as file:
            if not read_attribute(file, "complete"):
                return {"status": "unfinished"}
            says = _says(file)
            read_complete(file, says["run_id"])
            if frames:
                RunFrames(file)
            return says
    except ResultsError as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix("broken: ")
        status = UNREADABLE if isinstance(error, UnreadableError) else "broken"
        return {"status": status, "reason": reason}


def _says(file: h5py.File) -> dict[str, Any]:
    """What a finished file says of itself. Any ValueError is reported as broken by `open_run`."""
    says = {name: read_attribute(file, name) for name in (*_TEXTS, "attempts")}
    texts = all(isinstance(says[name], str) for name in _TEXTS)
    if not texts or not isinstance(says["attempts"], int) or says["status"] not in READABLE:
        raise ValueError(f"attributes {says}")
    return says
