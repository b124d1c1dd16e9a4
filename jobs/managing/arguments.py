"""The command line of `jobs/manage.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from inr.errors import ArgumentParser, UsageError
from inr.storage.paths import OUTPUTS, SweepLayout
from jobs.launching.arguments import add_start_options, check_counts

_EPILOG = """\
OUTPUT_DIR is the directory of a sweep; without it, the newest one below outputs/.

examples:
  python jobs/manage.py status
  python jobs/manage.py status outputs/study --watch
  python jobs/manage.py logs outputs/study 17 --follow
  python jobs/manage.py cancel outputs/study --yes
  python jobs/manage.py retry outputs/study --out-of-memory --memory 32GB
"""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. Raises `UsageError` for a wrong one; ``--help`` exits.

    The result has ``command``, ``output`` (a path or None) and the options of that command.
    """
    options = _parser().parse_args(arguments)
    if options.command == "logs":
        options.output, options.run = _sort_out(options.output)
        check_counts(options, "lines")
    if options.command == "retry":
        _check_retry(options)
        check_counts(options, "workers")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="manage.py",
        description="Watch and mend a sweep: what runs, what failed and why, and start it again.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_status(_add(commands, "status", "where every run stands"))
    _add_logs(_add(commands, "logs", "what a run, and Slurm, wrote to its log"))
    _add_cancel(_add(commands, "cancel", "stop what runs and take back what waits"))
    text = "start what is not finished again, from its checkpoints, one run a task"
    _add_retry(_add(commands, "retry", text))
    return parser


def _add(
    commands: argparse._SubParsersAction[ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=text, description=f"{name}: {text}.", allow_abbrev=False
    )
    directory = f"directory of a sweep (default: the newest below {OUTPUTS}/)"
    if name == "logs":
        command.add_argument(
            "output",
            metavar="RUN",
            nargs="+",
            help=f"a run: its name, a unique part of it, or its task number; and the {directory}",
        )
        command.usage = "%(prog)s [-h] [--lines N] [--follow] [OUTPUT_DIR] RUN"
    else:
        command.add_argument("output", metavar="OUTPUT_DIR", nargs="?", help=directory)
    return command


def _add_status(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_seconds,
        const=5.0,
        help="look again every SECONDS (5), until nothing runs or waits",
    )
    command.add_argument("--json", action="store_true", help="print a JSON document instead")
    command.add_argument("--all", action="store_true", help="list every run")
    command.add_argument(
        "--verify",
        action="store_true",
        help="read the frames of finished runs too, and name those that are damaged (once a file; "
        "this reads all of a sweep)",
    )


def _add_logs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--lines", metavar="N", type=int, default=20, help="of each file (default: 20)"
    )
    command.add_argument("--follow", action="store_true", help="go on printing what is written")


def _add_cancel(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--run",
        metavar="RUN",
        action="append",
        default=[],
        help="only this one: name, unique part of a name, or task number; may be repeated",
    )
    command.add_argument(
        "--whole-tasks",
        action="store_true",
        help="--run: also the other runs that the same task trains (launch.py --pack)",
    )
    command.add_argument("--yes", action="store_true", help="do not ask")


def _add_retry(command: argparse.ArgumentParser) -> None:
    for state, text in (
        ("failed", "runs that ended with an error"),
        ("timed-out", "runs that reached the time limit"),
        ("out-of-memory", "runs that needed more memory than they had; asks for more"),
        ("lost", "runs that were killed, or whose node failed"),
    ):
        command.add_argument(
            f"--{state}", dest="states", action="append_const", const=state.replace("-", "_"),
            help=text,
        )  # fmt: skip
    command.add_argument(
        "--all",
        action="store_true",
        help="everything that is neither finished nor under way (the default)",
    )
    command.add_argument(
        "--memory", metavar="SIZE", help="such as 32GB (for runs out of memory: twice as much)"
    )
    command.add_argument(
        "--all-nodes",
        action="store_true",
        help="also those on which runs failed for the node's sake",
    )
    command.add_argument("--local", action="store_true", help="train here, not on the cluster")
    command.add_argument(
        "--without-slurm",
        action="store_true",
        help="--local: when Slurm is gone for good, also what was submitted to it and does not run",
    )
    add_start_options(command)


def _sort_out(words: Sequence[str]) -> tuple[str | None, str]:
    """The directory and the run that ``logs`` is given, in either order."""
    match list(words):
        case [run]:
            return None, run
        case [run, output] if not SweepLayout(Path(run)).index.is_file():
            return (output, run) if SweepLayout(Path(output)).index.is_file() else (run, output)
        case [output, run]:
            return output, run
    raise UsageError(f"logs {' '.join(words)}: give one RUN, and the OUTPUT_DIR of its sweep")


def _check_retry(options: argparse.Namespace) -> None:
    if options.all and options.states:
        chosen = options.states[0].replace("_", "-")
        raise UsageError(f"--all and --{chosen}: --all includes it, so give only one of them")
    if options.local:
        for option in ("memory", "profile"):
            value = getattr(options, option)
            if value is not None:
                raise UsageError(f"--{option} {value}: is for Slurm and does not go with --local")
    elif options.workers is not None:
        raise UsageError(f"--workers {options.workers}: goes with --local only")
    elif options.without_slurm:
        raise UsageError("--without-slurm: goes with --local only")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds. Write OUTPUT_DIR before --watch"
        ) from None
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: between 0.1 and 86400 seconds are allowed")
    return seconds
