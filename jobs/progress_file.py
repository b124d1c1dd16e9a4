"""``progress.json``: how far a running task is, told from the task to whoever watches it."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_SHORT = {
    "nmse_value": "value",
    "nmse_gradient": "grad",
    "nmse_laplacian": "lapl",
    "nmse_time_derivative": "dt",
}


class Report(Protocol):
    """What a training reports; `inr.train.Progress` is one."""

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def steps(self) -> int:
        """Steps in all."""

    @property
    def seconds(self) -> float:
        """Time spent training so far."""

    @property
    def errors(self) -> dict[str, float]:
        """Latest normalised errors by metric name."""


@dataclass(frozen=True)
class Standing:
    """How far a task is, as read from its file."""

    step: int
    steps: int
    seconds: float
    errors: dict[str, float] = field(default_factory=dict)


def write_progress(path: Path, report: Report) -> None:
    """Replace the file, if that can be done: it is worth nothing after a crash."""
    document = {
        "step": report.step,
        "steps": report.steps,
        "seconds": report.seconds,
        "errors": report.errors,
    }
    temporary = path.with_name(f".{path.name}.new")  # there is one writer
    with suppress(OSError):
        temporary.write_text(json.dumps(document), encoding="utf-8")
        temporary.replace(path)


def read_progress(path: Path) -> Standing | None:
    """Read the file; None while there is none, or none that can be read."""
    try:
        return Standing(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def describe_rate(report: Report) -> str:
    """Steps per second, such as ``81/s``."""
    if report.seconds <= 0 or report.step == 0:
        return ""
    rate = report.step / report.seconds
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def describe_errors(report: Report) -> str:
    """PSNR and the normalised errors, such as ``27.1 dB value 2.1e-03 grad ...``."""
    parts = []
    if "psnr_value" in report.errors:
        parts.append(f"{report.errors['psnr_value']:.1f} dB")
    parts += [
        f"{short} {report.errors[metric]:.1e}"
        for metric, short in _SHORT.items()
        if metric in report.errors
    ]
    return " ".join(parts)


def describe_seconds(seconds: float | None) -> str:
    """A duration, such as ``1:02:03`` or ``0:45``; ``-:--`` when it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def remaining_seconds(report: Report) -> float | None:
    """Time the rest will take at the rate so far; None before the first step."""
    if report.step == 0:
        return None
    return report.seconds / report.step * (report.steps - report.step)
