"""The ``random`` block of a sweep file: distinct draws from lists of choices."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inr.errors import UsageError
from jobs.blocks import MAX_RUNS, Axis, parse_choices, parse_entries
from jobs.document import Document, show
from jobs.fields import Settings, all_fields, all_groups, suggest, unknown_field

_MAX_TRIES = 200_000  # combinations looked at before the constraint counts as impossible
_KEYS = ("count", "seed", "choices", "constraint", "include")
_CONSTRAINT_KEYS = ("sum", "above", "below")


@dataclass(frozen=True)
class Constraint:
    """``above < sum of the drawn fields < below``."""

    where: str
    fields: tuple[str, ...]
    above: float
    below: float

    def allows(self, draw: Settings) -> bool:
        """Whether a draw meets the constraint."""
        total = math.fsum(draw[field].value for field in self.fields)
        return self.above < total < self.below


def parse_random(document: Document) -> list[Axis]:
    """The axis of ``random``: ``count`` distinct draws, the same for the same ``seed``.

    The combinations of ``include`` come first, count, and need not meet the constraint.

    Raises:
        UsageError: a mistake in the block, or fewer than ``count`` draws meet the constraint.
    """
    block = document.data.get("random")
    if block is None:
        return []
    _check_keys(document, block, _KEYS, "random")
    count = _integer(document, block.get("count"), 1, "random", "count")
    seed = _integer(document, block.get("seed", 0), 0, "random", "seed")
    axes = [
        _distinct(axis)
        for axis in parse_choices(document, block.get("choices"), "random", "choices")
    ]
    constraint = _parse_constraint(document, block.get("constraint"), axes)
    given = _parse_include(document, block.get("include"), axes, count)
    return [given if len(given) == count else _draw(document, axes, count, seed, constraint, given)]


def _parse_include(document: Document, entries: Any, axes: list[Axis], count: int) -> Axis:
    """The combinations that are wanted whatever is drawn."""
    if entries is None:
        return []
    at = ("random", "include")
    parsed = parse_entries(document, entries, *at)
    drawn = {path for axis in axes for choice in axis for path in choice}
    for number, settings in enumerate(parsed):
        if settings.keys() != drawn:
            raise UsageError(
                f"{document.where(*at, number)}: {show(entries[number])} is not allowed: must set "
                f"the fields that are drawn: {', '.join(sorted(drawn))}"
            )
    given = _distinct(parsed)
    if len(given) > count:
        raise UsageError(
            f"{document.where(*at)}: {show(entries)} is not allowed: must be at most as many as "
            f"random.count, {count:,}, which includes them"
        )
    return given


def _draw(
    document: Document,
    axes: list[Axis],
    count: int,
    seed: int,
    constraint: Constraint | None,
    given: Axis,
) -> Axis:
    """The combinations ``given``, and random ones up to ``count``."""
    total = math.prod(len(axis) for axis in axes)
    if total > sys.maxsize:
        raise UsageError(
            f"{document.where('random', 'choices')}: {total:,} combinations to draw from, at most "
            f"{sys.maxsize:,} are allowed"
        )
    tries = min(total, max(_MAX_TRIES, count))
    # sampling positions without replacement makes the draws distinct
    positions = random.Random(seed).sample(range(total), tries)  # noqa: S311, not for secrets
    draws: Axis = list(given)
    taken = [_values(settings) for settings in given]
    for position in positions:
        draw = _combination(axes, position)
        if _values(draw) not in taken and (constraint is None or constraint.allows(draw)):
            draws.append(draw)
            if len(draws) == count:
                return draws
    looked_at = f"all {total:,}" if tries == total else f"{tries:,} of {total:,}"
    rule = f" that meet {constraint.where}" if constraint else ""
    raise UsageError(
        f"{document.where('random', 'count')}: {count:,} distinct draws wanted, but among "
        f"{looked_at} combinations of the choices there are only {len(draws):,}{rule}. Lower the "
        "count, or allow more"
    )


def _combination(axes: list[Axis], position: int) -> Settings:
    """The combination number ``position`` of the product, the last axis counting fastest."""
    settings: Settings = {}
    for axis in reversed(axes):
        position, choice = divmod(position, len(axis))
        settings |= axis[choice]
    return settings


def _distinct(axis: Axis) -> Axis:
    values = [_values(choice) for choice in axis]
    return [choice for n, choice in enumerate(axis) if values[n] not in values[:n]]


def _values(settings: Settings) -> dict[str, Any]:
    return {path: setting.value for path, setting in settings.items()}


def _parse_constraint(document: Document, block: Any, axes: list[Axis]) -> Constraint | None:
    if block is None:
        return None
    at = ("random", "constraint")
    _check_keys(document, block, _CONSTRAINT_KEYS, *at)
    if "above" not in block and "below" not in block:
        raise UsageError(
            f"{document.where(*at)}: got {show(block)}. Give above or below, too: the "
            "limits of the sum"
        )
    names = block.get("sum")
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names:
        raise UsageError(
            f"{document.where(*at, 'sum')}: {show(names)} is not allowed: name a field, a group "
            "or a list of fields"
        )
    return Constraint(
        where=document.where(*at),
        fields=tuple(dict.fromkeys(_drawn_fields(document, names, axes))),
        above=_limit(document, block, "above", -math.inf),
        below=_limit(document, block, "below", math.inf),
    )


def _drawn_fields(document: Document, names: list[Any], axes: list[Axis]) -> Iterator[str]:
    """The drawn fields that the constraint sums; every draw sets them, to a number."""
    where = document.where("random", "constraint", "sum")
    for name in names:
        if name not in all_fields() and name not in all_groups():
            raise UsageError(f"{where}: {unknown_field(str(name))}")
        members = [path for path in all_fields() if path == name or path.startswith(f"{name}.")]
        drawn = [path for path in _numeric(axes) if path in members]
        if not drawn:
            raise UsageError(
                f"{where}: {show(name)} is not among the choices, or is no number. Give one of "
                f"{', '.join(_numeric(axes)) or 'the choices, with numbers for values'}"
            )
        yield from drawn


def _numeric(axes: list[Axis]) -> list[str]:
    """The fields that every draw sets to a number."""
    return [
        path
        for path in all_fields()
        if any(all(_is_number(choice.get(path)) for choice in axis) for axis in axes)
    ]


def _is_number(setting: Any) -> bool:
    return setting is not None and isinstance(setting.value, (int, float))


def _limit(document: Document, block: Mapping[str, Any], key: str, default: float) -> float:
    value = block.get(key, default)
    try:
        limit = float(value)
    except (TypeError, ValueError, OverflowError):
        limit = math.nan
    if math.isnan(limit) or isinstance(value, bool):
        where = document.where("random", "constraint", key)
        raise UsageError(f"{where}: {show(value)} is not allowed: give a number")
    return limit


def _check_keys(document: Document, block: Any, keys: tuple[str, ...], *at: str) -> None:
    if not isinstance(block, Mapping):
        raise UsageError(
            f"{document.where(*at)}: must be a mapping with {', '.join(keys)}, got {show(block)}"
        )
    for key in block:
        if key not in keys:
            raise UsageError(
                f"{document.where(*at, str(key))}: unknown key {show(key)}; {suggest(key, keys)}"
            )


def _integer(document: Document, value: Any, lowest: int, *at: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= MAX_RUNS:
        raise UsageError(
            f"{document.where(*at)}: {show(value)} is not allowed: give a whole number from "
            f"{lowest:,} to {MAX_RUNS:,}"
        )
    return value
