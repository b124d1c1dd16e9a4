"""Merging: nothing lost, nothing silent, nothing done twice."""

import json
import os
import shutil
import signal
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from inr.errors import UserError
from inr.metrics import ADDED_METRICS, METRICS
from inr.results import HELDOUT, SWEEP_SCHEMA, UnreadableError, open_run, read_heldout, read_series
from inr.storage.sweep_index import read_index
from postprocess.dataset import merged_sweep, run_reader, sweep_tables
from postprocess.dataset.merged_sweep import MergedSweep, ensure_merged, read_merged
from postprocess.worker_pool import run_isolated
from tests.helpers.synthetic import first_results, truncate


def test_every_number_of_every_run_is_in_the_merged_file(sweep):
    merged = ensure_merged(sweep)
    columns = ["seconds", "lr", "loss", *METRICS]
    table = merged.series(*columns)
    assert len(merged.runs) == 3
    for number, row in merged.runs.iterrows():
        with open_run(sweep.root / row["results"]) as file:
            series = read_series(file)
            heldout = {points: read_heldout(file, points) for points in HELDOUT}
            config = json.loads(file.attrs["config"])
        rows = table[table["run"] == number]
        for name in ["step", *columns]:
            np.testing.assert_array_equal(rows[name], series[name])
        assert row["rows"] == len(series["step"])
        assert {name: row[name] for name in METRICS} == {n: series[n][-1] for n in METRICS}
        for points, found in heldout.items():
            assert {name: row[f"{points}_{name}"] for name in METRICS} == found
        assert row["training.learning_rate"] == config["training"]["learning_rate"]
        weights = config["training"]["loss_weights"]
        assert {q: row[f"training.loss_weights.{q}"] for q in weights} == weights
    assert merged.problems.empty
    with h5py.File(sweep.merged) as file:
        assert file.attrs["schema"] == SWEEP_SCHEMA
        assert file.attrs["sweep"] == "sweep"


def test_summary_has_the_rows_of_the_merged_file(sweep):
    runs = ensure_merged(sweep).runs
    summary = pd.read_csv(sweep.summary, keep_default_na=True)
    assert list(summary.columns) == list(runs.columns)
    assert list(summary["name"]) == list(runs["name"])
    np.testing.assert_allclose(summary["nmse_value"], runs["nmse_value"], rtol=1e-12)


def test_an_interrupt_while_hdf5_writes_comes_afterwards():
    done = []

    def write() -> None:
        with sweep_tables._interrupted_afterwards():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        write()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("rows", [1, 30])
def test_runs_are_written_and_copied_in_order_whatever_fits_into_memory(sweep, rows, monkeypatch):
    expected = whole(ensure_merged(sweep))
    monkeypatch.setattr(sweep_tables, "_BUFFER", rows)
    for reuse in (False, True):
        merged_sweep.merge(sweep, reuse=reuse)
        pd.testing.assert_frame_equal(whole(read_merged(sweep)), expected)


@pytest.fixture
def read_runs(monkeypatch):
    """The directories of the runs that are read, not copied; cuts the merge off on demand."""
    seen: list[Path] = []
    limit = [10**9]

    def spy(work, items):
        for done, reply in enumerate(run_isolated(work, items)):
            seen.append(items[done][0].root)
            yield reply
            if done + 1 == limit[0]:
                raise KeyboardInterrupt

    monkeypatch.setattr(merged_sweep, "run_isolated", spy)
    return seen, limit


def whole(merged: MergedSweep) -> pd.DataFrame:
    return merged.series("seconds", "lr", "loss", *METRICS)


def test_runs_that_have_not_changed_are_copied(sweep, read_runs):
    seen, _ = read_runs
    ensure_merged(sweep)
    expected = whole(read_merged(sweep))
    assert len(seen) == 3
    seen.clear()
    last = sweep.run(read_index(sweep)[2].name)
    os.utime(last.results, ns=(1, 1))
    merged = ensure_merged(sweep)
    assert seen == [last.root]
    pd.testing.assert_frame_equal(whole(read_merged(sweep)), expected)
    seen.clear()
    truncate(last.results)
    assert len(ensure_merged(sweep).problems) == 1
    assert seen == [last.root]
    pd.testing.assert_frame_equal(whole(read_merged(sweep)), expected[expected["run"] < 2])
    seen.clear()
    merged_sweep.merge(sweep, reuse=False)
    assert len(seen) == len(merged.runs)


def test_a_merged_file_of_another_version_is_neither_current_nor_copied(sweep, read_runs):
    seen, _ = read_runs
    expected = whole(ensure_merged(sweep))
    with pytest.MonkeyPatch.context() as earlier:
        for module in (merged_sweep, sweep_tables):
            earlier.setattr(module, "VERSION", "inr-archive/2 0.1.0")
        ensure_merged(sweep)
    with h5py.File(sweep.merged, "r+") as file:
        for name in ADDED_METRICS:
            del file[f"series/{name}"], file[f"runs/{name}"]
    seen.clear()
    pd.testing.assert_frame_equal(whole(ensure_merged(sweep)), expected)
    assert len(seen) == 3


def test_a_merge_that_is_cut_off_leaves_the_old_file_and_no_litter(sweep, read_runs):
    ensure_merged(sweep)
    before = sweep.merged.read_bytes()
    _, limit = read_runs
    limit[0] = 2
    with pytest.raises(KeyboardInterrupt):
        merged_sweep.merge(sweep, reuse=False)
    assert sweep.merged.read_bytes() == before
    assert not [path for path in sweep.root.iterdir() if path.name.startswith(".")]


def test_a_run_that_cannot_be_read_now_is_read_the_next_time(sweep, monkeypatch):
    failing = first_results(sweep)
    really = run_reader.open_run

    def fail(path):
        if path == failing:
            raise UnreadableError(f"{path}: cannot be read: Stale file handle")
        return really(path)

    monkeypatch.setattr(merged_sweep, "run_isolated", in_this_process)
    monkeypatch.setattr(run_reader, "open_run", fail)
    (problem,) = ensure_merged(sweep).problems.itertuples()
    assert (problem.status, problem.reason) == ("unreadable", "cannot be read: Stale file handle")
    monkeypatch.setattr(run_reader, "open_run", really)
    assert ensure_merged(sweep).problems.empty


def in_this_process(work, items):
    yield from map(work, items)


def test_what_a_killed_merge_left_is_removed(sweep):
    leftover = sweep.root / ".merged.0123abcd.h5"
    leftover.touch()
    ensure_merged(sweep)
    assert not leftover.exists()


def test_a_full_disk_is_said_before_hdf5_meets_it(sweep, monkeypatch):
    full = shutil.disk_usage(sweep.root)._replace(free=0)
    monkeypatch.setattr(sweep_tables.shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="no space left on the device"):
        merged_sweep.merge(sweep)
    assert not sweep.merged.exists()


def test_a_failed_merge_leaves_the_old_file_and_no_litter(sweep, monkeypatch):
    ensure_merged(sweep)
    before = sweep.merged.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merged_sweep, "_write_frame", fail)
    with pytest.raises(UserError, match=r"merged\.h5: cannot be written: No space left"):
        merged_sweep.merge(sweep)
    assert sweep.merged.read_bytes() == before
    assert not [path for path in sweep.root.iterdir() if path.name.startswith(".")]
