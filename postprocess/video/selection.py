"""Which videos are made: what each shows, and where it goes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from inr.errors import UsageError, UserError
from inr.storage.paths import RunLayout, SweepLayout, user_path
from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.stats.factors import find_variation, name_targets, target_folder
from postprocess.stats.ranking import OVERALL, add_scores
from postprocess.video.encoder import FORMATS, Format

ROLES = ("best", "median", "worst")
RANKED_BY = "mean log error"  # over the four quantities; errors are MSE / variance
MOST_RUNS = 20  # up to here every run gets a video unless something else is asked for

_LISTED = 3  # names in a message


@dataclass(frozen=True)
class Choice:
    """One run to film."""

    name: str
    results: Path  # run.h5
    role: str = ""  # what it is in the ranking: "best of 100 by mean log error"


@dataclass(frozen=True)
class Plan:
    """A video of one run, or of two that are compared."""

    label: str  # for messages
    title: str  # lines above the pictures
    runs: tuple[Choice, ...]
    target: Path  # of the video, without suffix
    inputs: tuple[Path, ...]  # it is out of date when one of these is newer

    def output(self, kind: Format) -> Path:
        """The file of one format; not `Path.with_suffix`, because names of runs have dots."""
        return self.target.with_name(f"{self.target.name}.{kind}")

    def find_due(self, kinds: Iterable[Format], *, force: bool = False) -> dict[Format, Path]:
        """Files that are missing or older than one of ``inputs``, by format; all if ``force``."""
        newest = max(source.stat().st_mtime_ns for source in self.inputs)

        def is_due(path: Path) -> bool:
            return force or not path.is_file() or path.stat().st_mtime_ns < newest

        return {kind: path for kind in kinds if is_due(path := self.output(kind))}


def order_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``/runs`` by the mean of log10(MSE / variance) over the four quantities, best first.

    Measured at the end of training. Runs that diverged or have no finite error come last, in the
    order of their tasks.
    """
    scores = add_scores(runs)[OVERALL.column]  # the geometric mean: it grows with that of the logs
    known = np.isfinite(scores) & (runs["status"] == "complete")
    return runs.iloc[np.argsort(np.where(known, scores, np.inf), kind="stable")]


def split_targets(merged: MergedSweep) -> list[tuple[str, str, MergedSweep]]:
    """The runs of each target by themselves: `` on image: camera``, its folder, its runs.

    Both texts are empty if there is one target.
    """
    variation = find_variation(merged.readable)
    if variation.target is None:
        return [("", "", merged)]
    return [
        (f" on {variation.target.label}: {level}", target_folder(level), replace(merged, runs=runs))
        for level, runs in variation.by_target(merged.readable).items()
    ]


