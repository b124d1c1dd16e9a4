"""Where the videos of a sweep lie, and whether they are up to date. Imports nothing heavy.

A target is a path without suffix: each format adds its own. `Path.with_suffix` is of no use for
that, because names of runs have dots.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from inr.layout import SweepLayout
from postprocess.video_encoder import Format


def run_target(layout: SweepLayout, name: str) -> Path:
    """The video of a run."""
    return layout.videos / name


def role_target(layout: SweepLayout, role: str) -> Path:
    """The video of a place in the ranking, such as ``best``."""
    return layout.videos / role


def comparison_target(layout: SweepLayout, first: str, second: str) -> Path:
    """The video of two runs, given by name or by place in the ranking."""
    name = f"{first}_and_{second}".replace("/", "-").replace(": ", "-")
    return layout.videos / "compare" / name


def zoom_target(layout: SweepLayout, name: str) -> Path:
    """The zoom into a run."""
    return layout.videos / "zoom" / name


def output_path(target: Path, kind: Format) -> Path:
    """The file of one format."""
    return target.with_name(f"{target.name}.{kind}")


def output_paths(target: Path, kinds: Sequence[Format]) -> dict[Format, Path]:
    """The file of each format."""
    return {kind: output_path(target, kind) for kind in kinds}


def is_newer(path: Path, sources: Iterable[Path]) -> bool:
    """True when ``path`` exists and is no older than any of ``sources``."""
    newest = max(source.stat().st_mtime_ns for source in sources)
    return path.is_file() and path.stat().st_mtime_ns >= newest
