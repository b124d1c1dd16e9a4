"""What is read of a run, or what is wrong with it; and what its attempts cost."""

import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from inr.metrics import ADDED_METRICS
from inr.results import HELDOUT, open_run, read_heldout, read_series
from inr.storage.attempts import Attempt
from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.dataset.run_reader import USAGE, account, find_verdict
from tests.helpers.synthetic import (
    first_results,
    make_config,
    truncate,
    without_added_metrics,
    write_index,
    write_run,
)


def hit_last_column(path: Path) -> None:
    """Flip a bit of the last series that is read."""
    with h5py.File(path) as file:
        place = file["series/pde_residual"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place)
        byte = raw.read(1)[0]
        raw.seek(place)
        raw.write(bytes([byte ^ 1]))


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


def test_files_of_before_a_metric_are_read_with_nan_for_it(sweep):
    new = ensure_merged(sweep).readable.drop(columns="results")
    older = first_results(sweep)
    without_added_metrics(older)
    merged = ensure_merged(sweep)
    assert merged.problems.empty
    assert find_verdict((older.parent, True))["status"] == "complete"
    added = [column for column in new if column.endswith("mean_removed")]
    places = ("", *(f"{points}_" for points in HELDOUT))
    assert set(added) == {place + name for place in places for name in ADDED_METRICS}
    assert new[added].notna().all(axis=None)
    assert merged.runs.loc[0, added].isna().all()
    expected = new.copy()
    expected.loc[0, added] = np.nan
    pd.testing.assert_frame_equal(merged.runs[new.columns], expected)
    table = merged.series(*ADDED_METRICS)
    assert table[list(ADDED_METRICS)].isna().all(axis=1).equals(table["run"] == 0)
    with open_run(older) as file:
        series, heldout = read_series(file), read_heldout(file)
    for name in ADDED_METRICS:
        assert np.isnan([*series[name], heldout[name]]).all()
        assert len(series[name]) == len(series["step"])
    assert heldout["mse_value"] == merged.runs.loc[0, "heldout_mse_value"]


def attempt(**fields: float | str) -> Attempt:
    known = {"number": 1, "started": "", "host": "n1", "pid": 1, "job": "", "cpus": 1, "gpus": 0}
    return Attempt(**(known | fields))  # type: ignore[arg-type]


CASES = {
    "no attempt": ([], (0, "", 0.0, 0.0, 0.0, None)),
    "one": ([attempt(wall_seconds=9.0, cpu_seconds=4.5)], (1, "n1", 9.0, 0.0025, 0.0, 0.5)),
    "several GPUs and hosts": (
        [
            attempt(host="n2", gpus=2, cpus=4, wall_seconds=3600.0, cpu_seconds=7200.0),
            attempt(host="n1", gpus=1, cpus=1, wall_seconds=1800.0, cpu_seconds=900.0),
            attempt(host="n2", wall_seconds=900.0, cpu_seconds=900.0),
        ],
        # 9000 s of CPU in 4 x 3600 + 1800 + 900 s given
        (3, "n2 n1", 6300.0, 4.75, 2.5, 9000 / 17100),
    ),
    "killed: its time counts, its efficiency is not known": (
        [
            attempt(gpus=1, wall_seconds=3600.0, status="killed"),
            attempt(gpus=1, wall_seconds=3600.0, cpu_seconds=1800.0),
        ],
        (2, "n1", 7200.0, 2.0, 2.0, 0.5),
    ),
    "trained as one of four: a quarter of what the task was given": (
        [attempt(gpus=2, cpus=8, members=4, wall_seconds=3600.0, cpu_seconds=3600.0)],
        (1, "n1", 3600.0, 2.0, 0.5, 0.5),
    ),
    "still running": ([attempt()], (1, "n1", 0.0, 0.0, 0.0, None)),
}


@pytest.mark.parametrize(("attempts", "expected"), CASES.values(), ids=CASES.keys())
def test_account(attempts: list[Attempt], expected: tuple[float | str | None, ...]) -> None:
    found = account(attempts)
    assert tuple(found) == USAGE
    *values, efficiency = expected
    assert list(found.values())[:-1] == values
    if efficiency is None:
        assert math.isnan(float(found["cpu_efficiency"]))
    else:
        assert found["cpu_efficiency"] == pytest.approx(efficiency)
