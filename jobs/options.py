"""The command line of the launcher."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from inr.arguments import ArgumentParser, user_path
from inr.errors import UsageError
from inr.layout import OUTPUTS

Mode = Literal["local", "array", "debug"]
PackMode = Literal["auto", "fused", "processes"]

PACK_MODES: tuple[PackMode, ...] = get_args(PackMode)

_DEFAULT_SWEEP: dict[Mode, str] = {"local": "quickstart", "array": "study", "debug": "quickstart"}
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


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    mode: Mode
    sweep: str
    overrides: list[str]
    output: Path | None
    profile: str
    workers: int | None
    run: str
    dry_run: bool
    preflight: bool
    post: bool
    pack: int = 1
    pack_mode: PackMode = "auto"

    def directory(self, sweep_name: str) -> Path:
        """Where the sweep is written."""
        if self.output is not None:
            return self.output
        return Path(OUTPUTS) / (f"{sweep_name}_debug" if self.mode == "debug" else sweep_name)


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line. Raises `UsageError` for a wrong one; ``--help`` exits."""
    given = _parser().parse_args(arguments)
    mode = cast(Mode, given.mode)
    if mode is None:
        raise UsageError("choose one of --local, --array and --debug (--help tells what they do)")
    _check(given, mode)
    return Options(
        mode=mode,
        sweep=_DEFAULT_SWEEP[mode] if given.sweep is None else given.sweep,
        overrides=[*given.overrides, *_compile_override(given.compile)],
        output=given.output,
        profile="default" if given.profile is None else given.profile,
        workers=given.workers,
        run=given.run or "0",
        dry_run=given.dry_run,
        preflight=given.preflight,
        post=given.post,
        pack=given.pack or 1,
        pack_mode=given.pack_mode or "auto",
    )


def _check(given: argparse.Namespace, mode: Mode) -> None:
    """Refuse options that do not go together, and numbers that make no sense."""
    for option, value, belongs_to in (
        ("--profile", given.profile, "array"),
        ("--workers", given.workers, "local"),
        ("--run", given.run, "debug"),
    ):
        if value is not None and mode != belongs_to:
            raise UsageError(f"{option} {value}: goes with --{belongs_to} only, not with --{mode}")
    if not given.preflight and mode != "array":
        raise UsageError(f"--no-preflight: goes with --array only, not with --{mode}")
    for option, value in (("--workers", given.workers), ("--pack", given.pack)):
        if value is not None and value < 1:
            raise UsageError(f"{option} {value}: at least 1 is needed")
    _check_pack(given, mode)


def _check_pack(given: argparse.Namespace, mode: Mode) -> None:
    for option, value in (("--pack", given.pack), ("--pack-mode", given.pack_mode)):
        if value is not None and mode == "debug":
            raise UsageError(f"{option} {value}: does not go with --debug, which trains one run")
    if given.pack_mode is not None and given.pack in (None, 1):
        raise UsageError(f"--pack-mode {given.pack_mode}: needs --pack with at least 2 runs a task")


def _compile_override(wanted: str | None) -> list[str]:
    return [] if wanted is None else [f"training.compile={wanted}"]


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
    add(
        "--output",
        metavar="DIR",
        type=user_path,
        help=f"where results go (default: {OUTPUTS}/<sweep>; with --debug {OUTPUTS}/<sweep>_debug)",
    )
    add("--profile", metavar="NAME|FILE", help="--array: cluster profile of slurm/profiles/")
    add(
        "--workers",
        metavar="N",
        type=int,
        help="--local: tasks at once (default: cores / pack, and 4 at most a GPU)",
    )
    add(
        "--pack",
        metavar="K",
        type=int,
        help="--array, --local: up to K runs of one shape share a task and its device (default: 1)",
    )
    add(
        "--pack-mode",
        choices=PACK_MODES,
        help="train a pack as one (fused) or in processes; auto, the default: fused on a GPU, in "
        "processes on a CPU",
    )
    add(
        "--compile",
        choices=("auto", "on", "off"),
        help="compile the training step: short for --set training.compile=... (default: auto, "
        "where a run is long enough to repay it)",
    )
    add("--run", metavar="NAME|NUMBER", help="--debug: which combination (default: 0, the first)")
    add("--dry-run", action="store_true", help="show what would start, and start nothing")
    add(
        "--no-preflight",
        dest="preflight",
        action="store_false",
        help="--array: do not check disk, cluster, environment and networks before submitting",
    )
    add(
        "--no-post",
        dest="post",
        action="store_false",
        help="do not merge and draw figures and videos at the end",
    )
    return parser
