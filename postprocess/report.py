#!/usr/bin/env python
"""Write the report of a sweep."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
from inr.errors import run_main
from inr.storage.paths import find_sweep
from postprocess.command_line import print_problems, print_written, sweep_parser
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.stats.ranking import rank
from postprocess.webpage.page import write_report
from postprocess.webpage.wording import headline


def main() -> int:
    """Run the command line."""
    parser = sweep_parser(
        "Write report.html of a sweep: the best settings, a ranking to filter and sort, figures, "
        "videos, failed runs, cost and provenance. Merges first if that is due; figures and "
        "videos are those that figures.py and videos.py have made."
    )
    parser.add_argument(
        "--embed",
        action="store_true",
        help="put figures and videos into the file, to send it alone (default: link them)",
    )
    arguments = parser.parse_args()
    layout = find_sweep(arguments.sweep)
    merged = ensure_merged(layout, empty=True)
    print_problems(merged.problems, len(merged.runs))
    ranking = rank(merged.runs)
    options = {"embed": arguments.embed, "force": arguments.force}
    written = write_report(layout, merged, ranking, **options)
    print_written([layout.report] if written else [], int(not written), layout.root)
    for line in headline(ranking):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
