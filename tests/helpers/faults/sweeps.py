"""Train small sweeps on a file system that fails, and see what is left of them.

``LD_PRELOAD=faults.so python -m tests.helpers.faults.sweeps SWEEPS SEED DIRECTORY`` prints a line.
Every sweep is launched twice, by processes forked from this one, which has loaded torch already:
first with faults at random instants (see ``faults.c``), then without. Two workers at a time want
all of its runs, so that locks are fought over.
"""

import ctypes
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Self

import torch

import inr.files
import inr.storage.lock
import inr.storage.run_writer
import inr.training.fit
import jobs.worker.train
from inr.errors import UserError
from inr.metrics import METRICS
from inr.quantities import QUANTITIES
from inr.results import BASE_SERIES, open_run, outcome, read_attributes, read_series
from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry
from inr.training.checkpoint import read_checkpoint
from jobs.launching.plan import launching, make_plan
from jobs.sweeps.sweep_file import load_sweep
from jobs.worker.attempt import RunAttempt, one_line
from jobs.worker.train import train_runs
from tests.helpers.faults.plan import FLUSHES, READS, WRITES, Fault, draw_faults

SWEEP = """
base:
  data: {size: 12, frames: 2}
  model: {width: 8, depth: 2}
  training: {steps: 150, batch: 32}
  record: {metrics_every: 5, checkpoint_seconds: 0.01, tensorboard: TENSORBOARD}
grid:
  training.seed: [0, 1]
"""
WORKERS = 2
WAIT = 60.0  # seconds for the other worker


def forked(work: Callable[[], None]) -> int:
    """Do ``work`` in a process of its own. Returns its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        print(one_line(error), file=sys.stderr, flush=True)
    finally:
        os._exit(code)


class Story:
    """What workers did, in a file that does not fail: a line an event."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def add(self, event: str, run: str, words: str = "") -> None:
        """Write an event down."""
        line = json.dumps([time.monotonic(), os.getpid(), event, run, words]) + "\n"
        with self.path.open("a") as file:
            file.write(line)

    def events(self) -> list[tuple[float, int, str, str, str]]:
        """All, in the order of time."""
        return sorted(tuple(json.loads(line)) for line in self.path.read_text().splitlines())

    def watch(self) -> None:
        """Note when this process trains a run."""
        during = self.during

        class Watched(RunAttempt):
            def __enter__(self) -> Self:
                super().__enter__()
                self.enter_context(during(self.name))
                return self

        jobs.worker.train.RunAttempt = Watched

    @contextmanager
    def during(self, name: str) -> Iterator[None]:
        """A training."""
        self.add("begin", name)
        try:
            yield
        finally:
            self.add("end", name)


def work(layout: SweepLayout, runs: list[IndexEntry], story: Story) -> None:
    """What a task does for each run; the reason of a failure goes into the story."""
    story.watch()
    for run in runs:
        alone, said = [(run.name, json.dumps(run.config))], io.StringIO()
        try:
            with redirect_stderr(said):
                (end,) = train_runs(str(layout.root), alone, wait=WAIT)
            story.add("failed" if end == "failed" else "ended", run.name, said.getvalue() or end)
        except Exception as error:
            story.add("failed", run.name, one_line(error))
    library = ctypes.CDLL(None)
    story.add("faults", "", str(library.faults_failed()))
    story.add("calls", "", json.dumps([library.faults_seen(kind) for kind in range(7)]))


