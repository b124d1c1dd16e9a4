"""Which settings differ between the runs of a sweep, and which visual role each one plays."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

import pandas as pd

from postprocess.stats.fields import (
    ACTIVATION,
    DATA,
    IMAGE,
    PROTOCOL,
    RATE,
    SCHEDULE,
    SEED,
    WEIGHT_COLUMNS,
    WEIGHTS,
    as_text,
    label_of,
    short,
    weights_text,
)

ROLES = ("row", "column", "hue", "style")

_GROUPS = (DATA, "model.", "training.", "record.")
_FIRST = (IMAGE, ACTIVATION, WEIGHTS, SCHEDULE, RATE, PROTOCOL)  # most asked about
_MAX_LINES = 12  # in one panel
_MOST_RATES = 16  # combinations of learning rate and schedule in one panel
_CAPACITY = {"hue": 7, "style": 4, "column": 6, "row": 5}
_MOST_PARTS = 4  # panels over which the colours of one axis are spread
_PREFERENCE = {
    WEIGHTS: ("column", "row", "hue", "style"),
    SCHEDULE: ("hue", "row", "column", "style"),
}
_ANY_ROLE = ("hue", "style", "column", "row")


@dataclass(frozen=True)
class Axis:
    """A setting that differs between runs."""

    key: str  # column of /runs, or `WEIGHTS` for the four weights together
    label: str  # for people, with the unit
    levels: tuple[str, ...]  # as text: numbers rising, anything else in task order
    numeric: bool
    # each level in words, a phrase for each field of the axis: ``activation sine``
    words: Mapping[str, tuple[str, ...]] = field(compare=False)

    @property
    def coupled(self) -> bool:
        """Whether several fields change together."""
        return any(len(phrases) > 1 for phrases in self.words.values())

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The levels in parts that colours tell apart: ``activation 1–7``, ``activation 8–14``.

        One part, called like the axis, if there are few.
        """
        count = math.ceil(len(self.levels) / _CAPACITY["hue"])
        if count == 1:
            return {self.label: self.levels}
        size, name = math.ceil(len(self.levels) / count), short(self.label)
        parts = [self.levels[first : first + size] for first in range(0, len(self.levels), size)]
        return {
            f"{name} {size * i + 1}\N{EN DASH}{size * i + len(part)}": part
            for i, part in enumerate(parts)
        }

    @property
    def has_parts(self) -> bool:
        """Whether colours tell the levels apart only in some parts, each by itself."""
        return self.key != WEIGHTS and 1 < len(self.parts) <= _MOST_PARTS


