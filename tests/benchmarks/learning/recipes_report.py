"""The text and the picture of the benchmark of recipes, from its tables alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from postprocess.plots import style
from tests.benchmarks.learning.comparison import (
    HELD_OUT,
    LEVEL,
    NAMES,
    ON_FRAMES,
    SETS,
    diverged,
    holm,
    log_errors,
    ratios,
    told,
    with_limits,
)
from tests.benchmarks.learning.generated_images import GENERATED
from tests.benchmarks.learning.recipes_design import (
    BASE,
    BUILT_IN,
    IMAGES,
    KEY,
    PUBLISHED,
    RECOMMENDED,
    SEEDS,
    SETTINGS,
    TRIALS,
    TUNED,
    TUNING_IMAGES,
    TUNING_STEPS,
)
from tests.benchmarks.learning.sweeps import score
from tests.benchmarks.report import markdown_table

ALL = "all four"
GROUPS = {  # of the four errors, by their places
    ALL: slice(None),
    **{name: slice(place, place + 1) for place, name in enumerate(NAMES.values())},
    "value, gradient, Laplacian": slice(3),
}


def write(tables: Path) -> str:
    """The text of the tables in a folder."""
    tried, runs, curves = (
        pd.read_csv(tables / f"{name}.csv") for name in ("tuning", "runs", "curves")
    )
    facts = json.loads((tables / "facts.json").read_text(encoding="utf-8"))
    found = contest(runs)
    template = Path(__file__).with_name("recipes.md").read_text(encoding="utf-8")
    return template.format(
        count=len(IMAGES),
        built_in=", ".join(BUILT_IN),
        built_in_count=len(BUILT_IN),
        generated=len(GENERATED),
        tuning=", ".join(TUNING_IMAGES),
        tuning_steps=TUNING_STEPS,
        trials=len(TRIALS),
        seeds=SEEDS,
        runs=len(runs),
        comparisons=len(found),
        every=BASE["record.metrics_every"],
        **{name.rpartition(".")[2]: value for name, value in BASE.items() if "weights" not in name},
        answer="\n".join(_answers(found)),
        ratios=markdown_table(list(_ratio_rows(found))),
        images=markdown_table(list(_image_rows(runs))),
        sets=markdown_table(list(_set_rows(runs))),
        clock="\n".join(_clock(curves)),
        settings=markdown_table(list(_setting_rows(runs))),
        tried=markdown_table(list(_trial_rows(tried))),
        diverged=diverged(runs, "recipe"),
        facts=told(facts),
    )


def contest(runs: pd.DataFrame) -> pd.DataFrame:
    """`ratios` of each reference to the recipe, [(errors, reference)]; ``p`` by Holm for all.

    ``lower`` is the number of images on which the recipe has the lower errors.
    """
    found = {}
    for name, part in GROUPS.items():
        errors = log_errors(runs, HELD_OUT[part], "recipe")
        lower = errors.gt(errors.loc[RECOMMENDED], axis=1).sum(axis=1)
        found[name] = ratios(errors, RECOMMENDED).assign(lower=lower).drop(RECOMMENDED)
    table = pd.concat(found)
    return table.assign(p=holm(table["p"]))


def verdict(row: pd.Series) -> str:
    """What a row of `contest` says of the errors of the recipe."""
    if row["p"] >= LEVEL:
        return f"not told apart (theirs over the recipe's: {with_limits(row)})"
    if not np.isfinite(row["ratio"]):
        return "lower, because runs of the reference diverged"
    if row["ratio"] == 0:
        return "higher, because runs of the recipe diverged"
    if row["ratio"] > 1:
        return f"{with_limits(row)} times lower"
    inverse = {"ratio": 1 / row["ratio"], "low": 1 / row["high"], "high": 1 / row["low"]}
    return f"{with_limits(pd.Series(inverse))} times higher"


def _answers(found: pd.DataFrame) -> Iterator[str]:
    for reference in _references(found):
        rows = found.xs(reference, level=1)
        yield (
            f"- **Beside the {reference}** the errors of the recipe, all four together, are "
            f"**{verdict(rows.loc[ALL])}**; lower on {rows.loc[ALL, 'lower']:.0f} of {len(IMAGES)} "
            f"images. By error: "
            + "; ".join(f"{name} {verdict(rows.loc[name])}" for name in NAMES.values())
            + "."
        )
    if TUNED not in _references(found):
        yield "- Tuning chose the published settings again: there is one reference."


def _references(found: pd.DataFrame) -> list[str]:
    return [name for name in (PUBLISHED, TUNED) if name in found.index.get_level_values(1)]


def _ratio_rows(found: pd.DataFrame) -> Iterator[dict[str, str]]:
    for (errors, reference), one in found.iterrows():
        yield {
            "errors": errors,
            "reference": reference,
            "its errors / the recipe's": with_limits(one),
            "recipe lower on": f"{one['lower']:.0f} of {len(IMAGES)}",
            "p (Holm)": f"{one['p']:.2g}",
        }


def _image_rows(runs: pd.DataFrame) -> Iterator[dict[str, str]]:
    errors = np.exp(log_errors(runs, HELD_OUT, "recipe"))
    for image in IMAGES:
        yield {"image": image} | {name: f"{errors.loc[name, image]:.2e}" for name in order(runs)}


def _set_rows(runs: pd.DataFrame) -> Iterator[dict[str, str]]:
    for errors, part in GROUPS.items():
        by_set = {
            words: np.exp(
                log_errors(runs, [f"{points}{e}" for e in ON_FRAMES[part]], "recipe").mean(axis=1)
            )
            for points, words in SETS.items()
        }
        for name in order(runs):
            row = {words: f"{found[name]:.2e}" for words, found in by_set.items()}
            yield {"errors": errors, "recipe": name} | row


def order(runs: pd.DataFrame) -> list[str]:
    """The recipes of a table, in one order everywhere."""
    return [name for name in (RECOMMENDED, PUBLISHED, TUNED) if (runs["recipe"] == name).any()]


def medians(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """Median over images and seeds, [step, recipe]; a run that diverged is infinite after that."""
    table = curves.pivot(index="step", columns=KEY, values=column).fillna(np.inf)
    return table.T.groupby(level="recipe").median().T


def _clock(curves: pd.DataFrame) -> Iterator[str]:
    """What the recipe gains until it has the last errors of each reference, by steps and time."""
    together = curves.assign(all=np.exp(np.log(curves[ON_FRAMES]).mean(axis=1, skipna=False)))
    errors, seconds = medians(together, "all"), medians(curves, "seconds")
    steps = errors.index[-1]
    each = {name: seconds.loc[steps, name] / steps for name in order(curves)}
    yield "- A step takes " + ", ".join(f"{1e3 * s:.3g} ms ({n})" for n, s in each.items()) + "."
    for reference in order(curves)[1:]:
        last = errors.loc[steps, reference]
        if not np.isfinite(last):
            yield f"- The {reference} has no last errors: half of its runs or more diverged."
            continue
        reached = errors.index[errors[RECOMMENDED] <= last]
        if not len(reached):
            yield f"- The recipe does not come down to the last errors of the {reference}."
            continue
        needed = max(reached[0], 1)
        fewer, shorter = steps / needed, each[reference] / each[RECOMMENDED]
        due = "fewer steps" if fewer > 1 else "no fewer steps"
        due += ", each of which takes longer" if shorter < 1 else ", none of which takes longer"
        yield (
            f"- It comes down to the last errors of the {reference} after {needed:,} of {steps:,} "
            f"steps, {needed * each[RECOMMENDED]:.3g} s of {steps * each[reference]:.3g}: "
            f"{fewer * shorter:.3g} times as fast, {fewer:.3g} by the number of steps and "
            f"{shorter:.3g} by the time of a step ({due})."
        )


def _setting_rows(runs: pd.DataFrame) -> Iterator[dict[str, str]]:
    for name in order(runs):
        row = runs[runs["recipe"] == name].iloc[0]
        yield {"recipe": name} | {each: f"{row[each]}" for each in SETTINGS}


def _trial_rows(tried: pd.DataFrame) -> Iterator[dict[str, str]]:
    varied = [each for each in SETTINGS if tried[each].nunique() > 1]
    scores = score(tried, varied, "recipe").sort_values("score", kind="stable")
    for place, (_, row) in enumerate(scores.iterrows()):
        error = f"{np.exp(row['score']):.2e}"
        yield {each: f"{row[each]}" for each in varied} | {
            "errors": error if place else f"**{error}**"
        }


def draw(tables: Path) -> Figure:
    """Errors by image, a dot a recipe; below them the median curves, by steps and by seconds."""
    runs, curves = (pd.read_csv(tables / f"{name}.csv") for name in ("runs", "curves"))
    style.use_style()
    figure = Figure(figsize=(11, 9), layout="constrained")
    panels = figure.subplots(3, len(NAMES), height_ratios=(1.4, 1, 1), sharex="row", sharey="row")
    seconds = medians(curves, "seconds")
    looks = dict(zip(order(runs), zip(style.COLORS, style.MARKERS, strict=False), strict=False))
    for column, (held_out, on_frames) in enumerate(zip(HELD_OUT, ON_FRAMES, strict=True)):
        dots, by_steps, by_seconds = panels[:, column]
        errors = np.exp(log_errors(runs, [held_out], "recipe"))
        curve = medians(curves, on_frames)
        for name, (color, marker) in looks.items():
            dots.plot(
                errors.loc[name, list(IMAGES)], range(len(IMAGES)), marker, color=color, label=name
            )
            by_steps.plot(curve.index, curve[name], color=color)
            by_seconds.plot(seconds[name], curve[name], color=color)
        dots.set(xscale="log", title=list(NAMES.values())[column])
        dots.set_xlabel("error between pixels and frames")
        by_steps.set(yscale="log", xlabel="steps")
        by_seconds.set(yscale="log", xlabel="seconds of training")
    panels[0, 0].xaxis.set_minor_formatter(NullFormatter())
    panels[0, 0].set_yticks(range(len(IMAGES)), IMAGES)
    panels[0, 0].invert_yaxis()
    for panel in panels[1:, 0]:
        panel.set_ylabel("error on the frames, median")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
