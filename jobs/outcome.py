"""How a run ended, from its files alone."""

from __future__ import annotations

from inr.layout import RunLayout
from inr.results import ResultsError, open_run, plain


def outcome(run: RunLayout, run_id: str) -> str | None:
    """Return "complete" or "diverged" when ``run`` holds the finished run ``run_id``, else None.

    A finished run of another configuration in the same directory does not count.
    """
    try:
        with open_run(run.results) as file:
            finished = (
                file.attrs.get("complete", False) and plain(file.attrs.get("run_id")) == run_id
            )
            return str(plain(file.attrs["status"])) if finished else None
    except ResultsError:
        return None
