"""Work in child processes: nothing that a child does takes the parent, or other items, down."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inr.errors import UserError
from inr.storage.provenance import ROOT
from postprocess.worker_pool import Batch, run_isolated


def fail() -> None:
    raise UserError("the disk is full")


ACTIONS = {
    "crash": lambda: ctypes.string_at(0),
    "hang": lambda: time.sleep(60),
    "exit": lambda: sys.exit(3),
    "killed": lambda: os.kill(os.getpid(), 9),
    "error": fail,
}


def act(items: list[str], crashed: dict[int, str]) -> Iterator[str]:
    """Runs in the child: does what the items say."""
    for number, item in enumerate(items):
        if number in crashed:
            yield f"gave up: {crashed[number]}"
            continue
        ACTIONS.get(item, lambda: None)()
        yield f"did {item}"
    if items == ["crash at the end"]:
        ctypes.string_at(0)


@pytest.fixture(autouse=True)
def _children_find_this_module(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(*batches: list[str]) -> list[list[str]]:
    jobs = [Batch(items, len(items)) for items in batches]
    return list(run_isolated(act, jobs, workers=2, timeout=4.0))


FATES = {
    "crash": "crashes the HDF5 library (SIGSEGV)",
    "hang": "takes longer than 4 s",
    "exit": "ends its reader (exit code 3)",
    "killed": "perhaps for lack of memory",
}


@pytest.mark.parametrize(("item", "reason"), FATES.items(), ids=FATES)
def test_a_child_that_is_lost_costs_one_item(item, reason):
    first, second = run(["a", item, "b", item], ["c"])
    assert [first[0], first[2], *second] == ["did a", "did b", "did c"]
    assert first[1] == first[3]
    assert first[1].startswith("gave up: ")
    assert reason in first[1]


def test_replies_come_for_every_batch():
    batches = [[f"{n}-{k}" for k in range(n % 4)] for n in range(20)]
    assert run(*batches) == [[f"did {item}" for item in items] for items in batches]


def test_no_batches_need_no_child():
    assert run() == []


def test_errors_for_the_user_reach_the_parent():
    with pytest.raises(UserError, match="the disk is full"):
        run(["a", "error"], ["b"])


def test_a_crash_at_no_item_is_an_error():
    with pytest.raises(UserError, match="no run is to blame"):
        run(["crash at the end"])


def test_no_child_is_left_behind():
    work = run_isolated(act, [Batch(["a"], 1), Batch(["hang"], 1)], workers=2, timeout=60)
    next(work)
    work.close()
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    assert not [name for name in names if "postprocess.worker_pool" in name]
