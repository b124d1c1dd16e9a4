#!/usr/bin/env python
"""Draw the comparison figures of a sweep."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
from inr.errors import run_main
from inr.storage.paths import find_sweep
from postprocess.command_line import print_problems, print_written, sweep_parser
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots.batch import write_figures
from postprocess.plots.style import FORMATS


def main() -> int:
    """Run the command line."""
    parser = sweep_parser(
        "Draw the figures of a sweep into its figures/ directory: learning curves and final "
        "values of every metric by the settings that vary, held-out against on-grid errors, "
        "errors against each other, and what loss terms, weights and learning rates have to do "
        "with them. Merges first if that is due, and draws only what is older "
        "than the merged results."
    )
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="only figures whose name contains TEXT"
    )
    parser.add_argument(
        "--format", choices=FORMATS, action="append", help="file format (default: png and pdf)"
    )
    arguments = parser.parse_args()
    layout = find_sweep(arguments.sweep)
    merged = ensure_merged(layout)
    print_problems(merged.problems, len(merged.runs))
    formats, only = arguments.format or FORMATS, arguments.only
    written, kept = write_figures(layout, merged, formats=formats, only=only, force=arguments.force)
    print_written(written, kept, layout.figures)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
