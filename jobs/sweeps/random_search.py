"""The ``random`` block of a sweep file: distinct draws from lists of choices."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from inr.errors import UsageError
from jobs.sweeps.fields import Settings, all_fields, all_groups, unknown_field
from jobs.sweeps.search_space import MAX_RUNS, Axis, Entries, Fields, parse_choices, parse_entries
from jobs.sweeps.yaml_document import Block, Place, show

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

    def allows(self, draw: Settings, fields: tuple[str, ...]) -> bool:
        """Whether the ``fields`` of a draw meet the constraint."""
        return self.above < math.fsum(draw[field].value for field in fields) < self.below


def _has_a_limit(constraint: Constraint | None) -> Constraint | None:
    if constraint and not {"above", "below"} & constraint.model_fields_set:
        raise ValueError(f"sum {constraint.sum} alone. Give above or below, too: its limits")
    return constraint


class Random(Block):
    """The block ``random``."""

    count: Annotated[StrictInt, Field(ge=1, le=MAX_RUNS)] = Field(
        description=f"give a whole number from 1 to {MAX_RUNS:,}"
    )
    seed: Annotated[StrictInt, Field(ge=0, le=MAX_RUNS)] = Field(
        0, description=f"give a whole number from 0 to {MAX_RUNS:,}"
    )
    choices: Fields = Field(min_length=1, description="must map fields to lists of values")
    constraint: Annotated[Constraint | None, AfterValidator(_has_a_limit)] = Field(
        None, description="must be a mapping with sum, above, below"
    )
    include: Entries | None = Field(
        None, min_length=1, description="must be a list of mappings of fields to values"
    )


def draw_axis(block: Random, at: Place) -> Axis:
    """``count`` distinct draws, the same for the same ``seed``.

    The combinations of ``include`` come first, count, and need not meet the constraint.

    Raises:
        UsageError: a mistake in the block, or fewer than ``count`` draws meet the constraint.
    """
    axes = [_distinct(axis) for axis in parse_choices(block.choices, at / "choices")]
    summed = tuple(_summed(block.constraint, axes, at / "constraint" / "sum"))
    given = _parse_include(block, axes, at / "include")
    return given if len(given) == block.count else _draw(block, at, axes, summed, given)


def _parse_include(block: Random, axes: list[Axis], at: Place) -> Axis:
    """The combinations that are wanted whatever is drawn."""
    entries = block.include or []
    parsed = parse_entries(entries, at)
    drawn = {path for axis in axes for choice in axis for path in choice}
    for number, settings in enumerate(parsed):
        if settings.keys() != drawn:
            raise UsageError(
                f"{at / number}: {show(entries[number])} is not allowed: must set the fields that "
                f"are drawn: {', '.join(sorted(drawn))}"
            )
    given = _distinct(parsed)
    if len(given) > block.count:
        raise UsageError(
            f"{at}: {show(entries)} is not allowed: must be at most as many as random.count, "
            f"{block.count:,}, which includes them"
        )
    return given


def _draw(block: Random, at: Place, axes: list[Axis], summed: tuple[str, ...], given: Axis) -> Axis:
    """The combinations ``given``, and random ones up to ``block.count``."""
    total = math.prod(len(axis) for axis in axes)
    if total > sys.maxsize:
        raise UsageError(
            f"{at / 'choices'}: {total:,} combinations to draw from, at most "
            f"{sys.maxsize:,} are allowed"
        )
    tries = min(total, max(_MAX_TRIES, block.count))
    # sampling positions without replacement makes the draws distinct
    positions = random.Random(block.seed).sample(range(total), tries)  # noqa: S311, no secrets
    draws: Axis = list(given)
    taken = [_values(settings) for settings in given]
    rule = block.constraint
    for position in positions:
        draw = _combination(axes, position)
        if _values(draw) not in taken and (rule is None or rule.allows(draw, summed)):
            draws.append(draw)
            if len(draws) == block.count:
                return draws
    looked_at = f"all {total:,}" if tries == total else f"{tries:,} of {total:,}"
    met = f" that meet {at / 'constraint'}" if rule else ""
    raise UsageError(
        f"{at / 'count'}: {block.count:,} distinct draws wanted, but among {looked_at} "
        f"combinations of the choices there are only {len(draws):,}{met}. Lower the count, "
        "or allow more"
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


def _summed(constraint: Constraint | None, axes: list[Axis], at: Place) -> Iterator[str]:
    """The drawn fields that the constraint sums; every draw sets them, to a number."""
    numeric = [
        path
        for path in all_fields()
        if any(all(_is_number(choice.get(path)) for choice in axis) for axis in axes)
    ]
    wanted = dict.fromkeys(constraint.sum if constraint else ())
    for name in wanted:
        if name not in all_fields() and name not in all_groups():
            raise UsageError(f"{at}: {unknown_field(name)}")
        if not any(f"{path}.".startswith(f"{name}.") for path in numeric):
            raise UsageError(
                f"{at}: {show(name)} is not among the choices, or is no number. Give one of "
                f"{', '.join(numeric) or 'the choices, with numbers for values'}"
            )
    for path in numeric:
        if any(f"{path}.".startswith(f"{name}.") for name in wanted):
            yield path


def _is_number(setting: Any) -> bool:
    return setting is not None and isinstance(setting.value, (int, float))
