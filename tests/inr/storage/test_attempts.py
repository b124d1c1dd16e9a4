"""The story of a run's attempts survives whatever ends them."""

import os
from pathlib import Path

import pytest

from inr.storage.attempts import AttemptLog, read_attempts


def log(path: Path, **options: float) -> AttemptLog:
    return AttemptLog(path, job="5_1", cpus=4, gpus=1, **options)


def test_attempts_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    for status in ("stopped", "complete"):
        attempt = log(path)
        attempt.start()
        attempt.end(status, "a reason", [10, 20, 30])
    first, second = read_attempts(path)
    assert (first.number, first.status, first.reason) == (1, "stopped", "a reason")
    assert (second.number, second.status) == (2, "complete")
    assert (second.first_step, second.last_step) == (10, 30)
    assert (second.job, second.cpus, second.gpus) == ("5_1", 4, 1)
    assert second.wall_seconds >= 0
    assert second.cpu_seconds > 0


def test_attempt_that_could_not_say_why_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    log(path).start()
    (running,) = read_attempts(path)
    assert running.status == ""
    log(path, last_life=2e9).start()
    killed, running = read_attempts(path)
    assert (killed.status, running.status) == ("killed", "")
    assert "killed" in killed.reason
    assert killed.wall_seconds > 0


@pytest.mark.parametrize("damage", ['{"event": "end", "num', "[1]\n", "\x00\x00\n", '{"a": 1}\n'])
def test_damaged_lines_are_passed_over(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    attempt = log(path)
    attempt.start()
    with path.open("a") as file:
        file.write(damage)
    assert [each.number for each in read_attempts(path)] == [1]
    assert read_attempts(tmp_path / "missing") == []


def test_a_group_can_go_on_where_the_umask_lets_it(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    before = os.umask(0o002)
    try:
        log(path).start()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o664
