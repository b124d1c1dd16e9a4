"""What follows training: post-processing as commands, and where everything lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inr.layout import SweepLayout

_ROOT = Path(__file__).resolve().parents[1]
_COMMANDS = _ROOT / "postprocess"
_STEPS = ("merge.py", "figures.py", "videos.py", "report.py")


def run_postprocessing(layout: SweepLayout) -> int:
    """Merge the runs, draw figures and videos, write the report. Stops at the first failure.

    Returns the exit code of the last command that ran.
    """
    for script in (_COMMANDS / step for step in _STEPS):
        if script.is_file():
            code = subprocess.run(  # noqa: S603, our own commands
                [sys.executable, str(script), str(layout.root)], check=False
            ).returncode
            if code != 0:
                print(f"note: {script.name} failed; run it again when the reason is gone")
                return code
    return 0


def describe_results(layout: SweepLayout) -> str:
    """Where the results are, and what to do next."""
    lines = [f"\nResults of {layout.name}:"]
    for what, path in (
        ("one directory per run", layout.runs),
        ("all runs in one file", layout.merged),
        ("one row per run", layout.summary),
        ("figures", layout.figures),
        ("videos", layout.videos),
    ):
        if path.exists():
            lines.append(f"  {what:<24}{path}")
    launch = f"{_python()} {_shown(_ROOT / 'jobs' / 'launch.py')}"
    tensorboard = _shown(Path(sys.executable).with_name("tensorboard"))
    lines += [
        "Next:",
        f"  learning curves         {tensorboard} --logdir {layout.runs}",
        f"  draw the figures again  {_python()} {_shown(_COMMANDS / 'figures.py')} {layout.root}",
        f"  your own image          {launch} --local --set data.image=photo.png "
        "--output outputs/photo",
        f"  a Slurm cluster         {launch} --array --dry-run",
    ]
    return "\n".join(lines)


def _python() -> str:
    return _shown(Path(sys.executable))


def _shown(path: Path) -> str:
    """A path as it can be typed here: relative where it lies below the current directory."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
