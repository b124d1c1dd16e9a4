"""The command line of the launcher."""

import argparse
from collections.abc import Sequence

from inr.errors import ArgumentParser, UsageError
from inr.storage.paths import OUTPUTS, user_path
from jobs.sweeps.grouping import PACK_MODES

_EPILOG = """\
examples:
  python jobs/launch.py --local
  python jobs/launch.py --array --sweep study --profile default --dry-run
  python jobs/launch.py --local --set data.image=photo.png --output outputs/photo
  python jobs/launch.py --debug --set training.steps=200

What wins: --set over the grid, list, random and seeds of the sweep file, these over its base,
and base over the defaults. Combinations that --set makes equal run once.
Launching a sweep again skips the runs that are complete, with --array also those that wait in the
queue or run, goes on with those that were cut off, and adds those that are new.
"""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. Raises `UsageError` for a wrong one; ``--help`` exits.

    The result has ``mode`` (local, array or debug), ``overrides`` (with that of ``--compile``), and
    the other options by their names; ``output`` (a path or None) is still open.
    """
    given = _parser().parse_args(arguments)
    if given.mode is None:
        raise UsageError("choose one of --local, --array and --debug (--help tells what they do)")
    _check(given)
    if given.compile is not None:
        given.overrides = [*given.overrides, f"training.compile={given.compile}"]
    for name, default in (
        ("sweep", "study" if given.mode == "array" else "quickstart"),
        ("profile", "default"),
        ("pack_mode", "auto"),
        ("pack", 1),
        ("run", "0" if given.mode == "debug" else None),
    ):
        if getattr(given, name) is None:
            setattr(given, name, default)
    return given


def _check(given: argparse.Namespace) -> None:
    """Refuse options that do not go together, and numbers that make no sense."""
    mode = given.mode
    check_counts(given, "workers", "pack")
    if not given.preflight and mode != "array":
        raise UsageError(f"--no-preflight: goes with --array only, not with --{mode}")
    one_run = "does not go with --debug, which trains one run"
    for option, refused, reason in (
        ("profile", mode != "array", f"goes with --array only, not with --{mode}"),
        ("workers", mode != "local", f"goes with --local only, not with --{mode}"),
        ("run", mode != "debug", f"goes with --debug only, not with --{mode}"),
        ("pack", mode == "debug", one_run),
        ("pack_mode", mode == "debug", one_run),
        ("pack_mode", given.pack in (None, 1), "needs --pack with at least 2 runs a task"),
    ):
        value = getattr(given, option)
        if refused and value is not None:
            raise UsageError(f"--{option.replace('_', '-')} {value}: {reason}")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="launch.py",
        description="Train every combination of a sweep file: here, or on a Slurm cluster.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    modes = parser.add_mutually_exclusive_group()
    for mode, text in (
        ("local", "train on this machine, several runs at once (default sweep: quickstart)"),
        ("array", "submit a Slurm array (default sweep: study, profile: default)"),
        ("debug", "train one combination in this process, also if it is complete"),
    ):
        modes.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode, help=text)
    add = parser.add_argument
    add("--sweep", metavar="NAME|FILE", help="a sweep of jobs/sweeps/, or the path of a .yaml file")
    add(
        "--set",
        dest="overrides",
        metavar="FIELD=VALUE",
        action="extend",
        nargs="+",
        default=[],
        help="fix fields in all runs, such as training.steps=500; may be repeated",
    )
    usual = f"default: {OUTPUTS}/<sweep>; with --debug {OUTPUTS}/<sweep>_debug"
    add("--output", metavar="DIR", type=user_path, help=f"where results go ({usual})")
    add_start_options(parser)
    packs = "--array, --local: up to K runs of one shape share a task and its device (default: 1)"
    add("--pack", metavar="K", type=int, help=packs)
    auto = "auto, the default: fused on a GPU, in processes on a CPU"
    how = f"train a pack as one (fused) or in processes; {auto}"
    add("--pack-mode", choices=PACK_MODES, help=how)
    short = "short for --set training.compile=..."
    usual = "default: auto, where a run is long enough to repay it"
    step = f"compile the training step: {short} ({usual})"
    add("--compile", choices=("auto", "on", "off"), help=step)
    add("--run", metavar="NAME|NUMBER", help="--debug: which combination (default: 0, the first)")
    return parser


def add_start_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands that start runs."""
    add = parser.add_argument
    add("--profile", metavar="NAME|FILE", help="on Slurm: cluster profile of slurm/profiles/")
    at_once = "--local: tasks at once (default: cores / pack, and 4 at most a GPU)"
    add("--workers", metavar="N", type=int, help=at_once)
    add("--dry-run", action="store_true", help="show what would start, and start nothing")
    unchecked = "do not check disk, cluster, environment and networks before submitting"
    add("--no-preflight", dest="preflight", action="store_false", help=f"on Slurm: {unchecked}")
    undrawn = "do not merge and draw figures and videos at the end"
    add("--no-post", dest="post", action="store_false", help=undrawn)


def check_counts(given: argparse.Namespace, *names: str) -> None:
    """Raise `UsageError` for an option that must be at least 1, if it is given."""
    for name in names:
        value = getattr(given, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}: at least 1 is needed")
