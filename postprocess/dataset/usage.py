"""What a run cost: the sum over all its attempts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from inr.storage.attempts import Attempt

# Columns of the summary that `account` fills.
COLUMNS = ("attempts", "hosts", "wall_seconds", "gpu_hours", "cpu_efficiency")

_SECONDS_PER_HOUR = 3600.0


def account(attempts: Sequence[Attempt]) -> dict[str, float | str]:
    """Add up what the attempts at a run used.

    Formula, with sums over attempts:

        wall_seconds   = sum(wall)
        gpu_hours      = sum(wall x gpus / members) / 3600
        cpu_efficiency = sum(cpu) / sum(wall x cpus / members)

    Runs that were trained as one task share what it was given; ``members`` is their number.

    An attempt that was killed has no CPU time on record, so it is left out of the efficiency; its
    wall time lasts until its last sign of life. One that still runs counts with nothing.

    Args:
        attempts: as `inr.storage.attempts.read_attempts` gives them.

    Returns:
        A value for every name in `COLUMNS`: ``hosts`` is a text, names joined by spaces, each
        once, in the order of the attempts; ``cpu_efficiency`` is NaN when nothing is known.

    Example:
        >>> account([Attempt(1, "", "n1", 1, "", cpus=2, gpus=1, wall_seconds=7200.0,
        ...                  cpu_seconds=3600.0)])["gpu_hours"]
        2.0
    """
    timed = [attempt for attempt in attempts if attempt.cpu_seconds > 0]
    given = sum(attempt.wall_seconds * attempt.cpus / attempt.members for attempt in timed)
    used = sum(attempt.cpu_seconds for attempt in timed)
    return {
        "attempts": len(attempts),
        "hosts": " ".join(dict.fromkeys(attempt.host for attempt in attempts)),
        "wall_seconds": sum(attempt.wall_seconds for attempt in attempts),
        "gpu_hours": sum(a.wall_seconds * a.gpus / a.members for a in attempts) / _SECONDS_PER_HOUR,
        "cpu_efficiency": used / given if given > 0 else math.nan,
    }
