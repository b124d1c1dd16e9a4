#!/usr/bin/env python
"""Say which results files are damaged: for programs that must not read them themselves.

Standard input is a JSON object: ``runs``, a list of run directories, and ``frames``, whether to
read the frames too. Standard output is the JSON list of verdicts of
`postprocess.dataset.integrity.verify`.
"""

from __future__ import annotations

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
import json
from pathlib import Path

from inr.errors import UsageError, run_main
from postprocess.dataset.integrity import verify


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
    verdicts = verify(runs, frames=frames)
    json.dump(verdicts, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
