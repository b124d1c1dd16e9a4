"""How a run ended, from its files alone."""

from __future__ import annotations

from inr.files import retried
from inr.layout import RunLayout
from inr.results import ResultsError, UnreadableError, open_run, read_attribute


def outcome(run: RunLayout, run_id: str) -> str | None:
    """Return "complete" or "diverged" when ``run`` holds the finished run ``run_id``, else None.

    A finished run of another configuration in the same directory does not count. Raises
    `UnreadableError` if its results cannot be read now.
    """
    try:
        return retried(lambda: _outcome(run, run_id))
    except UnreadableError:
        raise
    except ResultsError:
        return None


def _outcome(run: RunLayout, run_id: str) -> str | None:
    with open_run(run.results) as file:
        # not `file.attrs.get`: for that, what cannot be read is not there
        finished = read_attribute(file, "complete") and read_attribute(file, "run_id") == run_id
        return str(read_attribute(file, "status")) if finished else None
