"""What each video of a sweep shows, and where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inr.errors import UsageError
from inr.storage.paths import SweepLayout
from postprocess.dataset.read import MergedSweep
from postprocess.video.encoder import Format
from postprocess.video.selection import (
    ROLES,
    Choice,
    Role,
    choose_by_role,
    choose_by_text,
    choose_one,
)

MOST_RUNS = 20  # up to here every run gets a video unless something else is asked for


@dataclass(frozen=True)
class Plan:
    """A video of one run, or of two that are compared."""

    label: str  # for messages
    title: str  # lines above the pictures
    runs: tuple[Choice, ...]
    target: Path  # of the video, without suffix
    inputs: tuple[Path, ...]  # it is out of date when one of these is newer


def comparison_target(layout: SweepLayout, first: str, second: str) -> Path:
    """The video of two runs, given by name or by place in the ranking."""
    name = f"{first}_and_{second}".replace("/", "-").replace(": ", "-")
    return layout.videos / "compare" / name


def zoom_target(layout: SweepLayout, name: str) -> Path:
    """The zoom into a run."""
    return layout.videos / "zoom" / name


def output_path(target: Path, kind: Format) -> Path:
    """The file of one format; not `Path.with_suffix`, because names of runs have dots."""
    return target.with_name(f"{target.name}.{kind}")


def find_due(
    target: Path, kinds: Iterable[Format], inputs: Sequence[Path], *, force: bool
) -> dict[Format, Path]:
    """Files of formats that are missing or older than one of ``inputs``; all if ``force``."""
    outputs = {kind: output_path(target, kind) for kind in kinds}
    return {kind: path for kind, path in outputs.items() if force or not is_newer(path, inputs)}


def is_newer(path: Path, sources: Iterable[Path]) -> bool:
    """True when ``path`` exists and is no older than any of ``sources``."""
    newest = max(source.stat().st_mtime_ns for source in sources)
    return path.is_file() and path.stat().st_mtime_ns >= newest


def plan_runs(layout: SweepLayout, merged: MergedSweep, text: str = "") -> list[Plan]:
    """A video for each run whose name contains ``text``. Raises `UsageError` if there is none."""
    return [
        Plan(run.name, run.name, (run,), layout.videos / run.name, (run.results,))
        for run in choose_by_text(layout, merged, text)
    ]


def plan_roles(layout: SweepLayout, merged: MergedSweep, roles: Iterable[Role]) -> list[Plan]:
    """A video for each place in the ranking, called after it: ``videos/best.mp4``."""
    chosen = [(role, choose_by_role(layout, merged, role)) for role in roles]
    return [
        Plan(
            label=f"{role} ({run.name})",
            title=f"{run.role}\n{run.name}",
            runs=(run,),
            target=layout.videos / role,
            inputs=(run.results, merged.path),  # other runs decide which one it is
        )
        for role, run in chosen
    ]


def plan_selection(layout: SweepLayout, merged: MergedSweep, given: str) -> list[Plan]:
    """The videos that ``--select`` asks for.

    Args:
        layout: The sweep.
        merged: Its merged results.
        given: ``all``, some of `ROLES` between commas, or ``auto``: all if there are no more than
            `MOST_RUNS` runs, or else one for each place.

    Raises:
        UsageError: it is none of these.
    """
    if given == "auto":
        given = "all" if len(merged.readable) <= MOST_RUNS else ",".join(ROLES)
    if given == "all":
        return plan_runs(layout, merged)
    asked = given.split(",")
    roles = [role for role in ROLES if role in asked]
    if unknown := set(asked) - set(roles):
        raise UsageError(
            f"--select {given}: {min(unknown)!r} is not known. "
            f"Give all, auto, or some of {', '.join(ROLES)} with commas between them"
        )
    return plan_roles(layout, merged, roles)


def plan_comparison(layout: SweepLayout, merged: MergedSweep, names: Sequence[str]) -> Plan:
    """A video of two runs below their common target.

    Raises:
        UsageError: a name means no run or several, or both mean the same run.
    """
    first, second = (choose_one(layout, merged, name) for name in names)
    if first.results.resolve() == second.results.resolve():
        raise UsageError(
            f"--compare {' '.join(names)}: both are {first.name}. Give two different runs"
        )
    by_role = any(run.role for run in (first, second))
    return Plan(
        label=f"comparison of {first.name} and {second.name}",
        title=f"A   {first.title}\nB   {second.title}",
        runs=(first, second),
        target=comparison_target(layout, _key(names[0], first), _key(names[1], second)),
        inputs=(first.results, second.results, *([merged.path] if by_role else [])),
    )


def _key(given: str, run: Choice) -> str:
    return given if run.role else run.name
