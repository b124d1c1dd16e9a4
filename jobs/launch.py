#!/usr/bin/env python
"""Train every combination of a sweep file: on this machine, or as a Slurm array."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
from collections.abc import Sequence
from pathlib import Path

from inr.errors import run_main
from inr.storage.paths import OUTPUTS
from jobs.launching.arguments import parse_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` by default). Returns the exit code.

    Raises:
        UsageError: the command line or the sweep file is wrong.
        UserError: an image cannot be used, or something needed is missing.
    """
    options = parse_options(arguments)
    # after parsing, so that --help and a wrong option answer at once
    from jobs.launching.modes import start
    from jobs.launching.plan import launching, make_plan
    from jobs.sweeps.sweep_file import find_sweep_file, load_sweep

    sweep = load_sweep(find_sweep_file(options.sweep), options.overrides)
    directory = f"{sweep.name}_debug" if options.mode == "debug" else sweep.name
    output = options.output or Path(OUTPUTS) / directory
    with launching(output, options.dry_run):
        return start(options, make_plan(sweep, output, options.run))


if __name__ == "__main__":
    sys.exit(run_main(main))
