"""Which runs of a sweep to film: by their place in the ranking, by name, or by file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from inr.errors import UsageError
from inr.storage.paths import SweepLayout
from postprocess.dataset.read import MergedSweep
from postprocess.stats.ranking import OVERALL, add_scores

Role = Literal["best", "median", "worst"]
ROLES: tuple[Role, ...] = ("best", "median", "worst")
RANKED_BY = "mean log error"  # over the four quantities; errors are MSE / variance

_LISTED = 3  # names in a message


@dataclass(frozen=True)
class Choice:
    """One run to film."""

    name: str
    results: Path  # run.h5
    role: str = ""  # what it is in the ranking: "best of 100 by mean log error"

    @property
    def title(self) -> str:
        """What it is, and its name."""
        return f"{self.role}: {self.name}" if self.role else self.name


def order_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``/runs`` by the mean of log10(MSE / variance) over the four quantities, best first.

    Measured at the end of training. Runs that diverged or have no finite error come last, in the
    order of their tasks.
    """
    scores = add_scores(runs)[OVERALL.column]  # the geometric mean: it grows with that of the logs
    known = np.isfinite(scores) & (runs["status"] == "complete")
    return runs.iloc[np.argsort(np.where(known, scores, np.inf), kind="stable")]


def choose_by_role(layout: SweepLayout, merged: MergedSweep, role: Role) -> Choice:
    """The best, the median (of an even number the better one) or the worst run."""
    ordered = order_runs(merged.readable)
    places = {"best": 0, "median": (len(ordered) - 1) // 2, "worst": len(ordered) - 1}
    run = ordered.iloc[places[role]]
    count = f"{role} of {len(ordered)} by {RANKED_BY}"
    return Choice(run["name"], layout.root / run["results"], count)


def choose_by_text(layout: SweepLayout, merged: MergedSweep, text: str) -> list[Choice]:
    """All runs whose name contains ``text``.

    Raises:
        UsageError: there is none.
    """
    runs = merged.readable
    chosen = runs[runs["name"].str.contains(text, regex=False)]
    if chosen.empty:
        raise UsageError(
            f"{text}: no readable run of {layout.root} has that in its name. "
            f"One that exists: {runs['name'].iloc[0]}"
        )
    return [
        Choice(name, layout.root / results)
        for name, results in zip(chosen["name"], chosen["results"], strict=True)
    ]


def choose_one(layout: SweepLayout, merged: MergedSweep, given: str) -> Choice:
    """The one run that ``given`` means.

    Args:
        layout: The sweep.
        merged: Its merged results.
        given: A name in `ROLES`, the path of a ``run.h5`` or of its directory, the name of a run,
            or a part of it that no other name has.

    Raises:
        UsageError: it means no run, or several.
    """
    for role in ROLES:
        if given == role:
            return choose_by_role(layout, merged, role)
    path = Path(given)
    for results in (path, path / "run.h5"):
        if results.is_file():
            return Choice(_name_of(results.resolve()), results)
    found = choose_by_text(layout, merged, given)
    exact = [choice for choice in found if choice.name == given]
    if not exact and len(found) > 1:
        raise UsageError(
            f"{given}: {len(found)} runs have that in their names: {_listed(found)}. "
            "Give more of the name"
        )
    return (exact or found)[0]


def _name_of(results: Path) -> str:
    """``<sweep>: <run>`` of a file in a sweep, or else its path."""
    for parent in results.parents:
        if parent.name == "runs":
            name = results.parent.relative_to(parent).as_posix()
            return f"{parent.parent.name}: {name}"
    return str(results)


def _listed(choices: Sequence[Choice]) -> str:
    more = ", …" if len(choices) > _LISTED else ""
    return ", ".join(choice.name for choice in choices[:_LISTED]) + more
