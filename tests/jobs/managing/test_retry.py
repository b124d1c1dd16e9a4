"""`manage.py retry`: which runs are started again, and how. On stand-ins for Slurm."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inr.storage.attempts import AttemptLog
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_submissions
from jobs import launch
from jobs.launching import modes, plan
from jobs.managing.retry import _set_aside_damaged
from jobs.managing.sweep_status import read_status
from tests.helpers.managing import call, fail, finish, runs
from tests.helpers.slurm.fake_slurm import FakeSlurm

pytestmark = pytest.mark.usefixtures("slurm")


def submitted(slurm: FakeSlurm) -> list[str]:
    """Scripts after the first two."""
    return slurm.submitted()[2:]


def retry(*words: str) -> int:
    return call("retry", "out", "--no-preflight", "--no-post", *words)


@pytest.fixture
def ended(layout: SweepLayout, slurm: FakeSlurm) -> SweepLayout:
    """One run failed, one out of memory, one done, one lost."""
    slurm.take_away("41")
    slurm.take_away("42")
    failed, hungry, done, _ = runs(layout)
    fail(layout, failed, "failed", "ValueError: no")
    fail(layout, hungry, "out_of_memory", "can't allocate memory")
    finish(layout, done)
    return layout


CHOICES = {
    "everything": ([], {0, 1, 3}),
    "all": (["--all"], {0, 1, 3}),
    "failed": (["--failed"], {0}),
    "failed and lost": (["--failed", "--lost"], {0, 3}),
    "timed out": (["--timed-out"], set()),
}


@pytest.mark.parametrize(("words", "tasks"), CHOICES.values(), ids=CHOICES.keys())
def test_retry_submits_what_is_chosen(
    ended: SweepLayout, words: list[str], tasks: set[int]
) -> None:
    before = read_submissions(ended)
    assert retry(*words) == 0
    names = set()
    for submission in read_submissions(ended)[len(before) :]:
        document = json.loads(ended.submission(submission.token).read_text())
        names |= {run["name"] for run in document["runs"]}
        assert submission.profile == "testbed"
    assert names == {run.name for run in runs(ended) if run.task in tasks}


def test_retry_says_what_it_will_do(
    ended: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    ended.run(runs(ended)[0].name).checkpoint.touch()
    assert retry("--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "out: 3 runs to start again (1 failed, 1 out of memory, 1 lost), "
        "1 of them from a checkpoint",
        "  profile testbed, 2GB of memory: 2 runs",
        "  profile testbed, 4GB of memory: 1 run",
    ]
    assert not submitted(slurm)


def test_retry_leaves_alone_what_waits(
    layout: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retry() == 0
    assert "nothing to start again; 4 runs under way left alone" in capsys.readouterr().out
    assert not submitted(slurm)


def test_memory_is_doubled_each_time(ended: SweepLayout, slurm: FakeSlurm) -> None:
    hungry = runs(ended)[1]
    assert retry("--out-of-memory") == 0
    assert "#SBATCH --mem=4GB" in submitted(slurm)[-1]
    # the script that sbatch was given is kept by submitit under the number of the job
    job = read_submissions(ended)[-1].job_id
    assert "--mem=4GB" in (ended.submitit / f"{job}_submission.sh").read_text()
    slurm.take_away(str(job))
    time.sleep(1.1)  # times are told in seconds
    files = ended.run(hungry.name)
    log = AttemptLog(files.attempts, str(job), 1, 0)
    log.start()
    log.end("out_of_memory", "can't allocate memory", [])
    assert retry("--out-of-memory") == 0
    assert "#SBATCH --mem=8GB" in submitted(slurm)[-1]


def test_memory_can_be_told(ended: SweepLayout, slurm: FakeSlurm) -> None:
    assert retry("--memory", "32GB") == 0
    [script] = submitted(slurm)
    assert "#SBATCH --mem=32GB" in script


def test_memory_of_a_gpu_is_not_doubled(
    ended: SweepLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(ended, runs(ended)[1], "out_of_memory", "OutOfMemoryError: CUDA out of memory")
    assert retry("--dry-run", "--out-of-memory") == 0
    text = capsys.readouterr().out
    assert "2GB of memory: 1 run" in text
    assert "choose larger GPUs" in text


PROFILE = "time: 10\ngpus: 0\ncpus: 1\n"
FAULTS = {
    "no amount": (["--memory", "lots"], "--memory lots: is not allowed: a whole number and KB"),
    "no such profile": (["--profile", "moon"], "no cluster profile 'moon'"),
    "no memory to double": (["--profile", "p.yaml"], "Give --memory, such as"),
}


@pytest.mark.parametrize(("words", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_retry_refuses(
    ended: SweepLayout, words: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.yaml").write_text(PROFILE)
    assert retry(*words) == 2
    assert said in capsys.readouterr().err


def test_retry_here(ended: SweepLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(modes, "train_here", lambda layout, *given: asked.append(given))
    assert retry("--local", "--workers", "3", "--failed") == 0
    [(chosen, total, options)] = asked
    assert chosen == [runs(ended)[0]]
    assert (options.workers, total, options.post) == (3, 4, False)


@pytest.fixture
def trained_here(monkeypatch: pytest.MonkeyPatch) -> list[IndexEntry]:
    """The runs that were to be trained here."""
    trained: list[IndexEntry] = []

    def train_here(_: SweepLayout, chosen: Sequence[IndexEntry], *__: Any) -> int:
        trained.extend(chosen)
        return 0

    monkeypatch.setattr(modes, "train_here", train_here)
    return trained


def test_retry_when_slurm_is_gone_for_good(
    layout: SweepLayout,
    trained_here: list[IndexEntry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed, done, *waiting = runs(layout)
    fail(layout, failed, "failed", "ValueError: no")
    finish(layout, done)
    assert retry("--local", "--without-slurm") == 2
    assert "Take that back with `manage.py cancel out`, then retry" in capsys.readouterr().err

    monkeypatch.setenv("CLUSTER_DOWN", "yes")
    assert retry("--local") == 0
    text = capsys.readouterr().out
    assert "2 runs under way left alone. Slurm does not answer" in text
    assert "--local --without-slurm" in text
    assert trained_here == [failed]
    assert retry("--local", "--without-slurm") == 0
    assert "left alone" not in capsys.readouterr().out
    assert trained_here == [failed, failed, *waiting]


def test_damaged_results_are_set_aside(
    ended: SweepLayout, slurm: FakeSlurm, trained_here: list[IndexEntry]
) -> None:
    """A task that finds a finished file, damaged where it does not look, would do nothing."""
    done = runs(ended)[2]
    files = ended.run(done.name)
    damaged = files.results.read_bytes()[:-1000]
    files.results.write_bytes(damaged)
    assert retry("--dry-run") == 0
    assert files.results.exists()
    assert retry("--local", "--failed") == 0
    assert done in trained_here
    assert not files.results.exists()
    assert files.damaged.read_bytes() == damaged


def test_retry_acts_on_what_it_sees_under_the_lock(
    ended: SweepLayout,
    slurm: FakeSlurm,
    trained_here: list[IndexEntry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another launcher may have trained a run between the look and the lock."""
    files = ended.run(runs(ended)[2].name)
    sound = files.results.read_bytes()
    files.results.write_bytes(sound[:-1000])

    @contextmanager
    def launching(output: Path) -> Iterator[None]:
        with plan.launching(output):
            files.results.write_bytes(sound)
            yield

    monkeypatch.setattr("jobs.managing.retry.launching", launching)
    assert retry("--local", "--failed") == 0
    assert runs(ended)[2] not in trained_here
    assert files.results.read_bytes() == sound
    assert not files.damaged.exists()


