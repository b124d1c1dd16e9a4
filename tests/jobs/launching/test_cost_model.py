"""What a run is said to cost: room on the disk, and time."""

import pytest

from inr.network.model import initialize
from jobs.launching.cost_model import (
    Cost,
    describe_time,
    expected_bytes,
    expected_seconds,
    parameter_count,
    shape_of,
)
from jobs.worker.train import train_runs
from tests.helpers.local_launch import tiny


@pytest.mark.parametrize(("width", "depth"), [(8, 1), (8, 2), (5, 4)])
def test_parameters_are_counted_as_they_are_made(width, depth):
    config = tiny(model={"width": width, "depth": depth})
    made = sum(parameter.numel() for parameter in initialize(config.model, 0).parameters)
    assert parameter_count(shape_of(config)) == made


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(tiny(), id="small"),
        pytest.param(tiny(data={"size": 96, "frames": 4}), id="frames"),
        pytest.param(tiny(model={"width": 256, "depth": 3}), id="network"),
    ],
)
def test_a_run_takes_no_more_room_than_expected(tmp_path, config):
    train_runs(str(tmp_path), [("a", config.canonical_json())])
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    checkpoint = 3 * 4 * parameter_count(shape_of(config))  # removed at the end
    assert used + checkpoint <= expected_bytes(config) <= 3 * (used + checkpoint)


def test_time_is_steps_and_evaluations():
    config = tiny(data={"size": 20}, training={"steps": 10, "batch": "frame"})
    cost = Cost(start=3, fixed=0.1, point=0.01, evaluated=0.001)
    # 4 rows: before, after 5 and 10 steps, and one spare; 4 sets of held-out points
    assert expected_seconds(config, {shape_of(config): cost}) == pytest.approx(
        3 + 10 * (0.1 + 4) + 8 * 2 * 0.4
    )


def test_words():
    said = "2 task hours, the longest task 1:30:00 (one step measured on this machine's CPU)"
    assert describe_time([1800, 5400], 0) == said
    assert "at most 2 task hours, 4 GPU hours" in describe_time([1800, 5400], 2)
