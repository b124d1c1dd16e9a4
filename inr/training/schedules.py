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

`inr.config` takes the names from here.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from inr.config_groups import ScheduleOptions

if TYPE_CHECKING:
    from inr.config import TrainingConfig
else:
    TrainingConfig = Any

CYCLIC_FLOOR = 1e-7  # lowest rate of a cyclic schedule under the original protocol


def _triangle(floor: float, phase: float) -> float:
    """From ``floor`` at phase 0 to 1 at phase 1 and back."""
    return floor + (1 - floor) * (1 - abs(phase - 1))


def _cosine(p: float, options: ScheduleOptions) -> float:
    if p < options.warmup_fraction:
        return p / options.warmup_fraction
    q = (p - options.warmup_fraction) / (1 - options.warmup_fraction)
    return options.final_fraction + (1 - options.final_fraction) * (1 + math.cos(math.pi * q)) / 2


SCHEDULES: dict[str, Callable[[float, ScheduleOptions], float]] = {
    "uniform": lambda p, options: 1.0,
    "exponential": lambda p, options: options.final_fraction**p,
    "multi_step": lambda p, options: (
        options.factor ** sum(p >= each for each in options.milestones)
    ),
    "cyclic": lambda p, options: _triangle(options.floor_fraction, 2 * (p * options.cycles % 1)),
    "cosine": _cosine,
}

# (step from 0, learning rate) -> factor
ORIGINAL_SCHEDULES: dict[str, Callable[[int, float], float]] = {
    "uniform": lambda step, rate: 1.0,
    "exponential": lambda step, rate: 0.9**step,
    "multi_step": lambda step, rate: 0.1 ** sum(step >= milestone for milestone in (25, 50, 75)),
    "cyclic": lambda step, rate: _triangle(CYCLIC_FLOOR / rate, step / 250 % 2),
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
