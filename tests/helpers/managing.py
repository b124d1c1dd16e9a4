"""Calls of `jobs/manage.py`, and runs that ended in one way or another."""

from typing import Any

from inr.config import RunConfig
from inr.errors import run_main
from inr.storage.attempts import AttemptLog
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index
from jobs import manage
from tests.helpers.synthetic import write_run


def runs(layout: SweepLayout) -> list[IndexEntry]:
    return read_index(layout)


def finish(layout: SweepLayout, run: IndexEntry) -> None:
    write_run(layout.run(run.name).results, RunConfig.model_validate(run.config), shape=None)


def fail(
    layout: SweepLayout, run: IndexEntry, status: Any, reason: str = "", job: int = 41
) -> None:
    """Let the run's task end so."""
    files = layout.run(run.name)
    files.root.mkdir(parents=True, exist_ok=True)
    log = AttemptLog(files.attempts, f"{job}_{run.task}", 1, 0)
    log.start()
    log.end(status, reason, [])


def call(*words: str) -> int:
    return run_main(lambda: manage.main(words))
