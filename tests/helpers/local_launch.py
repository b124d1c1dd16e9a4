"""The launcher with ``--local``, in a process group of its own, and small runs to launch."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from inr.config import RunConfig
from inr.storage.provenance import ROOT

SMALL = {
    "data": {"size": 16, "frames": 3},
    "model": {"width": 8, "depth": 1},
    "record": {"tensorboard": False},
}
TINY = {
    "data": {"size": 16, "frames": 2},
    "model": {"width": 8, "depth": 2},
    "training": {"steps": 20, "batch": 16},
    "record": {"metrics_every": 5, "images_every": 10},
}


def tiny(**groups: dict[str, object]) -> RunConfig:
    """The run of TINY, with other fields in some groups."""
    return RunConfig.model_validate({k: {**v, **groups.get(k, {})} for k, v in TINY.items()})


def in_foreground() -> None:
    """A shell starts background jobs with Ctrl-C switched off, and these tests may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_background() -> None:
    """As a script does with ``nohup ... &``."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)


def launch(
    tmp_path: Path, specification: dict, *arguments: str, prepare=in_foreground
) -> subprocess.Popen[str]:
    """Start the launcher as a terminal would: in a process group of its own."""
    sweep = tmp_path / "tiny.yaml"
    sweep.write_text(json.dumps(specification))  # JSON is YAML
    return subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "jobs" / "launch.py"),
            "--local",
            "--no-post",
            *("--sweep", str(sweep), "--output", str(tmp_path / "out")),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
        cwd=tmp_path,
    )


def wait_until(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
