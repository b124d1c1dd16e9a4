r"""Learning-rate schedules, as factors of the peak rate over the fraction p of a run.

======================  ==========================================================================
uniform                 1
exponential             final_fraction^p
multi_step              factor^(milestones reached)
cyclic                  triangles between floor_fraction and 1, ``cycles`` of them
cosine                  linear warm-up, then half a cosine from 1 to final_fraction
======================  ==========================================================================

with p = step / steps. Nothing is given in iterations: the same options mean the same curve for
runs of any length.

The original protocol is the exception, as published: steps are counted from 0, whatever the length
of the run, and with the learning rate r

======================  ==========================================================================
uniform                 1
exponential             0.9^step
multi_step              0.1^(how many of 25, 50 and 75 the step has reached)
cyclic                  triangles between 1e-7 / r and 1, 250 steps up and 250 down
======================  ==========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable

from inr.config import CYCLIC_FLOOR, Schedule, ScheduleOptions, TrainingConfig


def _uniform(p: float, options: ScheduleOptions) -> float:
    return 1.0


def _exponential(p: float, options: ScheduleOptions) -> float:
    return float(options.final_fraction**p)


def _multi_step(p: float, options: ScheduleOptions) -> float:
    return float(options.factor ** sum(p >= milestone for milestone in options.milestones))


def _cyclic(p: float, options: ScheduleOptions) -> float:
    phase = p * options.cycles % 1
    triangle = 1 - abs(2 * phase - 1)
    return options.floor_fraction + (1 - options.floor_fraction) * triangle


def _cosine(p: float, options: ScheduleOptions) -> float:
    if p < options.warmup_fraction:
        return p / options.warmup_fraction
    q = (p - options.warmup_fraction) / (1 - options.warmup_fraction)
    return options.final_fraction + (1 - options.final_fraction) * (1 + math.cos(math.pi * q)) / 2


SCHEDULES: dict[Schedule, Callable[[float, ScheduleOptions], float]] = {
    "uniform": _uniform,
    "exponential": _exponential,
    "multi_step": _multi_step,
    "cyclic": _cyclic,
    "cosine": _cosine,
}


def _original_cyclic(step: int, rate: float) -> float:
    floor = CYCLIC_FLOOR / rate
    triangle = 1 - abs(step / _ORIGINAL_STEPS_UP % 2 - 1)
    return floor + (1 - floor) * triangle


_ORIGINAL_MILESTONES, _ORIGINAL_STEPS_UP = (25, 50, 75), 250

# (step from 0, learning rate) -> factor
ORIGINAL_SCHEDULES: dict[Schedule, Callable[[int, float], float]] = {
    "uniform": lambda step, rate: 1.0,
    "exponential": lambda step, rate: float(0.9**step),
    "multi_step": lambda step, rate: float(
        0.1 ** sum(step >= milestone for milestone in _ORIGINAL_MILESTONES)
    ),
    "cyclic": _original_cyclic,
}


def rate_factor(training: TrainingConfig, step: int) -> float:
    """Learning rate of optimiser step ``step`` (from 0) over the peak rate.

    Evaluated in the middle of the step, p = (step + 1/2) / steps, so that a warm-up never starts
    with a step of rate 0 and every schedule is used symmetrically; under the original protocol at
    its beginning, as torch's schedulers do.
    """
    if training.protocol == "original":
        return ORIGINAL_SCHEDULES[training.schedule](step, training.learning_rate)
    p = min((step + 0.5) / training.steps, 1.0)
    return SCHEDULES[training.schedule](p, training.schedule_options)


def integrated_rate(training: TrainingConfig, steps: int) -> float:
    """Sum of the learning rates of the first ``steps`` optimiser steps."""
    return training.learning_rate * sum(rate_factor(training, step) for step in range(steps))
