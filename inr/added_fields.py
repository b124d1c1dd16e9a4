"""Fields of the configuration that came after results had been written: runs before had these.

They are left out of the canonical form at these values, so that older runs keep their identity.
Imports nothing.
"""

from collections.abc import Mapping
from typing import Any

ADDED_FIELDS: dict[str, dict[str, Any]] = {
    "data": {"frame_spacing": "time", "noise": 0.0, "derivatives": "exact"},
    "model": {
        "first_scale": 1.0,
        "hidden_scale": 1.0,
        "first_layer": "trained",
        "sines": 1,
        "initialization": "uniform",
    },
    "training": {"value_points": "all"},
}


def with_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped configuration of any age, complete."""
    return {group: ADDED_FIELDS.get(group, {}) | fields for group, fields in config.items()}


def without_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped configuration without added fields that have the values of before."""
    short = {}
    for group, fields in config.items():
        before = ADDED_FIELDS.get(group, {})
        short[group] = {k: v for k, v in fields.items() if k not in before or before[k] != v}
    return short