def test_damaged_results_of_a_run_that_trains_stay(
    ended: SweepLayout, slurm: FakeSlurm, trained_here: list[IndexEntry]
) -> None:
    files = ended.run(runs(ended)[2].name)
    damaged = files.results.read_bytes()[:-1000]
    files.results.write_bytes(damaged)
    status = read_status(ended)
    chosen = [run for run in status.runs if run.name == runs(ended)[2].name]
    with RunLock(files.lock):
        _set_aside_damaged(status, chosen)
        assert files.results.read_bytes() == damaged
    _set_aside_damaged(status, chosen)
    assert files.damaged.read_bytes() == damaged


# --- on a real cluster


@pytest.mark.slurm
@pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster")
def test_out_of_memory_is_named_and_mended(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(os.pathsep)[2])  # no stand-ins
    from tests.helpers.slurm.sweep import Sweep, wait_for

    sweep = Sweep(tmp_path_factory.mktemp("hungry"), memory="150MB")
    sweep.launch()
    wait_for(lambda: {run["state"] for run in sweep.states().values()} == {"out_of_memory"})
    sweep.manage("retry", "--out-of-memory", "--memory", "1GB", "--no-preflight", "--no-post")
    wait_for(lambda: {run["state"] for run in sweep.states().values()} == {"done"})
    assert "nothing to start again" in sweep.manage("retry")


def test_a_sweep_that_no_cluster_knows_is_trained_here(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"base": {"data": {"size": 16, "frames": 2}, "model": {"width": 8, "depth": 1}}}
    entry["base"]["training"] = {"steps": 4}
    Path("sweep.yaml").write_text(json.dumps(entry))
    local = ["--local", "--no-post", "--sweep", "sweep.yaml", "--output", "here"]
    assert launch.main(local) == 0
    layout = SweepLayout(Path("here"))
    layout.run(runs(layout)[0].name).results.unlink()
    capsys.readouterr()
    assert call("retry", "here", "--no-post") == 0
    said = capsys.readouterr().out
    assert "1 run to start again" in said
    assert "training 1 runs here" in said
    assert "nothing of it was ever submitted" in said
    assert "profile default" not in said
    assert slurm.submitted() == []
