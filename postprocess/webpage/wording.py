"""Sentences and numbers of the report."""

import math
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from postprocess.stats.factors import Axis, name_targets
from postprocess.stats.ranking import (
    AWARDS,
    ERRORS,
    HELDOUT,
    HELDOUT_ERRORS,
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
    """The best setting by one score, in words."""

    title: str
    setting: list[str]  # in parts, see `describe`
    error: str
    margin: str  # how it compares with the next best


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


def short(label: str) -> str:
    """A label without what stands in parentheses."""
    return label.partition(" (")[0]


def heading(label: str) -> str:
    """A label short enough to head a narrow column."""
    return label if len(label) <= _HEADING else short(label)


def describe(setting: Setting, axes: tuple[Axis, ...]) -> list[str]:
    """A setting as people say it, a phrase for each axis: ``activation sine``, ..."""
    pairs = zip(axes, setting.levels, strict=True)
    return [f"{short(axis.label)} {level}" for axis, level in pairs] or ["the only setting"]


def what_varied(ranking: Ranking) -> str:
    """One sentence on what the sweep tried."""
    parts = []
    for axis in filter(None, (ranking.variation.target, *ranking.variation.axes)):
        if len(axis.levels) <= _FEW_LEVELS:
            # levels of coupled fields hold commas
            levels = (" or " if any(", " in each for each in axis.levels) else ", ").join(
                axis.levels
            )
        elif axis.numeric:
            levels = f"{len(axis.levels)} from {axis.levels[0]} to {axis.levels[-1]}"
        else:
            levels = f"{len(axis.levels)} of them"
        parts.append(f"{axis.label}: {levels}")
    if ranking.variation.seeds > 1:
        parts.append(f"seeds: {ranking.variation.seeds}")
    return f"The sweep varied {'; '.join(parts)}." if parts else "The sweep has one setting."


def how_it_went(runs: pd.DataFrame, dropped: int = 0) -> str:
    """One sentence on how many runs there are, and how they ended; one on the ``dropped``."""
    also = f" {dropped} more {'was' if dropped == 1 else 'were'} dropped." if dropped else ""
    total = len(runs)
    counts = runs["status"].value_counts(sort=False)
    complete = int(counts.get("complete", 0))
    if complete == total:
        return f"{f'All {total} runs are' if total > 1 else 'The one run is'} complete.{also}"
    rest = [f"{count} {status}" for status, count in counts.items() if status != "complete"]
    return f"{complete} of {total} runs are complete; {_join(rest)}.{also}"


def same_in_all(runs: pd.DataFrame) -> str:
    """One sentence on the scale of the runs, from the settings that do not vary."""
    phrases = (
        ("image {}", "data.image"),
        ("{:,} px", "data.size"),
        ("{:,} frames", "data.frames"),
        ("{:,} hidden layers", "model.depth"),
        ("{:,} units each", "model.width"),
        ("{:,} optimiser steps", "training.steps"),
    )
    parts = [
        phrase.format(runs[column].iloc[0])
        for phrase, column in phrases
        if column in runs and runs[column].nunique() == 1
    ]
    return f"Every run: {', '.join(parts)}." if parts else ""


def awards(ranking: Ranking) -> list[Award]:
    """The best setting over all and of each quantity; without scores that no run has."""
    return [
        Award(
            title=score.label,
            setting=describe(ordered[0], ranking.variation.axes),
            error=_with_range(ordered[0].estimates[score.column]),
            margin=_margin(score, ordered),
        )
        for score in AWARDS
        if (ordered := ranking.ordered(score))
    ]


def headline(ranking: Ranking) -> list[str]:
    """Which setting is best over all, and by how much; nothing if none is."""
    over = name_targets(ranking.variation.target)
    return [
        f"best over all{f', over {over}' if over else ''}: {', '.join(award.setting)}: "
        f"{'; '.join(filter(None, [award.error, award.margin]))}"
        for award in awards(ranking)
        if award.title == OVERALL.label
    ]


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
            margin = _margin(OVERALL, ordered)
            found.append(Winner(target, words, _with_range(error[OVERALL.column]), margin, place))
    return found


def caveats(ranking: Ranking) -> list[str]:
    """What a reader should know before believing the best setting."""
    best, said = ranking.best.get(OVERALL.column), []
    if ranking.targets and (count := ranking.left_out):
        over = name_targets(ranking.variation.target)
        settings = "1 setting was" if count == 1 else f"{count} settings were"
        said.append(f"{settings} not run on all of {over}, and not ranked over all of them.")
    if best is None:
        return [*said, "No setting has four finite errors, so none is best over all."]
    if len(ranking.settings) > 1 and not ranking.replicated:
        said.append(
            "Each setting was run with one seed: a small difference between two of them may be "
            "chance. Repeat the best ones with several seeds."
        )
    for label, level, which in ranking.edges(best):
        said.append(
            f"The best {short(label)}, {level}, is the {which} that was tried: a better one may "
            "lie beyond it."
        )
    heldout = ranking.best.get(HELDOUT.column)
    if heldout is not None and heldout is not best:
        said.append(
            "Judged by held-out errors, those between pixels and frames where nothing was trained, "
            f"another setting is best: {', '.join(describe(heldout, ranking.variation.axes))}."
        )
    if failing := _failing_between(best):
        said.append(
            "Between pixels and frames, where nothing was trained, the setting that is best over "
            f"all (first line) does no better than predicting the mean for {_join(failing)}; 1 is "
            "what that gives."
        )
    if best.estimates[OVERALL.column].estimate >= 1:
        said.append("Even the best setting is no better than predicting the mean of its targets.")
    return said


def _failing_between(best: Setting) -> list[str]:
    """Quantities with their held-out errors, where these are 1 or more and those on grid less."""
    pairs = [
        (score, best.estimates[score.column].estimate, best.estimates[heldout.column].estimate)
        for score, heldout in zip(ERRORS, HELDOUT_ERRORS, strict=True)
    ]
    return [
        f"the {score.label} (error {number(between)})"
        for score, on, between in pairs
        if between >= 1 > on
    ]


def _margin(score: Score, ordered: list[Setting]) -> str:
    """How the best setting compares with those behind it."""
    first, *others = [setting.estimates[score.column] for setting in ordered]
    if not others:
        return ""
    second = others[0]
    ratio = f"next best: {number(second.estimate)}"
    if first.estimate > 0:
        ratio += f", {number(second.estimate / first.estimate)} times as much"
    if first.finite < 2 or second.finite < 2:
        return ratio
    close = sum(first.overlaps(other) for other in others)
    if close:
        settings = "another setting" if close == 1 else f"{close} other settings"
        return f"{ratio}; its range overlaps that of {settings}"
    return f"{ratio}; the ranges do not overlap"


def _with_range(estimate: Estimate) -> str:
    """``0.015 (0.01 to 0.02, 2 of 3 runs)``: the number, its range, and on what it rests."""
    part = estimate.finite < estimate.runs
    runs = f"{estimate.finite} of {estimate.runs} runs" if part else ""
    details = ", ".join(filter(None, [interval(estimate), runs]))
    return f"{number(estimate.estimate)} ({details})" if details else number(estimate.estimate)


def _join(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
