"""Killed without warning, a run loses time and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

# `make test-crash` kills 200 times
KILLS = int(os.environ.get("CRASH_KILLS", "12"))
SEED = int(os.environ.get("CRASH_SEED", "20261123"))


def test_kills_at_random_instants_leave_readable_files_and_the_same_bytes(tmp_path: Path) -> None:
    script = "tests.helpers.crash"
    answer = subprocess.run(
        [sys.executable, "-m", script, str(KILLS), str(SEED), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["kills"] == KILLS
