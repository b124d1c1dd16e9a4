"""Whether the runs of a pack are trained as one or in processes: a short measurement decides.

What was measured is kept beside the sweep, by shape, number of runs, device and cores, so that
only the first task of a kind measures.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal

from inr.config import RunConfig
from inr.errors import UserError
from inr.files import write_text
from inr.layout import SweepLayout
from inr.packing import pack_key
from jobs.attempt import given_cpus
from jobs.children import children_at_once
from jobs.progress_file import read_progress

MEASURING_SECONDS = 10.0  # about what it takes: starting processes, mostly


@dataclass(frozen=True)
class Timing:
    """What was measured for a pack, in seconds.

    Attributes:
        fused: a step of all runs as one.
        processes: a step of all runs, in processes of their own.
        start: until those processes could take a step.
    """

    fused: float
    processes: float
    start: float

    def fastest(self, steps: int) -> Literal["fused", "processes"]:
        """The mode that needs less time for ``steps`` steps."""
        apart = self.start + steps * self.processes
        return "processes" if apart < steps * self.fused else "fused"


def choose_mode(
    layout: SweepLayout, runs: Sequence[tuple[str, RunConfig]]
) -> Literal["fused", "processes"]:
    """How to train ``runs`` (name, configuration), of one shape, for the rest of their steps.

    Where measuring would take longer than the rest of the work, or the memory that Slurm gave is
    too small for so many processes, that is "fused". Call it with torch's threads set as they
    will be.
    """
    from jobs.pack_trial import device_name, fused_seconds_per_step, measure_processes

    config, members = runs[0][1], len(runs)
    steps = max(_steps_to_go(layout, name, config) for name, config in runs)
    key = _key(config, members, device_name())
    timing = read_timings(layout).get(key)
    try:
        if timing is None:
            fused = fused_seconds_per_step(config, members)
            if steps * fused < MEASURING_SECONDS:
                return _fused(members, "too short to measure more")
            _check_memory(members)
            timing = Timing(fused, *measure_processes(config, members))
            _remember(layout, key, timing)
        mode = timing.fastest(steps)
        if mode == "processes":
            _check_memory(members)
    except (UserError, RuntimeError) as error:  # training will say what is wrong, run by run
        return _fused(members, str(error))
    print(
        f"pack of {members}, {steps} steps: {mode} (a step of all: fused {timing.fused:.3g} s, "
        f"processes {timing.processes:.3g} s and {timing.start:.2g} s to start)",
        flush=True,
    )
    return mode


def _fused(members: int, reason: str) -> Literal["fused"]:
    print(f"pack of {members}: fused ({reason})", flush=True)
    return "fused"


def _check_memory(members: int) -> None:
    """Raise `UserError` if Slurm would end the task for the memory of so many processes.

    Each is taken to need what this one has needed so far.
    """
    processes = children_at_once(members)
    given = os.environ.get("SLURM_MEM_PER_NODE", "")  # MiB; absent or 0 without a limit
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # from KiB
    needed = own * (processes + 1)
    if given.isdigit() and 0 < int(given) < needed:
        raise UserError(
            f"{processes} processes may need {needed:.0f} MiB of memory, and the task has {given}"
        )


def read_timings(layout: SweepLayout) -> dict[str, Timing]:
    """What was measured before; what cannot be read counts as not measured."""
    try:
        stored = json.loads(layout.pack_timings.read_text(encoding="utf-8"))
        return {str(key): _timing(**each) for key, each in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _timing(fused: float, processes: float, start: float) -> Timing:
    return Timing(float(fused), float(processes), float(start))


def _remember(layout: SweepLayout, key: str, timing: Timing) -> None:
    # two tasks that do so at once: one is lost, and measured again
    timings = read_timings(layout) | {key: timing}
    document = {each: asdict(known) for each, known in timings.items()}
    with suppress(UserError):  # then it is measured again
        write_text(layout.pack_timings, json.dumps(document, indent=1))


def _key(config: RunConfig, members: int, device: str) -> str:
    about = repr((pack_key(config), members, device, given_cpus()))
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def _steps_to_go(layout: SweepLayout, name: str, config: RunConfig) -> int:
    files = layout.run(name)
    standing = read_progress(files.progress) if files.checkpoint.is_file() else None
    return max(0, config.training.steps - (standing.step if standing else 0))
