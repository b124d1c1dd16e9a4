"""Sentences and numbers of the report."""

import math
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from postprocess.stats.choices import Ratio, compare_levels
from postprocess.stats.factors import Axis, name_targets
from postprocess.stats.fields import WEIGHT_COLUMNS, WEIGHTS, short, weights_text
from postprocess.stats.ranking import (
    AWARDS,
    HELDOUT,
    HELDOUT_AWARDS,
    OVERALL,
    Estimate,
    Ranking,
    Score,
    Setting,
)

_FEW_LEVELS = 6  # named one by one in a sentence
_HEADING = 30  # characters


@dataclass(frozen=True)
class Award:
    """The best setting by one score on the training grid, in words."""

    title: str
    setting: list[str]  # in parts, see `describe`
    error: str
    margin: str  # how it compares with the next best
    heldout: tuple[list[str], str] | None  # the best setting held out, and its error


@dataclass(frozen=True)
class Winner:
    """The best setting over all on one target, in words."""

    target: str
    setting: list[str]
    error: str
    margin: str
    place: str  # that the best setting over all targets has on this one


def number(value: float) -> str:
    """``0.0123``, ``1.23e-5``, or an en dash for what is not finite."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:#.3g}".rstrip(".")
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def duration(seconds: float) -> str:
    """``0:01:17``, or an en dash for what is not known."""
    return str(timedelta(seconds=round(seconds))) if math.isfinite(seconds) else "–"


def interval(estimate: Estimate) -> str:
    """``0.01 to 0.02``, or nothing where there is no estimate, or one value alone."""
    known = math.isfinite(estimate.estimate) and estimate.finite > 1
    return f"{number(estimate.low)} to {number(estimate.high)}" if known else ""


def capitalize(text: str) -> str:
    """``text`` with a capital letter in front, and as it is otherwise."""
    return text[:1].upper() + text[1:]


def heading(label: str) -> str:
    """A label short enough to head a narrow column."""
    return label if len(label) <= _HEADING else short(label)


def join(parts: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def describe(setting: Setting, axes: tuple[Axis, ...]) -> list[str]:
    """A setting as people say it, a phrase for each field: ``activation sine``, ..."""
    pairs = zip(axes, setting.levels, strict=True)
    return [each for axis, level in pairs for each in axis.words[level]] or ["the only setting"]


def what_varied(ranking: Ranking) -> str:
    """One sentence on what the sweep tried."""
    axes = filter(None, (ranking.variation.target, *ranking.variation.axes))
    parts = [_tried(axis) for axis in axes]
    if ranking.variation.seeds > 1:
        parts.append(f"seeds: {ranking.variation.seeds}")
    return f"The sweep varied {'; '.join(parts)}." if parts else "The sweep has one setting."


def _tried(axis: Axis) -> str:
    """The levels of an axis, one by one if they are few."""
    if len(axis.levels) > _FEW_LEVELS:
        which = f" from {axis.levels[0]} to {axis.levels[-1]}" if axis.numeric else " of them"
        return f"{axis.label}: {len(axis.levels)}{which}"
    if axis.coupled:
        levels = ", or ".join(", ".join(axis.words[level]) for level in axis.levels)
        return f"settings that change together: {levels}"
    # weightings hold commas
    between = " or " if any(", " in level for level in axis.levels) else ", "
    return f"{axis.label}: {between.join(axis.levels)}"


def how_it_went(runs: pd.DataFrame, dropped: int = 0) -> str:
    """One sentence on how many runs there are, and how they ended; one on the ``dropped``."""
    also = f" {dropped} more {'was' if dropped == 1 else 'were'} dropped." if dropped else ""
    total = len(runs)
    counts = runs["status"].value_counts(sort=False)
    complete = int(counts.get("complete", 0))
    if complete == total:
        return f"{f'All {total} runs are' if total > 1 else 'The one run is'} complete.{also}"
    rest = [f"{count} {status}" for status, count in counts.items() if status != "complete"]
    return f"{complete} of {total} runs are complete; {join(rest)}.{also}"


def same_in_all(runs: pd.DataFrame) -> str:
    """One sentence on the scale of the runs, from the settings that do not vary."""
    phrases = (
        ("image {}", "data.image"),
        ("{:,} px", "data.size"),
        ("{:,} frames", "data.frames"),
        ("{:,} hidden layers", "model.depth"),
        ("{:,} units each", "model.width"),
        ("{:,} optimiser steps", "training.steps"),
        ("optimiser {}", "training.optimizer"),
        ("schedule {}", "training.schedule"),
        ("loss weights {}", WEIGHTS),
    )
    weights = runs.reindex(columns=WEIGHT_COLUMNS).agg(weights_text, axis=1)
    known = runs.assign(**{WEIGHTS: weights})
    parts = [
        phrase.format(known[column].iloc[0])
        for phrase, column in phrases
        if column in known and known[column].nunique() == 1
    ]
    return f"Every run: {', '.join(parts)}." if parts else ""


def awards(ranking: Ranking) -> list[Award]:
    """The best setting over all and of each quantity; without scores that no run has."""
    axes, found = ranking.variation.axes, []
    for score, between in zip(AWARDS, HELDOUT_AWARDS, strict=True):
        if ordered := ranking.ordered(score):
            best, other = ordered[0], ranking.best.get(between.column)
            found.append(
                Award(
                    title=score.label,
                    setting=describe(best, axes),
                    error=_with_range(best.estimates[score.column]),
                    margin=_margin(score, ordered, axes),
                    heldout=_between(best, other, between, axes) if other else None,
                )
            )
    return found


def choices(ranking: Ranking) -> list[tuple[tuple[str, ...], list[str]]]:
    """Each level of each axis in words, and its errors on the training grid and held out."""
    rows = []
    for axis in ranking.variation.axes:
        trained, between = (compare_levels(ranking, axis.key, each) for each in (OVERALL, HELDOUT))
        for level in trained:
            ratios = [ratios.get(level) for ratios in (trained, between)]
            rows.append((axis.words[level], [_times(each) for each in ratios]))
    return rows


def _times(ratio: Ratio | None) -> str:
    """``1.21 times (1.1 to 1.3), n = 3``, or what else a reader should know."""
    if ratio is None:
        return "–"
    low, high = number(ratio.low), number(ratio.high)
    ends = f" ({low} to {high})" if low != high else ""
    times = "best" if ratio.low == ratio.high == 1 else f"{number(ratio.estimate)} times{ends}"
    of = f" of {ratio.comparisons}" if ratio.count < ratio.comparisons else ""
    count = f"n = {ratio.count}{of}".replace(" ", "\N{NO-BREAK SPACE}")
    return f"{times if ratio.count else 'no finite error'}, {count}"


def _between(
    best: Setting, other: Setting, score: Score, axes: tuple[Axis, ...]
) -> tuple[list[str], str]:
    """The setting that is best held out, ``other``, and its error, beside the best on the grid."""
    error = _with_range(other.estimates[score.column])
    if other is best:
        return ["the same setting"], error
    former = number(best.estimates[score.column].estimate)
    return describe(other, axes), f"{error}; the best on the training grid has {former}"


def headline(ranking: Ranking) -> list[str]:
    """Which setting is best over all, and by how much; nothing if none is."""
    over = name_targets(ranking.variation.target)
    lines = []
    for award in awards(ranking):
        if award.title == OVERALL.label:
            where = f"{f', over {over}' if over else ''} on the training grid"
            parts = [f"{', '.join(award.setting)}: {award.error}", award.margin]
            if award.heldout:
                setting, error = award.heldout
                parts.append(f"held out: {', '.join(setting)}: {error}")
            lines.append(f"best over all{where}: {'; '.join(filter(None, parts))}")
    return lines


def best_on_each(ranking: Ranking) -> list[Winner]:
    """The best setting on each target; without targets on which no setting has four errors."""
    overall = ranking.best.get(OVERALL.column)
    found = []
    for target, part in ranking.targets.items():
        if ordered := part.ordered(OVERALL):
            places = [setting.levels for setting in ordered]
            place = "–"
            if overall is not None and overall.levels in places:
                place = f"{places.index(overall.levels) + 1} of {len(places)}"
            words, error = describe(ordered[0], part.variation.axes), ordered[0].estimates
            margin = _margin(OVERALL, ordered, part.variation.axes)
            found.append(Winner(target, words, _with_range(error[OVERALL.column]), margin, place))
    return found


def _margin(score: Score, ordered: list[Setting], axes: tuple[Axis, ...]) -> str:
    """How the best setting compares with those behind it; of the next what differs from it."""
    if len(ordered) == 1:
        return ""
    words = [describe(setting, axes) for setting in ordered[:2]]
    first, second, *rest = [setting.estimates[score.column] for setting in ordered]
    differs = ", ".join(phrase for phrase in words[1] if phrase not in words[0])
    ratio = f"next best: {differs}: {number(second.estimate)}"
    if first.estimate > 0:
        ratio += f", {number(second.estimate / first.estimate)} times as much"
    if first.finite < 2 or second.finite < 2:
        return ratio
    close, more = first.overlaps(second), sum(first.overlaps(other) for other in rest)
    runs = " and ".join(map(str, dict.fromkeys((first.finite, second.finite))))
    ratio += f"; the ranges of {runs} runs {'overlap' if close else 'do not overlap'}"
    return ratio + (f", {'and' if close else 'but'} the best overlaps {more} more" if more else "")


def _with_range(estimate: Estimate) -> str:
    """``0.015 (0.01 to 0.02, 2 of 3 runs)``: the number, its range, and on what it rests."""
    part = estimate.finite < estimate.runs
    runs = f"{estimate.finite} of {estimate.runs} runs" if part else ""
    details = ", ".join(filter(None, [interval(estimate), runs]))
    return f"{number(estimate.estimate)} ({details})" if details else number(estimate.estimate)
