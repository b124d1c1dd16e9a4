"""How far a run is, told by who trains it in its ``progress.json``; and a bar for other long work.

Imports no torch.
"""

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_SHORT = {"value": "value", "gradient": "grad", "laplacian": "lapl", "time_derivative": "dt"}


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int  # optimiser steps done
    steps: int  # of so many
    seconds: float  # spent training so far
    errors: dict[str, float] = field(default_factory=dict)  # latest ``nmse_*`` and PSNR

    @property
    def rate(self) -> float | None:
        """Steps per second; None before the first."""
        return self.step / self.seconds if self.step and self.seconds > 0 else None

    @property
    def remaining_seconds(self) -> float | None:
        """Time the rest will take at the rate so far; None before the first step."""
        return self.seconds / self.step * (self.steps - self.step) if self.step else None


def write_progress(path: Path, progress: Progress) -> None:
    """Replace the file, if that can be done: it is worth nothing after a crash."""
    temporary = path.with_name(f".{path.name}.new")  # there is one writer
    with suppress(OSError):
        temporary.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        temporary.replace(path)


def read_progress(path: Path) -> Progress | None:
    """Read the file; None while there is none, or none that can be read."""
    try:
        return Progress(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def describe_rate(rate: float | int | None) -> str:
    """Steps per second, such as ``81/s``; "" when they are not known."""
    if not rate:
        return ""
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def describe_errors(errors: Mapping[str, float]) -> str:
    """PSNR and the normalised errors, such as ``27.1 dB value 2.1e-03 grad ...``."""
    shown = [f"{errors['psnr_value']:.1f} dB"] if "psnr_value" in errors else []
    for quantity, short in _SHORT.items():
        if (error := errors.get(f"nmse_{quantity}")) is not None:
            shown.append(f"{short} {error:.1e}")
    return " ".join(shown)


def describe_seconds(seconds: float | int | None) -> str:
    """A duration, such as ``1:02:03`` or ``0:45``; ``-:--`` when it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Go through ``items`` with a progress bar on stderr; without one if stderr is no terminal.

    ``total`` is their number, where ``items`` cannot tell.
    """
    from rich.console import Console  # only now: training needs none of it
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    disable = not console.is_terminal
    return rich_track(items, description, total, console=console, transient=True, disable=disable)
