"""Readable, unique names for the runs of a sweep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inr.config import RunConfig
from inr.storage.sweep_index import IndexEntry
from jobs.sweeps.fields import IMAGE, SEED, WEIGHTS, flatten_config

_IN_BASE_NAME = ("model.activation", "training.schedule", "training.learning_rate")
_MAX_SUFFIX = 120  # characters: the longest file name is 255 bytes, and others append to it


def name_runs(configs: Sequence[RunConfig], listed: Sequence[IndexEntry]) -> list[IndexEntry]:
    """Index entries for ``configs``, named and numbered beside those that are already ``listed``.

    A run that is listed keeps its name and number. The others are called `RunConfig.name` plus
    ``_<field><value>`` for every further field that varies in the sweep, the seed last, and plus
    the run id where that is still not unique.
    """
    known = {entry.run_id: entry for entry in listed}
    flat = [dict(flatten_config(config.model_dump(mode="json"))) for config in configs]
    old = [dict(flatten_config(entry.config)) for entry in listed]
    suffix_fields = [
        path
        for path in varying_fields([*flat, *old])
        if path not in _IN_BASE_NAME and not path.startswith(WEIGHTS)
    ]
    suffix_fields.sort(key=lambda path: path == SEED)
    # compared without case: some file systems know no other way
    taken = {entry.name.casefold() for entry in listed}
    task = max((entry.task for entry in listed), default=-1)
    entries = []
    for config, fields in zip(configs, flat, strict=True):
        entry = known.get(config.run_id)
        if entry is None:
            task += 1
            name = _unique_name(config, fields, suffix_fields, taken)
            taken.add(name.casefold())
            entry = IndexEntry(config.run_id, name, task, config.model_dump(mode="json"))
        entries.append(entry)
    return entries


def varying_fields(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The fields that differ between runs, given as {dotted path: value}."""
    if not runs:
        return []
    first = runs[0]
    return [path for path in first if any(run.get(path) != first[path] for run in runs)]


def _unique_name(
    config: RunConfig, fields: dict[str, Any], suffix_fields: list[str], taken: set[str]
) -> str:
    suffix = "".join(
        f"_{path.rpartition('.')[2]}{_as_text(path, fields[path])}" for path in suffix_fields
    )[:_MAX_SUFFIX]
    name = config.name + suffix
    return f"{name}_{config.run_id}" if name.casefold() in taken else name


def _as_text(path: str, value: Any) -> str:
    """A value as a part of a directory name."""
    if path == IMAGE:
        value = Path(value).stem
    if isinstance(value, (list, tuple)):
        return "-".join(_as_text("", item) for item in value)
    if isinstance(value, float):
        value = f"{value:.12g}"
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", str(value))
