"""How far a run is, told by who trains it to whoever watches. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: optimiser steps done.
        steps: optimiser steps in all.
        seconds: time spent training so far.
        errors: latest normalised errors of the four quantities, and PSNR.
    """

    step: int
    steps: int
    seconds: float
    errors: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Steps per second; None before the first."""
        return self.step / self.seconds if self.step and self.seconds > 0 else None

    @property
    def remaining_seconds(self) -> float | None:
        """Time the rest will take at the rate so far; None before the first step."""
        return self.seconds / self.step * (self.steps - self.step) if self.step else None
