"""What follows training: post-processing as commands, and where everything lies.

``python -P -m jobs.launching.postprocessing SWEEP`` is what a Slurm job runs when all tasks have
ended.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from inr.errors import run_main
from inr.signals import StopRequest
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from jobs.launching.terminal import say
from slurm.requeue import go_on

_FOLDER = "postprocess"


# command: what it does, and its options
_STEPS = {
    "merge.py": ("merging the runs",),
    "figures.py": ("drawing figures",),
    "videos.py": ("making videos", "--select", "auto", "--compare", "best", "worst"),
    # a gif takes longer than all the rest of it
    "zoom.py": ("zooming into the best run", "--format", "mp4"),
    "report.py": ("writing the report",),
}
_OPTIONAL = ("zoom.py",)  # needs a network, which runs that diverged may lack


def main() -> int:
    """Merge and draw the sweep named on the command line, whatever became of its runs."""
    (root,) = sys.argv[1:]
    with StopRequest() as stop:
        code = run_postprocessing(SweepLayout(Path(root)), stop=stop)
        return 0 if stop() and go_on(stop.received) else code


def run_postprocessing(
    layout: SweepLayout, code: Path | None = None, stop: Callable[[], bool] = lambda: False
) -> int:
    """Merge the runs, draw figures and videos, write the report. Each fails alone.

    They run the snapshot ``code``; None: the code that runs now. ``stop``: whether this process,
    and so a step that failed, was told to stop. Returns 0, or the exit code of the first step that
    failed and is not optional, or was told to stop.
    """
    exit_code = 0
    for name, (doing, *options) in _STEPS.items():
        script = (code or ROOT) / _FOLDER / name
        if not script.is_file():
            continue
        if not sys.stdout.isatty():  # on a terminal each has a bar of its own
            say(doing)
        failed = _run([sys.executable, str(script), str(layout.root), *options])
        if failed and stop():
            return failed
        if failed:
            say(f"note: {name} failed; run it again when the reason is gone")
            if name not in _OPTIONAL:
                exit_code = exit_code or failed
    return exit_code


def _run(command: list[str]) -> int:
    """Exit code of a command, which ends with this process."""
    with subprocess.Popen(command) as process:  # noqa: S603, our own
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            said = "post-processing; the same command makes what is missing"
            raise KeyboardInterrupt(said) from None


def describe_results(layout: SweepLayout) -> str:
    """Where the results are, and what to do next."""
    results = {
        "one directory per run": layout.runs,
        "all runs in one file": layout.merged,
        "one row per run": layout.summary,
        "one row per setting": layout.settings,
        "figures": layout.figures,
        "videos": layout.videos,
        "report: open this": layout.report,
    }
    python, tensorboard = Path(sys.executable), Path(sys.executable).with_name("tensorboard")
    launch = f"{_shown(python)} {_shown(ROOT / 'jobs' / 'launch.py')}"
    figures = f"{_shown(python)} {_shown(ROOT / _FOLDER / 'figures.py')}"
    commands = {
        "learning curves": f"{_shown(tensorboard)} --logdir {quote(str(layout.runs))}",
        "update the figures": f"{figures} {quote(str(layout.root))}",
        "your own image": f"{launch} --local --set data.image=photo.png --output outputs/photo",
        "a Slurm cluster": f"{launch} --array --dry-run",
    }
    lines = [f"\nResults of {layout.name}:"]
    lines += [f"  {what:<24}{path}" for what, path in results.items() if path.exists()]
    lines += ["Next:", *(f"  {what:<24}{command}" for what, command in commands.items())]
    return "\n".join(lines)


def _shown(path: Path) -> str:
    """A path as it can be typed here: relative where it lies below the current directory."""
    here = Path.cwd()
    return quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


if __name__ == "__main__":
    sys.exit(run_main(main))
