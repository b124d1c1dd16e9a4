"""What can be known to go wrong before anything is queued: disk, cluster, environment, networks."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.filesize import decimal

from inr.config import RunConfig
from inr.cpus import core_count
from inr.errors import UserError
from inr.memory import expected_memory, in_gb
from inr.storage.paths import SweepLayout
from jobs.launching.cost_model import (
    Cost,
    Costs,
    Shape,
    describe_time,
    expected_bytes,
    expected_seconds,
    parameter_count,
    shape_of,
)
from slurm.batch_script import guarded, python_command
from slurm.commands import clean_environment
from slurm.profile import Profile
from slurm.submit import JobArrays

FILES_PER_RUN = 10  # results and events, and while it trains lock, checkpoint and logs
SMOKE_TEST_SECONDS = 120.0  # shapes that are not reached in this time are not tried
SAMPLING_SECONDS = 30.0  # to start, and to try each shape once: three on an idle machine
# Networks of more parameters are not tried: a login node may not have the memory.
SMOKE_TEST_PARAMETERS = 20_000_000


def check(arrays: JobArrays, post: bool) -> list[str]:
    """Check everything that runs need which are about to be submitted, and estimate their cost.

    The directory of the sweep exists; ``post``: post-processing is submitted too.

    Returns:
        Time, memory and disk on one line, then what the user should know, and nothing keeps them
        from.

    Raises:
        UserError: too little room on the disk or memory in the profile; Slurm would refuse the
            jobs; what the tasks import is not there; a network that cannot be trained. Says what
            to do.
    """
    scripts = arrays.scripts
    runs = [run for task in arrays.tasks for run in task]
    configs = {run.name: RunConfig.model_validate(run.config) for run in runs}
    tasks = [[configs[run.name] for run in task] for task in arrays.tasks]
    room = _check_room(scripts.layout, list(configs.values()))
    memory, doubt = _check_memory(tasks, arrays)
    notes = [*doubt, *(f"the tasks will wait. {text}" for text in arrays.test(post))]
    costs, untried, reason = run_smoke_test(configs, scripts.code, scripts.profile)
    if reason:
        notes.append(f"nothing was tried: {reason}, here at least")
    elif untried:
        notes.append(
            f"{untried} of {untried + len(costs)} shapes of networks were not tried (more than "
            f"{SMOKE_TEST_PARAMETERS:,} parameters, or more than {SMOKE_TEST_SECONDS:g} seconds)"
        )
    time = "no estimate of the time"
    if costs:  # of a task of several runs: as if it trained one after the other
        seconds = [sum(expected_seconds(config, costs) for config in task) for task in tasks]
        time = describe_time(seconds, scripts.profile.gpu_count)
    return [f"expected: {time}, {memory}, {room}", *notes]


def run_smoke_test(
    configs: Mapping[str, RunConfig], code: Path, profile: Profile, seconds: float = 0
) -> tuple[Costs, int, str]:
    """Train every distinct shape of network of the runs (by name) for a step, as a task would.

    A step has few points, and happens in a process that is started as a task's is: after the
    profile's setup, in its container, without what concerns only this shell. Shapes that are too
    large, and those that are not reached in time, are left out. ``seconds``: instead of a step with
    few points, time steps as they will be for so long, all shapes together.

    Returns:
        The measured costs, how many shapes were left out, and what kept all from being tried, or
        "": a line of the setup that fails here may succeed on a node.

    Raises:
        UserError: something cannot be imported, or a network cannot be trained.
    """
    shapes: dict[Shape, str] = {}
    for name, config in configs.items():
        shapes.setdefault(shape_of(config), name)
    small = [each for each in shapes if parameter_count(each) <= SMOKE_TEST_PARAMETERS]
    small.sort(key=parameter_count)
    questions = [configs[shapes[shape]].canonical_json() for shape in small]
    answers, reason = _ask(questions, code, profile, seconds)
    costs: Costs = {}
    for shape, answer in zip(small, answers, strict=False):
        if "error" in answer:
            raise UserError(f"{shapes[shape]}: its network cannot be trained: {answer['error']}")
        costs[shape] = Cost(**answer)
    return costs, len(shapes) - len(costs), reason


def _ask(
    questions: Sequence[str], code: Path, profile: Profile, seconds: float
) -> tuple[list[dict[str, float]], str]:
    """The answers of `smoke_test`, as many as come in time; why it did not start, or ""."""
    threads = min(profile.cpus, core_count())
    module = f"jobs.launching.smoke_test {threads} {seconds / max(1, len(questions)):g}"
    command = f"{python_command(code, profile)} -m {module}"
    limit = seconds + SAMPLING_SECONDS if seconds else SMOKE_TEST_SECONDS
    # the setup neither reads the questions nor writes among the answers
    before, after = "exec 3<&0 4>&1 </dev/null >&2", "exec <&3 >&4 3<&- 4>&-"
    script = [before, *guarded(profile.setup), after, f"exec {command}"]
    with subprocess.Popen(  # noqa: S603 - our own command
        ["bash", "-c", "\n".join(script)],  # noqa: S607
        env=clean_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # so that what the setup starts ends too
    ) as process:
        try:
            out, said = process.communicate("\n".join(questions) + "\n", limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, said = process.communicate()
    answers = [json.loads(line) for line in out.splitlines() if line.endswith("}")]
    if process.returncode <= 0:
        return answers, ""
    reason = (said.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    if "Traceback" not in said:  # Python was never reached
        return answers, reason
    raise UserError(
        f"a task would fail at once: {reason}. It runs {command} after the "
        "setup of the profile; install there what is missing, or skip this with --no-preflight"
    )


def _check_memory(
    tasks: Sequence[Sequence[RunConfig]], arrays: JobArrays
) -> tuple[str, Sequence[str]]:
    """How much is needed, and perhaps a note. Refuses a profile that asks for too little.

    Of tasks with a GPU it is noted only: what CUDA's libraries take is not known here.
    """
    profile = arrays.scripts.profile
    memory = expected_memory(tasks, arrays.mode, profile.gpu_count, profile.cpus)
    given, notes = profile.memory_bytes, []
    if given is not None and given < memory.least:
        text = (
            f"the profile asks for memory: {profile.memory}, but the largest task needs about "
            f"{in_gb(memory.least)}. Ask for more, or lower data.size, data.frames or --pack"
        )
        if not profile.gpu_count:
            raise UserError(f"{text}. --no-preflight queues it as it is")
        notes.append(text)
    return memory.describe(), notes


def _check_room(layout: SweepLayout, configs: Sequence[RunConfig]) -> str:
    """Refuse a disk that is too small. Says how much is needed and how much there is."""
    disk, files = os.statvfs(layout.root), FILES_PER_RUN * len(configs)
    if disk.f_files and disk.f_favail < files:  # some file systems do not count them
        raise UserError(
            f"{layout.root}: {len(configs)} runs write about {files:,} files "
            f"and the file system has room for {disk.f_favail:,}. Choose another --output, fewer "
            "runs, or --no-preflight if there will be room"
        )
    needed = sum(expected_bytes(config) for config in configs)
    free = shutil.disk_usage(layout.root).free
    words = f"{decimal(needed)} of disk, {decimal(free)} free"
    if needed > free:
        raise UserError(
            f"{layout.root}: {len(configs)} runs need at most {words}. Choose another --output, "
            "fewer frames or runs, or --no-preflight if there will be room"
        )
    return words
