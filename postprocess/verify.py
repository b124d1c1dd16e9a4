#!/usr/bin/env python
"""Say which results files are damaged: for programs that must not read them themselves.

Standard input is a JSON object: ``runs``, a list of run directories, and ``frames``, whether to
read the frames too. Standard output is the JSON list of verdicts of
`postprocess.verification.verify`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from inr.errors import run_main
from postprocess.verification import verify


def main() -> int:
    """Answer one question."""
    question = json.load(sys.stdin)
    verdicts = verify([Path(run) for run in question["runs"]], frames=question["frames"])
    json.dump(verdicts, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
