#!/usr/bin/env python
"""Merge all runs of a sweep into merged.h5, summary.csv and settings.csv."""

import sys
from contextlib import suppress
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
from inr.errors import run_main
from inr.files import write_text
from inr.storage.paths import SweepLayout, find_sweep
from postprocess.command_line import print_problems, print_written, sweep_parser
from postprocess.dataset.merged_sweep import ensure_merged, is_current
from postprocess.stats.settings_table import settings_table


def main() -> int:
    """Run the command line."""
    parser = sweep_parser(
        "Merge the run.h5 of every run of a sweep into merged.h5 (one long table of series, one "
        "row per run), summary.csv (one row per run) and settings.csv (estimate and interval of "
        "every error of every setting). Runs that are missing, unfinished or broken are named and "
        "kept as rows with that status. Does nothing when no run changed since the last merge."
    )
    arguments = parser.parse_args()
    layout = find_sweep(arguments.sweep)
    outputs = [layout.merged, layout.summary, layout.settings]
    current = not arguments.force and is_current(layout) and _follows(layout)
    merged = ensure_merged(layout, force=arguments.force)
    if not current:
        write_text(layout.settings, settings_table(merged.runs).to_csv(index=False))
    print_problems(merged.problems, len(merged.runs))
    print(f"{len(merged.readable)} of {len(merged.runs)} runs merged")
    print_written([] if current else outputs, len(outputs) if current else 0, layout.root)
    return 0


def _follows(layout: SweepLayout) -> bool:
    """Whether ``settings.csv`` is no older than ``merged.h5``, which other commands renew too."""
    with suppress(OSError):
        return layout.settings.stat().st_mtime_ns >= layout.merged.stat().st_mtime_ns
    return False


if __name__ == "__main__":
    sys.exit(run_main(main))
