"""What a reader of the report should know before believing it."""

import pandas as pd

from postprocess.stats.factors import name_targets
from postprocess.stats.fields import WEIGHT_COLUMNS, short
from postprocess.stats.ranking import (
    ERRORS,
    HELDOUT,
    HELDOUT_ERRORS,
    OVERALL,
    Ranking,
    Setting,
)
from postprocess.webpage.wording import describe, join, number

_MOST_FAILING = 3  # settings that fail held out, of which a reader hears one by one


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
    said += _untrained(ranking)
    said += _failing_settings(ranking)
    if failing := _failing_between(best):
        said.append(
            "Between pixels and frames, where nothing was trained, the setting that is best on the "
            "training grid (first line) does no better than predicting the mean for "
            f"{join(failing)}; 1 is what that gives."
        )
    if best.estimates[OVERALL.column].estimate >= 1:
        said.append("Even the best setting is no better than predicting the mean of its targets.")
    return said


def _failing_settings(ranking: Ranking) -> list[str]:
    """A sentence for each of the first settings that fail where nothing was trained."""
    said = []
    for place, setting in enumerate(ranking.ordered(OVERALL), start=1):
        on, between = (setting.estimates[each.column].estimate for each in (OVERALL, HELDOUT))
        if between >= 1 > on:
            words = ", ".join(describe(setting, ranking.variation.axes))
            said.append(
                f"Rank {place} on the training grid, {words}, does no better than predicting the "
                f"mean between pixels and frames: error over all {number(between)}."
            )
    shown, more = said[:_MOST_FAILING], len(said) - _MOST_FAILING
    return [*shown, f"{more} more settings do no better there."] if more > 0 else shown


def _untrained(ranking: Ranking) -> list[str]:
    """That the error over all counts quantities which no run was trained on, if it does."""
    runs = pd.concat([setting.runs for setting in ranking.settings])
    columns = zip(ERRORS, WEIGHT_COLUMNS, strict=True)
    names = [
        f"the {score.label}"
        for score, column in columns
        if column in runs and not runs[column].any()
    ]
    if not names:
        return []
    return [f"Over all counts what no run was trained on too (weight 0): {join(names)}."]


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
