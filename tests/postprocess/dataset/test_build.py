"""Merging: nothing lost, nothing silent, nothing done twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import postprocess
from inr.errors import UserError
from inr.quantities import METRICS
from inr.results import SWEEP_SCHEMA, UnreadableError, open_run, read_heldout, read_series
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_index
from postprocess.dataset import build, run_reader, sweep_tables
from postprocess.dataset.read import MergedSweep, ensure_merged, is_current, read_merged
from postprocess.worker_pool import run_isolated
from tests.helpers.synthetic import (
    call,
    make_config,
    quickstart,
    write_index,
    write_run,
    write_sweep,
)

SCRIPTS = Path(postprocess.__file__).parent


def run_script(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run an entry script in a process of its own, warnings being errors."""
    command = [sys.executable, "-W", "error", str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepLayout:
    return write_sweep(tmp_path / "sweep", quickstart()[:3], shape=(12, 12))


def first_results(layout: SweepLayout) -> Path:
    return layout.run(read_index(layout)[0].name).results


def test_every_number_of_every_run_is_in_the_merged_file(sweep):
    merged = ensure_merged(sweep)
    columns = ["seconds", "lr", "loss", *METRICS]
    table = merged.series(*columns)
    assert len(merged.runs) == 3
    for number, row in merged.runs.iterrows():
        with open_run(sweep.root / row["results"]) as file:
            series, heldout = read_series(file), read_heldout(file)
            config = json.loads(file.attrs["config"])
        rows = table[table["run"] == number]
        for name in ["step", *columns]:
            np.testing.assert_array_equal(rows[name], series[name])
        assert row["rows"] == len(series["step"])
        assert {name: row[name] for name in METRICS} == {n: series[n][-1] for n in METRICS}
        assert {name: row[f"heldout_{name}"] for name in heldout} == heldout
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


@pytest.mark.parametrize("rows", [1, 30])
def test_runs_are_written_and_copied_in_order_whatever_fits_into_memory(sweep, rows, monkeypatch):
    expected = whole(ensure_merged(sweep))
    monkeypatch.setattr(sweep_tables, "_BUFFER", rows)
    for reuse in (False, True):
        build.merge(sweep, reuse=reuse)
        pd.testing.assert_frame_equal(whole(read_merged(sweep)), expected)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def edit(change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return apply


def set_series(name: str, data: object) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[f"series/{name}"]
        file[f"series/{name}"] = data

    return edit(change)


def empty_series(file: h5py.File) -> None:
    for name in list(file["series"]):
        del file[f"series/{name}"]
        file[f"series/{name}"] = np.zeros(0, "int64" if name == "step" else "float64")


def leave_traceback(path: Path) -> None:
    path.unlink()
    error = path.with_name("error.txt")
    error.write_text("Traceback (most recent call last):\n  ...\nMemoryError: no room\n")


DAMAGE = {
    "missing": (Path.unlink, "missing", "no run.h5"),
    "missing-with-traceback": (leave_traceback, "missing", "MemoryError: no room"),
    "unfinished": (edit(lambda f: f.attrs.pop("complete")), "unfinished", "step 200"),
    "unfinished-at-once": (
        edit(lambda f: (f.attrs.pop("complete"), f.pop("series"))),
        "unfinished",
        "no step",
    ),
    "truncated": (truncate, "broken", "truncated"),
    "empty": (lambda path: path.write_bytes(b""), "broken", "signature"),
    "text": (lambda path: path.write_text("not HDF5 at all"), "broken", "signature"),
    "directory": (lambda path: (path.unlink(), path.mkdir()), "missing", "no run.h5"),
    "schema": (edit(lambda f: f.attrs.update(schema="inr-run/9")), "broken", "'inr-run/9'"),
    "other-run": (edit(lambda f: f.attrs.update(run_id="abc")), "broken", "holds run abc"),
    "status": (edit(lambda f: f.attrs.update(status="odd")), "broken", "'odd'"),
    "no-series": (edit(lambda f: f.pop("series/ssim_value")), "broken", "ssim_value"),
    "short-series": (set_series("loss", np.zeros(3)), "broken", "different lengths"),
    "flat-series": (set_series("loss", np.zeros((21, 2))), "broken", "series/loss"),
    "text-series": (set_series("loss", np.array([b"x"] * 21)), "broken", "series/loss"),
    "empty-series": (edit(empty_series), "broken", "empty"),
    "bit-flip": (lambda path: hit_last_column(path), "broken", "filter returned failure"),
    "bad-config": (edit(lambda f: f.attrs.update(config="{")), "broken", ""),
    "no-config": (edit(lambda f: f.attrs.pop("config")), "broken", ""),
    "bad-heldout": (
        edit(lambda f: (f.pop("heldout"), f.create_dataset("heldout", data=0.5))),
        "broken",
        "heldout: not one record",
    ),
}


@pytest.mark.parametrize(("damage", "status", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_a_run_that_cannot_be_read_is_named_and_the_rest_merged(sweep, damage, status, reason):
    damage(first_results(sweep))
    merged = ensure_merged(sweep)
    bad = merged.runs.iloc[0]
    assert (bad["status"], len(merged.readable)) == (status, 2)
    assert reason in bad["reason"]
    assert "\n" not in bad["reason"]
    assert str(sweep.root) not in bad["reason"]
    assert list(merged.problems["name"]) == [bad["name"]]
    assert bad["model.activation"] == "sine"  # known from the index
    assert np.isnan(bad["nmse_value"])
    assert 0 not in set(merged.series()["run"])
    summary = pd.read_csv(sweep.summary)
    assert summary["status"][0] == status


def test_diverged_runs_are_complete(tmp_path):
    layout = SweepLayout(tmp_path / "sweep")
    config = make_config()
    (entry,) = write_index(layout, [config])
    write_run(layout.run(entry.name).results, config, status="diverged", shape=(12, 12))
    merged = ensure_merged(layout)
    assert list(merged.readable["status"]) == ["diverged"]
    assert merged.problems.empty
    assert np.isnan(merged.series("loss")["loss"].iloc[-1])


def test_merges_again_only_when_a_run_changed(sweep):
    ensure_merged(sweep)
    before = sweep.merged.stat().st_mtime_ns
    ensure_merged(sweep)
    assert sweep.merged.stat().st_mtime_ns == before
    first_results(sweep).unlink()
    assert not is_current(sweep)
    assert len(ensure_merged(sweep).problems) == 1
    sweep.summary.unlink()
    assert not is_current(sweep)


@pytest.fixture
def read_runs(monkeypatch):
    """The directories of the runs that are read, not copied; cuts the merge off on demand."""
    seen: list[Path] = []
    limit = [10**9]

    def spy(work, batches):
        for done, replies in enumerate(run_isolated(work, batches)):
            seen.extend(directory for directory, _ in batches[done].payload)
            yield replies
            if done + 1 == limit[0]:
                raise KeyboardInterrupt

    monkeypatch.setattr(build, "run_isolated", spy)
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
    build.merge(sweep, reuse=False)
    assert len(seen) == len(merged.runs)


def test_a_merge_that_is_cut_off_leaves_the_old_file_and_no_litter(sweep, read_runs):
    ensure_merged(sweep)
    before = sweep.merged.read_bytes()
    _, limit = read_runs
    limit[0] = 2
    with pytest.raises(KeyboardInterrupt):
        build.merge(sweep, reuse=False)
    assert sweep.merged.read_bytes() == before
    assert not [path for path in sweep.root.iterdir() if path.name.startswith(".")]


def test_a_run_that_cannot_be_read_now_is_read_the_next_time(sweep, monkeypatch):
    failing = first_results(sweep)
    really = run_reader.open_run

    def fail(path):
        if path == failing:
            raise UnreadableError(f"{path}: cannot be read: Stale file handle")
        return really(path)

    monkeypatch.setattr(build, "run_isolated", in_this_process)
    monkeypatch.setattr(run_reader, "open_run", fail)
    (problem,) = ensure_merged(sweep).problems.itertuples()
    assert (problem.status, problem.reason) == ("unreadable", "cannot be read: Stale file handle")
    monkeypatch.setattr(run_reader, "open_run", really)
    assert ensure_merged(sweep).problems.empty


def in_this_process(work, batches):
    for batch in batches:
        yield list(work(batch.payload, {}))


def test_what_a_killed_merge_left_is_removed(sweep):
    leftover = sweep.root / ".merged.0123abcd.h5"
    leftover.touch()
    ensure_merged(sweep)
    assert not leftover.exists()


def hit_last_column(path: Path) -> None:
    """Flip a bit of the last series that is read."""
    with h5py.File(path) as file:
        place = file["series/pde_residual"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place)
        byte = raw.read(1)[0]
        raw.seek(place)
        raw.write(bytes([byte ^ 1]))


def test_a_full_disk_is_said_before_hdf5_meets_it(sweep, monkeypatch):
    full = shutil.disk_usage(sweep.root)._replace(free=0)
    monkeypatch.setattr(sweep_tables.shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="no space left on the device"):
        build.merge(sweep)
    assert not sweep.merged.exists()


@pytest.mark.parametrize("content", [b"", b"garbage"], ids=["empty", "garbage"])
def test_a_damaged_merged_file_is_replaced(sweep, content):
    sweep.merged.write_bytes(content)
    assert len(ensure_merged(sweep).readable) == 3


def test_a_failed_merge_leaves_the_old_file_and_no_litter(sweep, monkeypatch):
    ensure_merged(sweep)
    before = sweep.merged.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "_write_frame", fail)
    with pytest.raises(UserError, match=r"merged\.h5: cannot be written: No space left"):
        build.merge(sweep)
    assert sweep.merged.read_bytes() == before
    assert not [path for path in sweep.root.iterdir() if path.name.startswith(".")]


def test_command_merges_the_newest_sweep_and_then_keeps_it(tmp_path, capsys):
    outputs = tmp_path / "outputs"
    old = write_sweep(outputs / "old", quickstart()[:1], shape=(12, 12))
    os.utime(old.index, (1, 1))
    new = write_sweep(outputs / "new", quickstart()[:2], shape=(12, 12))
    truncate(first_results(new))
    first = run_script("merge.py", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert "1 of 2 runs merged" in first.stdout
    assert "broken" in first.stdout
    assert "1_0_0_0/sine_uniform_1e-4" in first.stdout
    assert not old.merged.exists()
    assert call("merge", new.root) == 0
    assert "kept 2 up-to-date files" in capsys.readouterr().out
    assert call("merge", new.root, "--force") == 0
    assert "wrote 2 files" in capsys.readouterr().out


def no_readable_run(root: Path) -> None:
    write_index(SweepLayout(root), quickstart())


def unwritable_output(root: Path) -> None:
    write_sweep(root, quickstart()[:1], shape=(12, 12)).merged.mkdir()


def broken_index(root: Path) -> None:
    root.mkdir()
    (root / "index.json").write_text("{")


def other_index(root: Path) -> None:
    root.mkdir()
    (root / "index.json").write_text('{"schema": "inr-index/9", "runs": []}')


def empty_index(root: Path) -> None:
    write_index(SweepLayout(root), [])


FAULTS = {
    "no-such-directory": (lambda root: None, 2, "does not exist"),
    "no-sweep": (Path.mkdir, 2, "holds no index.json"),
    "broken-index": (broken_index, 1, "index.json: broken"),
    "other-index": (other_index, 1, "inr-index/9"),
    "empty-index": (empty_index, 1, "has no runs"),
    "no-readable-run": (no_readable_run, 1, "none of its 8 runs can be read (8 missing"),
    "unwritable": (unwritable_output, 1, "merged.h5: cannot be written: Is a directory"),
}


@pytest.mark.parametrize(("make", "code", "message"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("script", ["merge", "figures", "videos"])
def test_command_says_in_one_line_what_is_wrong(tmp_path, capsys, script, make, code, message):
    make(tmp_path / "sweep")
    assert call(script, tmp_path / "sweep") == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert said.startswith("error: ")


def test_commands_never_import_torch(tmp_path):
    code = (
        "import sys, postprocess.merge, postprocess.figures, postprocess.videos\n"
        "assert 'torch' not in sys.modules and 'submitit' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_no_module_beside_the_scripts_hides_another_one():
    for path in SCRIPTS.glob("*.py"):
        assert path.stem not in sys.stdlib_module_names
