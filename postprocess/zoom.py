#!/usr/bin/env python
"""Zoom into what a trained network knows between the pixels and between the frames."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
import argparse

from inr.errors import UsageError, run_main
from inr.quantities import QUANTITIES
from inr.storage.paths import RunLayout, find_sweep, user_path
from postprocess.command_line import print_written, sweep_parser
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.video.encoder import FORMATS, add_film_options, between
from postprocess.video.selection import Plan, plan_zoom, plan_zoom_of_run
from postprocess.video.zoom_video import write_zoom


def main() -> int:
    """Run the command line."""
    given = _parser().parse_args()
    plan = _plan(given.sweep, given.run)
    formats = given.format or FORMATS
    due = plan.find_due(formats, force=given.force)
    if due:
        write_zoom(plan, due, given.scale, given.times, given.centre, given.derivative, given.fps)
    print_written(list(due.values()), len(set(formats)) - len(due), plan.target.parent)
    return 0


def _plan(directory: str | None, text: str | None) -> Plan:
    if directory is not None:
        run = RunLayout(user_path(directory))
        if run.model.is_file() or run.results.is_file():
            if text is not None:
                raise UsageError(f"--run {text}: {directory} is a single run. Leave --run out")
            return plan_zoom_of_run(run)
    layout = find_sweep(directory)
    return plan_zoom(layout, ensure_merged(layout), text or "")


def _parser() -> argparse.ArgumentParser:
    parser = sweep_parser(
        "Zoom into a trained network while time runs to the last frame and back: on the left the "
        "pixels of the nearest frame, on the right the network, evaluated between pixels and "
        "between frames; the value above, a derivative below. DIR is a sweep, of which the best "
        "run is shown (into videos/zoom/), or the directory of one run."
    )
    parser.add_argument("--run", metavar="TEXT", help="the best run whose name contains TEXT")
    parser.add_argument(
        "--scale",
        type=between(1.01, 1000),  # beyond, single precision shows
        default=8.0,
        help="magnification at the end (default: 8)",
    )
    parser.add_argument(
        "--times",
        type=between(2, 10_000, int),
        default=40,
        metavar="N",
        help="number of moments, one for each picture of the video (default: 40)",
    )
    parser.add_argument(
        "--centre",
        nargs=2,
        type=float,
        metavar=("X", "Y"),
        help="centre of the region in px from the left and upper edge of the image "
        "(default: where there is most detail)",
    )
    parser.add_argument(
        "--derivative",
        choices=QUANTITIES[1:],
        default="gradient",
        help="what is shown below the value (default: gradient, as its magnitude)",
    )
    add_film_options(parser, fps=12.0)
    return parser


if __name__ == "__main__":
    sys.exit(run_main(main))
