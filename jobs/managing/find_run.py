"""Find runs of a sweep by what people type."""

from __future__ import annotations

from collections.abc import Sequence

from inr.errors import UsageError
from inr.storage.sweep_index import IndexEntry

_SHOWN = 5


def find_run(entries: Sequence[IndexEntry], wanted: str) -> IndexEntry:
    """The run with that name, task number or run id, or the only one whose name contains it.

    Raises `UsageError` if there is none, or more than one.
    """
    for entry in entries:
        if wanted in (entry.name, str(entry.task), entry.run_id):
            return entry
    found = [entry for entry in entries if wanted in entry.name]
    if len(found) == 1:
        return found[0]
    if not found:
        first = f" such as {entries[0].name}" if entries else ""
        raise UsageError(
            f"{wanted}: no such run. Give a name{first}, a unique part of one, or a task number "
            "(`status --all` lists them)"
        )
    names = ", ".join(entry.name for entry in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise UsageError(f"{wanted}: {len(found)} runs have this in their name: {names}{more}")
