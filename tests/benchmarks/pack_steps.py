"""Steps of a pack, timed: as one in this process, and in processes of their own.

``python -P -m tests.benchmarks.pack_steps`` is such a process: it says when it can begin, waits
until all can, and answers with the seconds that a step took. Steps are timed uncompiled.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from inr.config import RunConfig
from inr.errors import UserError
from inr.network.matmul import arithmetic
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.allocator import keep_freed_memory
from inr.training.fit import pick_device
from inr.training.step import take_step
from inr.training.trainer import Run, Trainer
from jobs.worker.attempt import Share
from jobs.worker.devices import THREAD_VARIABLES, children_at_once, given_cpus

_SECONDS = 1.0  # of steps
_WARM_UP = 2
_CHUNK = 5  # steps between looks at the clock: on a GPU, steps are only queued

_READY = "ready"

Child = subprocess.Popen[str]


def fused_seconds_per_step(config: RunConfig, members: int) -> float:
    """Seconds for one step of ``members`` runs like ``config``, trained as one here."""
    with tempfile.TemporaryDirectory(prefix="inr-") as folder:
        seconds = _timed(_make_pack(config, members, Path(folder)), _SECONDS)
    torch.cuda.empty_cache()  # for the processes that may come
    return seconds


def process_seconds_per_step(config: RunConfig, members: int) -> float:
    """Seconds for one step of ``members`` runs like ``config``, in processes of their own.

    As many take steps at the same time as would train (`children_at_once`); those that wait for
    their turn count.

    Raises:
        UserError: one of them failed.
    """
    at_once = children_at_once(members)
    threads = Share(given_cpus(), at_once).threads
    question = json.dumps({"config": config.canonical_json(), "threads": threads})
    with ExitStack() as stack:
        children = [stack.enter_context(_start(threads)) for _ in range(at_once)]
        for child in children:
            stack.callback(child.kill)
            _send(child, question)
        for child in children:
            if _answer(child) != _READY:
                raise UserError("processes could not be timed: one did not start")
        for child in children:
            _send(child, "go")
        answers = [_answer(child) for child in children]
    try:
        return statistics.mean(map(float, answers)) * members / at_once
    except ValueError:
        raise UserError("processes could not be timed: one failed") from None


def _start(threads: int) -> Child:
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    return subprocess.Popen(
        [sys.executable, "-u", "-m", __name__],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def main() -> int:
    """Answer one question, see `process_seconds_per_step`."""
    asked = json.loads(sys.stdin.readline())
    torch.set_num_threads(asked["threads"])
    config = RunConfig.model_validate_json(asked["config"])
    with tempfile.TemporaryDirectory(prefix="inr-") as folder:
        pack = _make_pack(config, 1, Path(folder))
        _timed(pack, 0.0)  # the first steps pay for what is set up once
        print(_READY, flush=True)
        if sys.stdin.readline():  # nothing: whoever asked has ended
            print(json.dumps(_timed(pack, _SECONDS)), flush=True)
    return 0


def _make_pack(config: RunConfig, members: int, folder: Path) -> list[Trainer]:
    """Runs that differ in their seeds; nothing is written in training them step by step."""
    keep_freed_memory()  # as training does
    device = pick_device("auto")
    made = []
    for number in range(members):
        training = config.training.model_copy(update={"seed": number})
        one = config.model_copy(update={"training": training})
        recorder = RunWriter(RunLayout(folder / str(number)), one, "trial")
        made.append(Trainer(Run(one, recorder), device))
    return made


def _timed(members: list[Trainer], seconds: float) -> float:
    """Seconds that a step takes, the mean over so long, after the first few."""
    with arithmetic(members[0].config.training.precision):
        _take_steps(members, _WARM_UP)
        steps, started = 0, time.perf_counter()
        while True:
            _take_steps(members, _CHUNK)
            steps += _CHUNK
            elapsed = time.perf_counter() - started
            if elapsed >= seconds:
                return elapsed / steps


def _take_steps(members: list[Trainer], count: int) -> None:
    for _ in range(count):
        found = take_step(members)
    found.loss.tolist()  # waits for the device


def _send(child: Child, line: str) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):
        print(line, file=child.stdin, flush=True)


def _answer(child: Child) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


if __name__ == "__main__":
    sys.exit(main())
