#!/usr/bin/env python
"""Say which results files are damaged: for programs that must not read them themselves.

Standard input is a JSON object: ``runs``, a list of run directories, and ``frames``, whether to
read the frames too, which are most of a file. Standard output is the JSON list of verdicts of
`postprocess.dataset.run_reader.find_verdict`, in the same order.
"""

from __future__ import annotations

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inr.errors import UsageError, run_main
from postprocess.dataset.run_reader import find_verdict
from postprocess.worker_pool import ChildLostError, run_isolated, usable_cores

_MOST_WORKERS = 8  # on a login node with many cores, which others use too


def main() -> int:
    """Answer one question."""
    try:
        question = json.load(sys.stdin)
        runs, frames = [Path(run) for run in question["runs"]], bool(question["frames"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"standard input: no question ({error}). Expected a JSON object with runs, a list of "
            "directories, and frames. To see damaged runs, use jobs/manage.py status --verify"
        ) from None
    done: Iterable[Any] = run_isolated(
        find_verdict, [(run, frames) for run in runs], workers=min(_MOST_WORKERS, usable_cores())
    )
    if frames:  # this takes long
        from postprocess.command_line import track  # only now: it loads pandas

        done = track(done, "reading runs", total=len(runs))
    verdicts = [
        {"status": "broken", "reason": str(each)} if isinstance(each, ChildLostError) else each
        for each in done
    ]
    json.dump(verdicts, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