@dataclass(frozen=True)
class Variation:
    """The varying settings of a sweep, most asked about first.

    Runs of different targets have learned different things: errors of one say nothing beside
    errors of another.
    """

    axes: tuple[Axis, ...]  # without the seed: runs that differ in it alone are replicates
    levels: pd.DataFrame  # [run, axis key]: level of each run as text; the target's too
    seeds: int
    target: Axis | None = None  # the fields ``data.*`` that vary, together

    def by_target(self, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The rows of ``table``, one for each run, by target; all by ``""`` if there is one."""
        if self.target is None:
            return {"": table}
        levels = self.levels.loc[table.index, self.target.key]
        return {level: table[levels == level] for level in self.target.levels}

    def select(self, runs: pd.Index) -> "Variation":
        """The same of some runs that are not told apart by target; axes keep all their levels."""
        keys = [axis.key for axis in self.axes]
        return replace(self, levels=self.levels.loc[runs, keys], target=None)

    def assign(self, reserved: Axis | None = None) -> "Roles":
        """Give each axis but ``reserved`` a role; those that find none are pooled.

        A target always has panels of its own. An axis fits where its levels can be told apart, and
        a panel keeps few lines; colours may begin again in the next column of panels. A few
        schedules beside many uniform rates are colour and line style, whatever else there is:
        panels for all their combinations would mostly be empty.
        """
        axes = {axis.key: axis for axis in self.axes if axis != reserved}
        target = self.target if self.target != reserved else None
        taken: dict[str, Axis] = {"row": target} if target else {}
        if {RATE, SCHEDULE} <= axes.keys() and 0 < self.combinations_of_rates <= _MOST_RATES:
            taken |= {"hue": axes.pop(RATE), "style": axes.pop(SCHEDULE)}
        pooled, parts = [], 1
        for axis in axes.values():
            count = len(axis.levels)
            lines = math.prod(len(taken[r].levels) for r in ("hue", "style") if r in taken)
            for role in _PREFERENCE.get(axis.key, _ANY_ROLE):
                crowded = role in ("hue", "style") and lines * count > _MAX_LINES
                free = role not in taken and (role != "column" or parts == 1)
                if free and count <= _CAPACITY[role] and not crowded:
                    taken[role] = axis
                    break
            else:
                if axis.has_parts and not {"hue", "column"} & taken.keys():
                    taken["hue"], parts = axis, len(axis.parts)
                else:
                    pooled.append(axis)
        if target and "column" not in taken and parts == 1:
            taken["column"] = taken.pop("row")  # columns wrap
        return Roles(**taken, pooled=tuple(pooled), target=target)

    @property
    def combinations_of_rates(self) -> int:
        """How many combinations of schedule and rate there are; 0 if that is all possible ones."""
        possible = {axis.key: len(axis.levels) for axis in self.axes}
        if not {SCHEDULE, RATE} <= possible.keys():
            return 0
        there = len(self.levels[[SCHEDULE, RATE]].drop_duplicates())
        return there if there < possible[SCHEDULE] * possible[RATE] else 0

    def together(self, *keys: str, between: str = " ") -> "Variation":
        """The same, with the axes ``keys`` as one, the first, of all their combinations."""
        joined = [axis for axis in self.axes if axis.key in keys]
        names = [axis.key for axis in joined]
        key, label = "+".join(names), ", ".join(axis.label for axis in joined)
        text = self.levels[names].agg(between.join, axis=1)
        places = {axis.key: self.levels[axis.key].map(axis.levels.index) for axis in joined}
        ordered = dict.fromkeys(text[pd.DataFrame(places).sort_values(names).index])
        words = {
            between.join(row): tuple(
                chain.from_iterable(a.words[level] for a, level in zip(joined, row, strict=True))
            )
            for row in self.levels[names].itertuples(index=False, name=None)
        }
        numeric = joined[0].numeric and len(joined) == 1
        axis = Axis(key, label, tuple(ordered), numeric, words)
        rest = [axis for axis in self.axes if axis.key not in keys]
        levels = self.levels.drop(columns=names).assign(**{key: text})
        return replace(self, axes=(axis, *rest), levels=levels)

    def places(self, roles: "Roles") -> pd.DataFrame:
        """Level of each run in each role and as ``target``, [run, role]; ``""`` if not taken."""
        axes = {role: getattr(roles, role) for role in (*ROLES, "target")}
        levels = {role: self.levels[axis.key] if axis else "" for role, axis in axes.items()}
        table = pd.DataFrame(levels, index=self.levels.index)
        if roles.hue and roles.hue.has_parts:
            part_of = {lv: name for name, part in roles.hue.parts.items() for lv in part}
            table["column"] = table["hue"].map(part_of)
        return table


@dataclass(frozen=True)
class Roles:
    """How a figure shows the axes. Runs that agree on all four form one line."""

    hue: Axis | None = None
    style: Axis | None = None
    column: Axis | None = None
    row: Axis | None = None
    pooled: tuple[Axis, ...] = ()  # too many levels: summarised
    target: Axis | None = None  # the row or the column of which no two levels share a scale

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of panels: of levels, or of parts of the levels in colour."""
        if self.column:
            return self.column.levels
        return tuple(self.hue.parts) if self.hue and self.hue.has_parts else ("",)

    def target_of(self, row: str, column: str) -> str:
        """The target in a panel, ``""`` if there is one for all."""
        return "" if not self.target else row if self.target == self.row else column


def find_variation(runs: pd.DataFrame) -> Variation:
    """Find the settings that differ between ``runs`` (rows of ``/runs``).

    A setting that says nothing new, because others already determine it, is left out. But settings
    that always change together are one axis with all their names: what they do cannot be told
    apart. What is learned comes before how.
    """
    values = {n: runs[n] for n in runs.columns if n.startswith(_GROUPS) and n != SEED}
    weights = [values.pop(column) for column in WEIGHT_COLUMNS if column in values]
    if weights:
        texts = map(weights_text, zip(*weights, strict=True))
        values[WEIGHTS] = pd.Series(list(texts), index=runs.index)
    axes: list[Axis] = []
    levels = pd.DataFrame(index=runs.index)
    groups: list[list[str]] = []  # keys that change together
    combinations = 1
    for key in sorted(values, key=_order):
        text = as_text(key, values[key])
        distinct = len(levels.assign(**{key: text}).drop_duplicates())
        same = next((group for group in groups if _change_together(levels[group[0]], text)), None)
        if distinct > combinations:
            groups.append([key])
            combinations = distinct
        elif same and key.startswith(DATA) == same[0].startswith(DATA) and "record." not in key:
            same.append(key)
        else:
            continue
        axes.append(_axis(key, values[key], text))
        levels[key] = text
    found = Variation(tuple(axes), levels, runs[SEED].nunique() if SEED in runs else 1)
    for group in groups[::-1]:  # `together` puts it first
        found = found.together(*group, between=", ")
    data = [axis.key for axis in found.axes if axis.key.startswith(DATA)]
    if not data:
        return found
    found = found.together(*data, between=", ")
    return replace(found, axes=found.axes[1:], target=found.axes[0])


def _change_together(one: pd.Series, other: pd.Series) -> bool:
    """Whether each value of one stands beside one value of the other, and there are several."""
    pairs = len(pd.DataFrame({0: one, 1: other}).drop_duplicates())
    return bool(pairs == one.nunique() == other.nunique() > 1)


def _order(key: str) -> tuple[bool, int]:
    return not key.startswith(DATA), _FIRST.index(key) if key in _FIRST else len(_FIRST)


def name_targets(target: Axis | None) -> str:
    """How many there are, for a sentence: ``4 images``, or ``6 targets (image, noise)``.

    Nothing if there is one.
    """
    if target is None:
        return ""
    count = len(target.levels)
    return f"{count} images" if target.key == IMAGE else f"{count} targets ({target.label})"


def target_folder(level: str) -> str:
    """The folder for the figures or videos of one target: its name, without slashes."""
    return "targets/" + level.replace("%", "%25").replace("/", "%2F")


def _axis(key: str, values: pd.Series, texts: pd.Series) -> Axis:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    ordered = texts[values.sort_values().index] if numeric else texts
    label, levels = label_of(key), tuple(dict.fromkeys(ordered))
    words = {level: (f"{short(label)} {level}",) for level in levels}
    return Axis(key, label, levels, numeric, words)
