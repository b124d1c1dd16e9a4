#!/usr/bin/env python
"""Watch and mend a sweep: status, logs, cancel, retry, drop, restore."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
from collections.abc import Sequence

from inr.errors import run_main
from inr.storage.paths import find_sweep
from jobs.managing.arguments import parse_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` by default). Returns the exit code.

    Raises `UsageError` for a wrong command line or where there is no such sweep or run, `UserError`
    where the sweep's index is broken, or Slurm does not do what it is asked.
    """
    options = parse_options(arguments)
    layout = find_sweep(options.output)
    # only what the command needs is loaded, so that --help and a wrong option answer at once
    match options.command:
        case "status":
            from jobs.managing.status_table import show_status

            return show_status(layout, options)
        case "logs":
            from jobs.managing.logs import show_logs

            (run,) = options.runs
            return show_logs(layout, run, options.lines, options.follow)
        case "cancel":
            from jobs.managing.cancel import cancel

            return cancel(layout, options.run, options.yes, options.whole_tasks)
        case "drop" | "restore":
            from jobs.managing.drop import drop, restore

            return (drop if options.command == "drop" else restore)(layout, options)
    from jobs.managing.retry import retry

    return retry(layout, options)


if __name__ == "__main__":
    sys.exit(run_main(main))
