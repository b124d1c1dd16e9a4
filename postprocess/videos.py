#!/usr/bin/env python
"""Make a video of every run of a sweep."""

from __future__ import annotations

import argparse
import math
import sys

from inr.errors import UserError, run_main
from inr.layout import find_sweep
from postprocess.merged import ensure_merged
from postprocess.terminal import print_problems, print_written, sweep_parser
from postprocess.video_batch import write_videos
from postprocess.video_encoder import FORMATS


def main() -> int:
    """Run the command line."""
    parser = sweep_parser(
        "Make a video of every run into the sweep's videos/ directory: value, gradient, Laplacian "
        "and time derivative, the exact target above the network, with one colour scale per "
        "quantity, taken from the target. Makes only what is older than the run's results."
    )
    parser.add_argument(
        "--run", metavar="TEXT", default="", help="only runs whose name contains TEXT"
    )
    parser.add_argument("--fps", type=_rate, default=4.0, help="frames per second (default: 4)")
    parser.add_argument(
        "--format", choices=FORMATS, action="append", help="file format (default: mp4 and gif)"
    )
    arguments = parser.parse_args()
    layout = find_sweep(arguments.sweep)
    merged = ensure_merged(layout)
    print_problems(merged.problems, len(merged.runs))
    outcome = write_videos(
        layout,
        merged,
        name=arguments.run,
        formats=arguments.format or FORMATS,
        fps=arguments.fps,
        force=arguments.force,
    )
    for line in outcome.failed:
        print(f"  left out {line}")
    if not outcome.written and not outcome.kept:
        raise UserError(f"{layout.root}: no run has frames that can be read")
    print_written(outcome.written, outcome.kept, layout.videos)
    return 0


def _rate(text: str) -> float:
    rate = float(text)
    if not (math.isfinite(rate) and 0.1 <= rate <= 120):
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 120")
    return rate


if __name__ == "__main__":
    sys.exit(run_main(main))
