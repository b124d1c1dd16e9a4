"""What the post-processing commands share on the command line."""

import argparse
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from inr.errors import ArgumentParser

_LISTED = 50  # problems named one by one; the rest are in summary.csv


def sweep_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that all commands have: the sweep and ``--force``."""
    parser = ArgumentParser(description=description)
    parser.add_argument(
        "sweep",
        nargs="?",
        metavar="DIR",
        help="directory of a sweep (default: the newest one below outputs/)",
    )
    parser.add_argument(
        "--force", action="store_true", help="write everything again, up to date or not"
    )
    return parser


def print_problems(problems: pd.DataFrame, total: int) -> None:
    """Name every run that could not be read, and why."""
    if problems.empty:
        return
    print(f"{len(problems)} of {total} runs are left out:")
    for problem in problems.head(_LISTED).itertuples():
        print(f"  {problem.status:<10} {problem.name}: {problem.reason}")
    if len(problems) > _LISTED:
        print(f"  and {len(problems) - _LISTED} more, see summary.csv")


def print_written(written: Sequence[Path], kept: int, where: Path) -> None:
    """Say how many files were written and where, name them, and what was up to date."""
    suffixes, names = defaultdict(list), defaultdict(list)
    for path in written:
        suffixes[path.relative_to(where).as_posix().removesuffix(path.suffix)].append(path.suffix)
    for name, found in suffixes.items():
        names[", ".join(found)].append(name)
    if written:
        print(f"wrote {_files(len(written))} in {where}:")
    for kind, alike in names.items():
        text = textwrap.fill(f"{', '.join(alike)} ({kind})", width=90, break_on_hyphens=False)
        print(textwrap.indent(text, "  "))
    if kept:
        print(f"kept {_files(kept, 'up-to-date ')} in {where} (--force writes them again)")


def _files(count: int, kind: str = "") -> str:
    return f"{count} {kind}file{'' if count == 1 else 's'}"
