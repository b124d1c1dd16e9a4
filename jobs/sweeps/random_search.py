"""The ``random`` block of a sweep file: distinct draws from lists of choices."""

import itertools
import math
import random
import sys
from collections.abc import Hashable
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StrictInt, model_validator

from inr.errors import UsageError
from jobs.sweeps.fields import (
    MAX_RUNS,
    Axis,
    Entries,
    Fields,
    Settings,
    parse_choices,
    parse_fields,
    require_apart,
    require_field,
)
from jobs.sweeps.yaml_document import Block, Part, read_each, show

_MAX_TRIES = 200_000  # combinations looked at before the constraint counts as impossible
# A number, infinite ones included; not a truth value, and not NaN.
_Limit = Annotated[float, Field(strict=True, ge=-math.inf)]


class Constraint(Block):
    """``above < sum of the drawn fields < below``."""

    sum: Annotated[
        list[str],
        BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
        Field(min_length=1, description="name a field, a group or a list of fields"),
    ]
    above: _Limit = Field(-math.inf, description="give a number")
    below: _Limit = Field(math.inf, description="give a number")

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if not {"above", "below"} & self.model_fields_set:
            raise ValueError(f"sum {self.sum} alone. Give above or below, too: its limits")
        return self


class Random(Block):
    """The block ``random``."""

    count: Annotated[StrictInt, Field(ge=1, le=MAX_RUNS)] = Field(
        description=f"give a whole number from 1 to {MAX_RUNS:,}"
    )
    seed: Annotated[StrictInt, Field(ge=0, le=MAX_RUNS)] = Field(
        0, description=f"give a whole number from 0 to {MAX_RUNS:,}"
    )
    choices: Fields = Field(min_length=1, description="must map fields to lists of values")
    constraint: Constraint | None = Field(
        None, description="must be a mapping with sum, above, below"
    )
    include: Entries | None = Field(
        None, min_length=1, description="must be a list of mappings of fields to values"
    )


def draw_axis(block: Random, at: Part) -> Axis:
    """``count`` distinct draws, the same for the same ``seed``.

    The combinations of ``include`` come first, count, and need not meet the constraint. Raises
    `UsageError` for a mistake in the block, or if fewer than ``count`` draws meet the constraint.
    """
    axes = [list(_distinct(axis).values()) for axis in parse_choices(at / "choices")]
    require_apart(axes)
    rule = block.constraint
    summed = _summed(rule.sum, axes, at / "constraint" / "sum") if rule else set()
    included = _parse_include(block.count, axes, at / "include") if block.include else {}
    if len(included) == block.count:
        return list(included.values())
    total = math.prod(len(axis) for axis in axes)
    if total > sys.maxsize:
        raise UsageError(
            f"{at / 'choices'}: {total:,} combinations to draw from, at most "
            f"{sys.maxsize:,} are allowed"
        )
    tries = min(total, max(_MAX_TRIES, block.count))
    # sampling positions without replacement makes the draws distinct
    positions = random.Random(block.seed).sample(range(total), tries)  # noqa: S311, no secrets
    allowed = (
        draw
        for draw in (_combination(axes, position) for position in positions)
        if _key(draw) not in included
        and (not rule or rule.above < math.fsum(draw[f].value for f in summed) < rule.below)
    )
    draws = [*included.values(), *itertools.islice(allowed, block.count - len(included))]
    if len(draws) == block.count:
        return draws
    looked_at = f"all {total:,}" if tries == total else f"{tries:,} of {total:,}"
    met = f" that meet {at / 'constraint'}" if rule else ""
    raise UsageError(
        f"{at / 'count'}: {block.count:,} distinct draws wanted, but among {looked_at} "
        f"combinations of the choices there are only {len(draws):,}{met}. Lower the count, "
        "or allow more"
    )


def _parse_include(count: int, axes: list[Axis], at: Part) -> dict[Hashable, Settings]:
    """The combinations that are wanted whatever is drawn."""
    parsed = read_each(parse_fields, at)
    drawn = {path for axis in axes for choice in axis for path in choice}
    for settings, part in zip(parsed, at, strict=True):
        if settings.keys() != drawn:
            raise UsageError(
                f"{part}: {show(part.value)} is not allowed: must set the fields that "
                f"are drawn: {', '.join(sorted(drawn))}"
            )
    given = _distinct(parsed)
    if len(given) > count:
        raise UsageError(
            f"{at}: {show(at.value)} is not allowed: must be at most as many as random.count, "
            f"{count:,}, which includes them"
        )
    return given


def _summed(names: list[str], axes: list[Axis], at: Part) -> set[str]:
    """The drawn fields that the constraint sums; every draw sets them, to a number."""
    numeric = [
        path
        for axis in axes
        for path in axis[0]
        if all(path in choice and isinstance(choice[path].value, (int, float)) for choice in axis)
    ]
    summed: set[str] = set()
    for name in names:
        require_field(name, at)
        found = {path for path in numeric if f"{path}.".startswith(f"{name}.")}
        if not found:
            raise UsageError(
                f"{at}: {show(name)} is not among the choices, or is no number. Give one of "
                f"{', '.join(numeric) or 'the choices, with numbers for values'}"
            )
        summed |= found
    return summed


def _combination(axes: list[Axis], position: int) -> Settings:
    """The combination number ``position`` of the product, the last axis counting fastest."""
    settings: Settings = {}
    for axis in reversed(axes):
        position, choice = divmod(position, len(axis))
        settings |= axis[choice]
    return settings


def _distinct(axis: Axis) -> dict[Hashable, Settings]:
    """Each alternative once, by its values."""
    found: dict[Hashable, Settings] = {}
    for choice in axis:
        found.setdefault(_key(choice), choice)
    return found


def _key(settings: Settings) -> Hashable:
    return frozenset((path, setting.value) for path, setting in settings.items())
