"""The command line of `jobs/manage.py`, and the run that is meant on it."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from inr.errors import ArgumentParser, UsageError
from inr.storage.paths import OUTPUTS, SweepLayout, user_path
from inr.storage.sweep_index import IndexEntry
from jobs.launching.arguments import add_start_options, check_counts

_EPILOG = """\
OUTPUT_DIR is the directory of a sweep; without it, the newest one below outputs/.

examples:
  python jobs/manage.py status
  python jobs/manage.py status outputs/study --watch
  python jobs/manage.py logs outputs/study 17 --follow
  python jobs/manage.py cancel outputs/study --yes
  python jobs/manage.py retry outputs/study --out-of-memory --memory 32GB
  python jobs/manage.py drop outputs/study 17
"""
_DIRECTORY = f"directory of a sweep (default: the newest below {OUTPUTS}/)"
_SHOWN = 5  # names of runs in a message
_OF_RUNS = {"logs": "RUN", "drop": "RUN [RUN ...]", "restore": "[RUN ...]"}  # and their usage


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. Raises `UsageError` for a wrong one; ``--help`` exits.

    The result has ``command``, ``output`` (a path or None) and the options of that command.
    """
    options = _parser().parse_args(arguments)
    if options.command in _OF_RUNS:
        options.output, options.runs = _sort_out(options.command, options.words)
    if options.command == "logs":
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
    again = "start what is not finished again, from its checkpoints, one run a task"
    for name, text, add_options in (
        ("status", "where every run stands", _add_status),
        ("logs", "what a run, and Slurm, wrote to its log", _add_logs),
        ("cancel", "stop what runs and take back what waits", _add_cancel),
        ("retry", again, _add_retry),
        ("drop", "take runs out of the sweep; their files and their cost stay", _add_drop),
        ("restore", "take back runs that were dropped", _add_restore),
    ):
        about = f"{name}: {text}."
        command = commands.add_parser(name, help=text, description=about, allow_abbrev=False)
        if name in _OF_RUNS:
            _add_runs(command, name)
        else:
            command.add_argument("output", metavar="OUTPUT_DIR", nargs="?", help=_DIRECTORY)
        add_options(command)
    return parser


def _add_status(command: argparse.ArgumentParser) -> None:
    add, flag = command.add_argument, partial(command.add_argument, action="store_true")
    watch = "look again every SECONDS (5), until nothing runs or waits"
    add("--watch", metavar="SECONDS", nargs="?", type=_seconds, const=5.0, help=watch)
    flag("--json", help="print a JSON document instead")
    flag("--all", help="list every run")
    deep = "read the frames of finished runs too, and name those that are damaged"
    flag("--verify", help=f"{deep} (once a file; this reads all of a sweep)")


def _add_runs(command: argparse.ArgumentParser, name: str) -> None:
    """Runs, and before or after them the directory of their sweep."""
    run = "a run: its name, a unique part of it, or its task number"
    all_of_them = "; without one, all that were dropped" if name == "restore" else ""
    some = "*" if name == "restore" else "+"
    about = f"{run}{all_of_them}; and the {_DIRECTORY}"
    command.add_argument("words", metavar="RUN", nargs=some, help=about)
    command.usage = f"%(prog)s [options] [OUTPUT_DIR] {_OF_RUNS[name]}"


def _add_logs(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--lines", metavar="N", type=int, default=20, help="of each file (default: 20)")
    add("--follow", action="store_true", help="go on printing what is written")


def _add_cancel(command: argparse.ArgumentParser) -> None:
    run = "only this one: name, unique part of a name, or task number; may be repeated"
    command.add_argument("--run", metavar="RUN", action="append", default=[], help=run)
    flag = partial(command.add_argument, action="store_true")
    others = "--run: also the other runs that the same task trains (launch.py --pack)"
    flag("--whole-tasks", help=others)
    flag("--yes", help="do not ask")


def _add_retry(command: argparse.ArgumentParser) -> None:
    add, flag = command.add_argument, partial(command.add_argument, action="store_true")
    for state, text in (
        ("failed", "runs that ended with an error"),
        ("timed-out", "runs that reached the time limit"),
        ("out-of-memory", "runs that needed more memory than they had; asks for more"),
        ("lost", "runs that were killed, or whose node failed"),
    ):
        add(f"--{state}", dest="states", action="append_const", const=state, help=text)
    flag("--all", help="everything that is neither finished nor under way (the default)")
    add("--memory", metavar="SIZE", help="such as 32GB (for runs out of memory: twice as much)")
    flag("--all-nodes", help="also those on which runs failed for the node's sake")
    flag("--local", help="train here, not on the cluster (default if nothing was ever submitted)")
    gone = "when Slurm is gone for good, also what was submitted to it and does not run"
    flag("--without-slurm", help=f"--local: {gone}")
    add_start_options(command)


def _add_drop(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yes", action="store_true", help="do not ask")
    _add_restore(command)


def _add_restore(command: argparse.ArgumentParser) -> None:
    undrawn = "do not merge and draw figures, videos and the report anew"
    command.add_argument("--no-post", dest="post", action="store_false", help=undrawn)


def _sort_out(command: str, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The directory of a sweep, wherever it stands among ``words``, and the runs."""
    found = [n for n, word in enumerate(words) if SweepLayout(user_path(word)).index.is_file()]
    place = found[0] if found else 0 if command == "logs" and len(words) == 2 else None
    runs = [word for n, word in enumerate(words) if n != place]
    if (command == "logs" and len(runs) != 1) or (command == "drop" and not runs):
        raise UsageError(
            f"{command} {' '.join(words)}: give {_OF_RUNS[command]}, and the OUTPUT_DIR of a sweep"
        )
    return None if place is None else words[place], runs


def confirmed(command: str) -> bool:
    """Whether the user agrees. Raises `UsageError` if nobody is there to be asked."""
    if not sys.stdin.isatty():
        raise UsageError(f"{command} asks first, and there is no terminal to ask on: add --yes")
    try:
        return input(f"{command}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _check_retry(options: argparse.Namespace) -> None:
    if options.all and options.states:
        chosen = options.states[0]
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


def find_run(entries: Sequence[IndexEntry], wanted: str) -> IndexEntry:
    """The run with that name, task number or id, or the only one whose name contains it."""
    for entry in entries:
        if wanted in (entry.name, str(entry.task), entry.run_id):
            return entry
    found = [entry for entry in entries if wanted in entry.name]
    if len(found) == 1:
        return found[0]
    if not found:
        first = f" such as {entries[0].name}" if entries else ""
        raise UsageError(
            f"{wanted}: no such run. Give a name{first}, a unique part of one, or a task number "
            "(`status --all` lists them)"
        )
    names = ", ".join(entry.name for entry in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise UsageError(f"{wanted}: {len(found)} runs have this in their name: {names}{more}")
