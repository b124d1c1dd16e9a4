"""Work in child processes: nothing that a child does takes the parent, or other items, down."""

import ctypes
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from inr.errors import UserError
from inr.storage.provenance import ROOT
from postprocess.worker_pool import ChildLostError, run_isolated


def fail() -> None:
    raise UserError("the disk is full")


def crash() -> None:
    ctypes.string_at(0)


ACTIONS = {
    "crash": crash,
    "hang": lambda: time.sleep(60),
    "exit": lambda: sys.exit(3),
    "killed": lambda: os.kill(os.getpid(), 9),
    "error": fail,
    "crash afterwards": lambda: threading.Timer(0.3, crash).start(),
    "slow": lambda: time.sleep(1),
}


def act(item: str) -> str:
    """Runs in the child: does what the item says."""
    ACTIONS.get(item, lambda: None)()
    return f"did {item}"


@pytest.fixture(autouse=True)
def _children_find_this_module(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(*items: str, workers: int = 2) -> list[str | ChildLostError]:
    return list(run_isolated(act, items, workers=workers, timeout=4.0))


FATES = {
    "crash": "crashes the HDF5 library (SIGSEGV)",
    "hang": "takes longer than 4 s",
    "exit": "ends its reader (exit code 3)",
    "killed": "perhaps for lack of memory",
}


@pytest.mark.parametrize(("item", "reason"), FATES.items(), ids=FATES)
def test_a_child_that_is_lost_costs_one_item(item, reason):
    first, lost, third, again, last = run("a", item, "b", item, "c")
    assert [first, third, last] == ["did a", "did b", "did c"]
    assert str(lost) == str(again)
    assert isinstance(lost, ChildLostError)
    assert reason in str(lost)


def test_replies_come_for_every_item_in_order():
    items = [f"{n}" for n in range(200)]
    assert run(*items) == [f"did {item}" for item in items]


def test_no_items_need_no_child():
    assert run() == []


def test_errors_for_the_user_reach_the_parent():
    with pytest.raises(UserError, match="the disk is full"):
        run("a", "error", "b")


def test_an_item_is_not_blamed_for_what_one_before_it_did():
    assert run("crash afterwards", "slow", workers=1) == ["did crash afterwards", "did slow"]


def test_a_child_that_does_not_start_is_an_error(monkeypatch):
    monkeypatch.setattr(act, "__module__", "tests.no_such_module")
    with pytest.raises(UserError, match="no run is to blame"):
        run("a")


def test_no_child_is_left_behind():
    work = run_isolated(act, ["a", "hang"], workers=2, timeout=60)
    next(work)
    work.close()
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    assert not [name for name in names if "postprocess.worker_pool" in name]
