#!/usr/bin/env python
"""Make videos of the runs of a sweep."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
import argparse

from inr.errors import UserError, run_main
from inr.storage.paths import SweepLayout, find_sweep
from postprocess.command_line import print_problems, print_written, sweep_parser
from postprocess.dataset.merged_sweep import MergedSweep, ensure_merged
from postprocess.video.encoder import FORMATS, add_film_options
from postprocess.video.run_video import write_videos
from postprocess.video.selection import (
    MOST_RUNS,
    ROLES,
    Plan,
    plan_comparisons,
    plan_runs,
    plan_selection,
    remove_dropped,
)


def main() -> int:
    """Run the command line."""
    arguments = _parser().parse_args()
    layout = find_sweep(arguments.sweep)
    merged = ensure_merged(layout)
    print_problems(merged.problems, len(merged.runs))
    remove_dropped(layout, merged)
    plans, formats = _plan(layout, merged, arguments), arguments.format or FORMATS
    written, kept, failed = write_videos(
        plans, formats=formats, fps=arguments.fps, force=arguments.force
    )
    for line in failed:
        print(f"  left out {line}")
    if not written and not kept:
        raise UserError(f"{layout.root}: no run has frames that can be shown")
    print_written(written, kept, layout.videos)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = sweep_parser(
        "Make videos of runs into the sweep's videos/ directory: value, gradient, Laplacian "
        "and time derivative, the target above the network, with one colour scale per "
        "quantity, taken from the target. Makes only what is older than the run's results."
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="TEXT", help="only runs whose name contains TEXT")
    which.add_argument(
        "--select",
        metavar="WHICH",
        help=f"all; or some of {','.join(ROLES)}, by the mean of log10(MSE / variance) over the "
        "four quantities, where a run that diverged is the worst; or auto: all up to "
        f"{MOST_RUNS} runs, {','.join(ROLES)} of more (default: auto)",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="show two runs below their common target; each is a part of a name that no other "
        f"run has, one of {', '.join(ROLES)}, or the run.h5 of any sweep. "
        "With --run or --select, make those videos too",
    )
    add_film_options(parser, fps=4.0)
    return parser


def _plan(layout: SweepLayout, merged: MergedSweep, arguments: argparse.Namespace) -> list[Plan]:
    """What the options ask for."""
    plans: list[Plan] = []
    if arguments.run is not None:
        plans += plan_runs(layout, merged, arguments.run)
    elif arguments.select is not None:
        plans += plan_selection(layout, merged, arguments.select)
    elif not arguments.compare:
        plans += plan_selection(layout, merged, "auto")
    if arguments.compare:
        # a chain of commands asks for best against worst, whatever the size of the sweep
        alone = len(merged.readable) == 1 and set(arguments.compare) <= set(ROLES)
        if not (alone and plans):
            plans += plan_comparisons(layout, merged, arguments.compare)
    return plans


if __name__ == "__main__":
    sys.exit(run_main(main))
