"""Readable, unique names for the runs of a sweep."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inr.config import RunConfig
from inr.storage.sweep_index import IndexEntry, flatten_config
from jobs.sweeps.fields import IMAGE, SEED, WEIGHTS

_IN_BASE_NAME = ("model.activation", "training.schedule", "training.learning_rate")
_MAX_SUFFIX = 120  # characters: the longest file name is 255 bytes, and others append to it


def name_runs(configs: Sequence[RunConfig], listed: Sequence[IndexEntry]) -> list[IndexEntry]:
    """Index entries for ``configs``, named and numbered beside those that are already ``listed``.

    A run that is listed keeps its name and number. The others are called `RunConfig.name` plus
    ``_<field><value>`` for every further field that varies in the sweep, the seed last, and plus
    the run id where that is still not unique.
    """
    known = {entry.run_id: entry for entry in listed}
    numbers = itertools.count(1 + max((entry.task for entry in listed), default=-1))
    # compared without case: some file systems know no other way
    taken = {entry.name.casefold() for entry in listed}
    dumps = [config.model_dump(mode="json") for config in configs]
    flat = [dict(flatten_config(dump)) for dump in dumps]
    varying = varying_fields([*flat, *(dict(flatten_config(entry.config)) for entry in listed)])
    suffix_fields = [p for p in varying if p not in _IN_BASE_NAME and not p.startswith(WEIGHTS)]
    suffix_fields.sort(key=lambda path: path == SEED)
    entries = []
    for config, dump, fields in zip(configs, dumps, flat, strict=True):
        entry = known.get(config.run_id)
        if entry is None:
            parts = (f"_{p.rpartition('.')[2]}{_as_text(p, fields[p])}" for p in suffix_fields)
            name = config.name + "".join(parts)[:_MAX_SUFFIX]
            if name.casefold() in taken:
                name += f"_{config.run_id}"
            taken.add(name.casefold())
            entry = IndexEntry(config.run_id, name, next(numbers), dump)
        entries.append(entry)
    return entries


def varying_fields(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The fields that differ between runs, given as {dotted path: value}."""
    first = runs[0] if runs else {}
    return [path for path in first if any(run.get(path) != first[path] for run in runs)]


def _as_text(path: str, value: Any) -> str:
    """A value as a part of a directory name."""
    if path == IMAGE:
        value = Path(value).stem
    if isinstance(value, (list, tuple)):
        return "-".join(_as_text("", item) for item in value)
    if isinstance(value, float):
        value = f"{value:.12g}"
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", str(value))