def launch(root: Path, sweep: Path, story: Story, plan: Callable[[], None], kill: float) -> None:
    """Plan the sweep and train it with `WORKERS`, one of which is killed after ``kill`` seconds."""

    def launcher() -> None:
        plan()
        try:
            with launching(root):
                planned = make_plan(load_sweep(sweep), root)
                planned.write()
                runs = list(planned.runs)
                pids = [
                    forked(lambda k=k: work(planned.layout, runs[k:] + runs[:k], story))
                    for k in range(WORKERS)
                ]
                if kill:
                    time.sleep(kill)
                    os.kill(pids[0], signal.SIGKILL)
                for pid in pids:
                    os.waitpid(pid, 0)
        except (UserError, OSError) as error:  # as inr.errors.run_main says them
            story.add("failed", "launcher", one_line(error))

    _, status = os.waitpid(forked(launcher), 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the launcher failed without a reason"


def never_twice_at_once(story: Story) -> None:
    """Nobody trains a run that a living process trains."""
    training: dict[str, int] = {}
    events = story.events()
    ends = {pid: moment for moment, pid, *_ in events}  # last words: it may have been killed then
    for moment, pid, event, run, _ in events:
        if event == "begin":
            other = training.get(run)
            assert other is None or ends[other] < moment, f"{run} trained twice at once"
            training[run] = pid
        elif event == "end":
            training.pop(run, None)


def contents(layout: SweepLayout, name: str) -> dict[str, bytes]:
    """All that a run measured and learnt, but the clock, as bytes."""
    run = layout.run(name)
    with open_run(run.results) as file:
        assert read_attributes(file)["complete"]
        series = read_series(file)
        found = {key: series[key].tobytes() for key in (*BASE_SERIES, *METRICS) if key != "seconds"}
        for quantity in QUANTITIES:
            found[quantity] = file[f"frames/{quantity}/prediction"][:].tobytes()
    return found | {"model": run.model.read_bytes()}


def saved_steps(layout: SweepLayout, runs: list[IndexEntry], story: Story) -> dict[str, int | None]:
    """Of each run, the step of its checkpoint; None if it is complete. Others have a reason."""
    saved: dict[str, int | None] = {}
    told = [event for event in story.events() if event[2] == "failed"]
    killed = {pid for _, pid, event, *_ in story.events() if event == "begin"}
    for run in runs:
        files = layout.run(run.name)
        if outcome(files.results, run.run_id) is not None:
            saved[run.name] = None
            continue
        reasons = [words for *_, name, words in told if name in (run.name, "launcher")]
        reasons += [each.reason for each in read_attempts(files.attempts) if each.reason]
        assert reasons or killed, f"{run.name}: neither complete nor a reason"
        state = read_checkpoint(files.checkpoint, run.run_id)
        assert state is not None or not files.checkpoint.exists(), "damaged checkpoint"
        saved[run.name] = state.step if state else 0
    return saved


def try_sweep(
    root: Path, sweep: Path, faults: list[Fault], kill: float, whole: dict[str, dict[str, bytes]]
) -> Counter[str]:
    """Launch with faults, look, launch without. Returns how often what happened."""
    library, layout = ctypes.CDLL(None), SweepLayout(root)
    story, again = Story(root.with_suffix(".faults")), Story(root.with_suffix(".again"))

    def plan() -> None:
        for fault in faults:
            first, count = ctypes.c_long(fault.first), ctypes.c_long(fault.count)
            library.faults_plan(os.fsencode(root), fault.kind, first, count, fault.error)

    launch(root, sweep, story, plan, kill)
    runs = make_plan(load_sweep(sweep), root).runs
    saved = saved_steps(layout, runs, story)
    complete = [name for name, step in saved.items() if step is None]
    before = {name: layout.run(name).results.read_bytes() for name in complete}
    launch(root, sweep, again, lambda: None, 0.0)
    for each in (story, again):
        never_twice_at_once(each)
    assert not [event for event in again.events() if event[2] == "failed"], again.events()
    for name, content in whole.items():
        assert contents(layout, name) == content, f"{name}: not the bytes of an undisturbed run"
        attempts, step = read_attempts(layout.run(name).attempts), saved[name]
        if step is None:
            assert layout.run(name).results.read_bytes() == before[name], f"{name}: trained again"
        else:
            assert attempts[-1].first_step >= step, f"{name}: went back from step {step}"
        left = {
            path.name for path in layout.run(name).root.iterdir() if "tfevents" not in path.name
        }
        extra = left - {"run.h5", "model.pt", "attempts.jsonl", "progress.json", "error.txt"}
        assert not extra, f"left behind: {extra}"
    failed = sum(int(words) for *_, event, _, words in story.events() if event == "faults")
    stopped = len(saved) - len(complete)
    return Counter({"complete": len(complete), "stopped": stopped, "faults": failed})


def main() -> None:
    """Try ``SWEEPS`` of them."""
    sweeps, seed, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    inr.files._WAITS = (0.001, 0.005, 0.02, 0.05)  # as often, but sooner
    inr.storage.lock.HEARTBEAT_SECONDS, inr.storage.lock.STALE_SECONDS = 0.1, 20.0
    whole: dict[str, dict[str, dict[str, bytes]]] = {}
    for kind in ("true", "false"):
        root, sweep = folder / f"whole-{kind}", folder / f"{kind}.yaml"
        sweep.write_text(SWEEP.replace("TENSORBOARD", kind))
        story = Story(root.with_suffix(".story"))
        launch(root, sweep, story, lambda: None, 0.0)
        runs = make_plan(load_sweep(sweep), root).runs
        whole[kind] = {run.name: contents(SweepLayout(root), run.name) for run in runs}
    seen = {READS: 560, FLUSHES: 65, WRITES: 290}  # calls of a worker
    draw, counted = random.Random(seed), Counter[str]()
    for number in range(sweeps):
        root, kind = folder / f"sweep-{number}", draw.choice(["true", "false"])
        faults = draw_faults(draw, seen)
        kill = draw.choice([0.0, 0.0, draw.uniform(0.1, 1.5)])
        try:
            counted += try_sweep(root, folder / f"{kind}.yaml", faults, kill, whole[kind])
        except AssertionError as error:
            raise AssertionError(
                f"sweep {number}, {faults}, killed after {kill}: {error}"
            ) from error
        shutil.rmtree(root)
    print(json.dumps({"sweeps": sweeps, "seed": seed} | counted))


if __name__ == "__main__":
    main()
