"""`manage.py cancel`, on stand-ins for Slurm and processes of this machine."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import OwnerRecord
from filelock._identity import host_name, process_start_token

from inr.storage.paths import SweepLayout
from jobs.managing.cancel import _interrupt
from tests.helpers.managing import call, runs
from tests.helpers.slurm.fake_slurm import FakeSlurm

pytestmark = pytest.mark.usefixtures("slurm")


def cancelled() -> list[str]:
    path = Path("cancelled")
    return path.read_text().splitlines() if path.exists() else []


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


def test_cancel_asks_somebody(layout: SweepLayout, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("cancel", "out") == 2
    output = capsys.readouterr()
    assert "no terminal to ask on: add --yes" in output.err
    assert "0 running and 4 waiting runs, Slurm 41, post-processing 42" in output.out
    assert not cancelled()


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_cancel_does_what_is_answered(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert call("cancel", "out") == code
    assert cancelled() == (["41 42"] if code == 0 else [])


def test_cancel_single_runs(layout: SweepLayout) -> None:
    assert call("cancel", "out", "--yes", "--run", "1", "--run", runs(layout)[3].name) == 0
    assert cancelled() == ["41_1 41_3"]


def test_cancel_of_nothing(
    layout: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.take_away("41")
    slurm.take_away("42")
    assert call("cancel", "out", "--yes") == 0
    assert "nothing runs or waits" in capsys.readouterr().out


def test_post_processing_alone_can_be_cancelled(layout: SweepLayout, slurm: FakeSlurm) -> None:
    slurm.take_away("41")
    assert call("cancel", "out", "--yes") == 0
    assert cancelled() == ["42"]


def test_cancel_when_slurm_does_not_answer(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTER_DOWN", "yes")
    assert call("cancel", "out", "--yes") == 1
    assert "Try again when it answers" in capsys.readouterr().err
    assert not cancelled()


@pytest.mark.parametrize(("code", "said", "result"), [
    (1, "scancel: error: Access/permission denied on job id 41", 1),
    (1, "scancel: error: Kill job error on job id 41: Invalid job id specified", 0),
    (0, "", 0),
], ids=["denied", "ended meanwhile", "done"])  # fmt: skip
def test_answer_of_scancel(
    layout: SweepLayout, code: int, said: str, result: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bin/scancel").write_text(f'#!/bin/sh\necho "{said}" >&2\nexit {code}\n')
    assert call("cancel", "out", "--yes") == result
    if result:
        assert "error: scancel failed: Access/permission denied" in capsys.readouterr().err


TASK = """
import pathlib, signal, sys, time
from inr.storage.attempts import AttemptLog
from inr.storage.lock import RunLock
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    lock = pathlib.Path(sys.argv[1])
    with RunLock(lock):
        for job in sys.argv[2:]:
            AttemptLog(lock.with_name("attempts.jsonl"), job, 1, 0).start()
        print("holds", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(3)
"""


@pytest.mark.parametrize("chosen", [[], ["--run", "0"]], ids=["launcher", "task"])
def test_cancel_of_a_local_launch(layout: SweepLayout, slurm: FakeSlurm, chosen: list[str]) -> None:
    slurm.take_away("41")
    slurm.take_away("42")
    locks = [layout.launch_lock, layout.run(runs(layout)[0].name).lock]
    holders = [
        subprocess.Popen([sys.executable, "-c", TASK, lock], stdout=subprocess.PIPE)
        for lock in locks
    ]
    try:
        for holder in holders:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"holds\n"
        assert call("cancel", "out", "--yes", *chosen) == 0
        meant, other = reversed(holders) if chosen else holders
        assert meant.wait(timeout=10) == 3
        assert other.poll() is None
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    assert not cancelled()


@pytest.mark.parametrize(("job", "stops"), [("900_3", True), ("77", True), ("41_0", False)])
def test_cancel_of_a_launch_inside_an_allocation(
    layout: SweepLayout,
    slurm: FakeSlurm,
    capsys: pytest.CaptureFixture[str],
    job: str,
    stops: bool,
) -> None:
    slurm.take_away("41")
    slurm.take_away("42")
    lock = str(layout.run(runs(layout)[0].name).lock)
    command = [sys.executable, "-c", TASK, lock, job]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"holds\n"
            assert call("cancel", "out", "--yes") == 0
            said = capsys.readouterr().out
            assert ("about to end" in said) is not stops
            if stops:
                assert holder.wait(timeout=10) == 3
            assert (holder.poll() is not None) is stops
        finally:
            holder.kill()
    assert not cancelled()


def test_cancel_kills_no_later_process_of_the_same_number() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        owner = OwnerRecord(other.pid, host_name(), "lease", start=1)
        _interrupt(owner)
        assert other.poll() is None
        _interrupt(owner._replace(start=process_start_token(other.pid)))
        assert other.wait(10) == -signal.SIGTERM