def choose_by_role(layout: SweepLayout, merged: MergedSweep, role: str, where: str = "") -> Choice:
    """The best, the median (of an even number the better one) or the worst run.

    ``where``: the target of ``merged``, in words. Raises `UsageError` if it has several: errors of
    one say nothing beside errors of another.
    """
    if target := find_variation(merged.readable).target:
        raise UsageError(
            f"{role}: the runs learned {name_targets(target)}, and each has its own {role} run. "
            "Give the name of a run"
        )
    names = list(order_runs(merged.readable)["name"])
    name = {"best": names[0], "median": names[(len(names) - 1) // 2], "worst": names[-1]}[role]
    return Choice(name, layout.run(name).results, f"{role} of {len(names)}{where} by {RANKED_BY}")


def choose_by_text(layout: SweepLayout, merged: MergedSweep, text: str) -> list[Choice]:
    """All runs whose name contains ``text``. Raises `UsageError` if there is none."""
    names = list(merged.readable["name"])
    chosen = [Choice(name, layout.run(name).results) for name in names if text in name]
    if not chosen:
        raise UsageError(
            f"{text}: no readable run of {layout.root} has that in its name. "
            f"One that exists: {names[0]}"
        )
    return chosen


def choose_one(layout: SweepLayout, merged: MergedSweep, given: str, where: str = "") -> Choice:
    """The one run that ``given`` means. Raises `UsageError` if that is none, or several.

    ``given``: a name in `ROLES`, the path of a ``run.h5`` or of its directory, the name of a run,
    or a part of it that no other name has.
    """
    if given in ROLES:
        return choose_by_role(layout, merged, given, where)
    for results in (user_path(given), RunLayout(user_path(given)).results):
        if results.is_file():
            return Choice(_name_of(results.resolve()), results)
    found = choose_by_text(layout, merged, given)
    exact = [choice for choice in found if choice.name == given]
    if not exact and len(found) > 1:
        listed = ", ".join(choice.name for choice in found[:_LISTED])
        raise UsageError(
            f"{given}: {len(found)} runs have that in their names: {listed}"
            f"{', …' if len(found) > _LISTED else ''}. Give more of the name"
        )
    return (exact or found)[0]


def _name_of(results: Path) -> str:
    """``<sweep>: <run>`` of a file in a sweep, or else its path."""
    for parent in results.parents:
        if parent.name == "runs":
            return f"{parent.parent.name}: {results.parent.relative_to(parent).as_posix()}"
    return str(results)


def plan_runs(layout: SweepLayout, merged: MergedSweep, text: str = "") -> list[Plan]:
    """A video for each run whose name contains ``text``. Raises `UsageError` if there is none."""
    return [
        Plan(run.name, run.name, (run,), layout.videos / run.name, (run.results,))
        for run in choose_by_text(layout, merged, text)
    ]


def plan_selection(layout: SweepLayout, merged: MergedSweep, given: str) -> list[Plan]:
    """The videos that ``--select`` asks for. Raises `UsageError` if that is nothing known.

    ``given``: ``all``, some of `ROLES` between commas, or ``auto``: all if there are no more than
    `MOST_RUNS` runs, or else one for each place, which the video is called after. Each target has
    places of its own.
    """
    if given == "auto":
        given = "all" if len(merged.readable) <= MOST_RUNS else ",".join(ROLES)
    if given == "all":
        return plan_runs(layout, merged)
    asked = given.split(",")
    if unknown := set(asked) - set(ROLES):
        raise UsageError(
            f"--select {given}: {min(unknown)!r} is not known. "
            f"Give all, auto, or some of {', '.join(ROLES)} with commas between them"
        )
    plans = []
    for where, folder, own in split_targets(merged):
        for role in ROLES:
            if role in asked:
                run = choose_by_role(layout, own, role, where)
                label, title = f"{role} ({run.name})", f"{run.role}\n{run.name}"
                inputs = (run.results, merged.path)  # other runs decide which one it is
                plans.append(Plan(label, title, (run,), layout.videos / folder / role, inputs))
    return plans


def plan_comparisons(layout: SweepLayout, merged: MergedSweep, names: Sequence[str]) -> list[Plan]:
    """`plan_comparison`; of two places, one for each target that has several runs."""
    parts = split_targets(merged)
    if len(parts) == 1 or not set(names) <= set(ROLES):
        return [plan_comparison(layout, merged, names)]
    return [
        plan_comparison(layout, own, names, where, folder)
        for where, folder, own in parts
        if len(own.readable) > 1
    ]


def plan_comparison(
    layout: SweepLayout,
    merged: MergedSweep,
    names: Sequence[str],
    where: str = "",
    folder: str = "",
) -> Plan:
    """A video of two runs below their common target.

    Raises `UsageError` if a name means no run or several, or both mean the same run.
    """
    first, second = runs = tuple(choose_one(layout, merged, given, where) for given in names)
    if first.results.resolve() == second.results.resolve():
        raise UsageError(
            f"--compare {' '.join(names)}: both are {first.name}. Give two different runs"
        )
    keys = [given if run.role else run.name for given, run in zip(names, runs, strict=True)]
    titles = [f"{run.role}: {run.name}" if run.role else run.name for run in runs]
    name = "_and_".join(keys).replace("/", "-").replace(": ", "-")
    ranked = [merged.path] if first.role or second.role else []
    return Plan(
        label=f"comparison of {first.name} and {second.name}",
        title="A   {}\nB   {}".format(*titles),
        runs=runs,
        target=layout.videos / folder / "compare" / name,
        inputs=(first.results, second.results, *ranked),
    )


def remove_dropped(layout: SweepLayout, merged: MergedSweep) -> None:
    """Remove the videos of runs that were dropped; they are made again if the runs are restored."""
    for name in merged.dropped["name"]:
        for target in (layout.videos / name, layout.videos / "zoom" / name):
            for kind in FORMATS:
                target.with_name(f"{target.name}.{kind}").unlink(missing_ok=True)


def plan_zoom(layout: SweepLayout, merged: MergedSweep, text: str) -> Plan:
    """The best run, by the order of `order_runs`, that has a network and ``text`` in its name.

    Of several targets, on the first that has one. Raises `UsageError` if no run has such a name,
    `UserError` if none that has it has a network.
    """
    asked = {run.name: run for run in choose_by_text(layout, merged, text)}
    for where, _, own in split_targets(merged):
        ordered = list(order_runs(own.readable)["name"])
        first = f"the best of {len(ordered)}{where} by {RANKED_BY}"
        found = next((n for n in ordered if n in asked and layout.run(n).model.is_file()), None)
        if found is not None:
            break
    else:
        raise UserError(
            f"{layout.root}: none of {len(asked)} runs has its network (model.pt). It is written "
            "when a run ends; runs that diverged may have none"
        )
    best = len(ordered) > 1 and found == ordered[0]
    role = first if best else "one run"
    inputs = (layout.run(found).model, asked[found].results, *([merged.path] if best else []))
    title = f"zoom into {role}\n{found}"
    return Plan(found, title, (asked[found],), layout.videos / "zoom" / found, inputs)


def plan_zoom_of_run(run: RunLayout) -> Plan:
    """The zoom into a run by itself; the video goes into its directory.

    Raises `UserError` if its network or its results are missing.
    """
    name, inputs = run.root.name, (run.model, run.results)
    if missing := [path for path in inputs if not path.is_file()]:
        raise UserError(
            f"{missing[0]}: missing. It is written when a run ends; one that diverged may have no "
            "network"
        )
    choice = Choice(name, run.results)
    return Plan(name, f"zoom into one run\n{name}", (choice,), run.root / "zoom", inputs)
