#!/usr/bin/env python
"""Watch and mend a sweep: status, logs, cancel, retry."""

from __future__ import annotations

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
from argparse import Namespace
from collections.abc import Sequence

from inr.errors import run_main
from inr.storage.paths import SweepLayout, find_sweep
from jobs.managing.arguments import parse_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` by default). Returns the exit code.

    Raises:
        UsageError: the command line is wrong, or there is no such sweep or run.
        UserError: the sweep's index is broken, or Slurm does not do what it is asked.
    """
    options = parse_options(arguments)
    return _COMMANDS[options.command](find_sweep(options.output), options)


# Each loads only what it needs, so that --help and a wrong option answer at once.


def _status(layout: SweepLayout, options: Namespace) -> int:
    from jobs.managing.status_table import show_status

    show_status(
        layout,
        every=options.watch,
        as_json=options.json,
        all_runs=options.all,
        frames=options.verify,
    )
    return 0


def _logs(layout: SweepLayout, options: Namespace) -> int:
    from jobs.managing.logs import show_logs

    return show_logs(layout, options.run, options.lines, options.follow)


def _cancel(layout: SweepLayout, options: Namespace) -> int:
    from jobs.managing.cancel import cancel

    return cancel(layout, options.run, options.yes, options.whole_tasks)


def _retry(layout: SweepLayout, options: Namespace) -> int:
    from jobs.managing.retry import retry

    return retry(layout, options)


_COMMANDS = {"status": _status, "logs": _logs, "cancel": _cancel, "retry": _retry}

if __name__ == "__main__":
    sys.exit(run_main(main))
