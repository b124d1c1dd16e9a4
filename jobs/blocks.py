"""The blocks of a sweep file, each checked and turned into an axis: a list of alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inr.errors import UsageError
from jobs.document import Document, show
from jobs.fields import (
    SEED,
    Settings,
    all_fields,
    all_groups,
    merge_settings,
    parse_settings,
    unknown_field,
)

MAX_RUNS = 1_000_000
# Alternatives of which each combination takes one. No axis has no alternative.
Axis = list[Settings]


def parse_fields(document: Document, block: Any, *at: str | int) -> Settings:
    """Read a mapping of fields to values, nested or by dotted paths.

    Raises:
        UsageError: an unknown field, a wrong value, or a field set twice.
    """
    if block is None:
        return {}
    if not isinstance(block, Mapping):
        raise UsageError(f"{document.where(*at)}: must map fields to values, got {show(block)}")
    settings: Settings = {}
    for path, value in block.items():
        more = parse_settings(str(path), value, document.where(*at, str(path)))
        merge_settings(settings, more)
    return settings


def parse_choices(document: Document, block: Any, *at: str | int, prefix: str = "") -> list[Axis]:
    """Read a mapping of fields to lists of values, nested or by dotted paths: one axis a field.

    Args:
        document: the sweep file.
        block: the mapping.
        at: where in the file it stands.
        prefix: path of the group that it belongs to, with a final dot.

    Raises:
        UsageError: an unknown field, a wrong value, or something other than lists.
    """
    if not isinstance(block, Mapping) or not block:
        raise UsageError(
            f"{document.where(*at)}: must map fields to lists of values, got {show(block)}"
        )
    axes = []
    for name, values in block.items():
        path, place = f"{prefix}{name}", (*at, str(name))
        if path not in all_fields() and path not in all_groups():
            raise UsageError(f"{document.where(*place)}: {unknown_field(path)}")
        if isinstance(values, Mapping):
            axes += parse_choices(document, values, *place, prefix=f"{path}.")
            continue
        if not isinstance(values, list) or not values:
            raise UsageError(
                f"{document.where(*place)}: must be a list of values, got {show(values)}. "
                "Fields that do not vary belong in base"
            )
        axes.append(
            [
                parse_settings(path, value, document.where(*place, number))
                for number, value in enumerate(values)
            ]
        )
    return axes


def parse_grid(document: Document) -> list[Axis]:
    """The axes of ``grid``: one a field."""
    grid = document.data.get("grid")
    return [] if grid is None else parse_choices(document, grid, "grid")


def parse_list(document: Document) -> list[Axis]:
    """The axis of ``list``: one alternative an entry."""
    entries = document.data.get("list")
    return [] if entries is None else [parse_entries(document, entries, "list")]


def parse_entries(document: Document, entries: Any, *at: str | int) -> Axis:
    """Read a list of mappings of fields to values: one alternative an entry.

    Raises:
        UsageError: something other than a list of mappings, or a mistake in one of them.
    """
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{document.where(*at)}: must be a list of mappings, got {show(entries)}")
    return [parse_fields(document, entry, *at, number) for number, entry in enumerate(entries)]


def parse_seeds(document: Document) -> list[Axis]:
    """The axis of ``seeds``: 0, 1, ... for a number, or the seeds of a list."""
    seeds = document.data.get("seeds")
    if seeds is None:
        return []
    if isinstance(seeds, int) and not isinstance(seeds, bool) and 1 <= seeds <= MAX_RUNS:
        seeds = list(range(seeds))
    if not isinstance(seeds, list) or not seeds:
        raise UsageError(
            f"{document.where('seeds')}: {show(seeds)} is not allowed: give how many (1 or more) "
            "or a list of seeds"
        )
    return [
        [parse_settings(SEED, seed, document.where("seeds", n)) for n, seed in enumerate(seeds)]
    ]


def check_axes(document: Document, axes: list[Axis]) -> None:
    """Refuse a field that two axes set, and more combinations than anyone can want."""
    seen: Settings = {}
    count = 1
    for axis in axes:
        fields: Settings = {}
        for settings in axis:
            fields |= settings
        merge_settings(seen, fields)
        count *= len(axis)
    if count > MAX_RUNS:
        raise UsageError(
            f"{document.source}: grid x list x random x seeds: {count:,} combinations, at most "
            f"{MAX_RUNS:,} are allowed"
        )
