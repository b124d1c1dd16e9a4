"""Options that all commands share which write videos."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from postprocess.video_encoder import FORMATS


def add_film_options(parser: argparse.ArgumentParser, fps: float) -> None:
    """Add ``--fps`` and ``--format``; ``fps`` is the default."""
    parser.add_argument(
        "--fps", type=between(0.1, 120), default=fps, help=f"frames per second (default: {fps:g})"
    )
    parser.add_argument(
        "--format", choices=FORMATS, action="append", help="file format (default: mp4 and gif)"
    )


def between(low: float, high: float) -> Callable[[str], float]:
    """The type of an option: a number from ``low`` to ``high``."""

    def number(text: str) -> float:
        found = float(text)
        if not (math.isfinite(found) and low <= found <= high):
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return found

    return number
