"""The blocks of a sweep file, each checked and turned into an axis: a list of alternatives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from inr.errors import UsageError
from jobs.sweeps.fields import (
    Settings,
    all_fields,
    all_groups,
    merge_settings,
    parse_settings,
    unknown_field,
)
from jobs.sweeps.yaml_document import Place, show

MAX_RUNS = 1_000_000
Fields = dict[str, Any]  # fields, or groups of them, to values; nested or by dotted paths
Entries = list[Fields | None]
# Alternatives of which each combination takes one. No axis has no alternative.
Axis = list[Settings]


def parse_fields(block: Fields | None, at: Place) -> Settings:
    """Read a mapping of fields to values.

    Raises:
        UsageError: an unknown field, a wrong value, or a field set twice.
    """
    settings: Settings = {}
    for path, value in (block or {}).items():
        merge_settings(settings, parse_settings(path, value, at / path))
    return settings


def parse_entries(entries: Entries, at: Place) -> Axis:
    """Read a list of such mappings: one alternative an entry."""
    return [parse_fields(entry, at / number) for number, entry in enumerate(entries)]


def parse_choices(block: Fields, at: Place, prefix: str = "") -> list[Axis]:
    """Read a mapping of fields to lists of values: one axis a field.

    Args:
        block: the mapping.
        at: where it stands.
        prefix: path of the group that it belongs to, with a final dot.

    Raises:
        UsageError: an unknown field, a wrong value, or something other than lists.
    """
    axes = []
    for name, values in block.items():
        path, place = f"{prefix}{name}", at / name
        if path not in all_fields() and path not in all_groups():
            raise UsageError(f"{place}: {unknown_field(path)}")
        if isinstance(values, Mapping) and values:
            axes += parse_choices(dict(values), place, f"{path}.")
            continue
        if not isinstance(values, list) or not values:
            raise UsageError(
                f"{place}: must be a list of values, got {show(values)}. "
                "Fields that do not vary belong in base"
            )
        axes.append([parse_settings(path, value, place / n) for n, value in enumerate(values)])
    return axes


def check_axes(axes: list[Axis], source: str) -> None:
    """Refuse a field that two axes set, and more combinations than anyone can want."""
    seen: Settings = {}
    for axis in axes:
        merge_settings(seen, {path: each[path] for each in axis for path in each})
    count = math.prod(len(axis) for axis in axes)
    if count > MAX_RUNS:
        raise UsageError(
            f"{source}: grid x list x random x seeds: {count:,} combinations, at most "
            f"{MAX_RUNS:,} are allowed"
        )
