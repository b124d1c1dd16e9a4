"""How long a launch on this machine is said to take."""

import pytest

from jobs.launching import duration
from jobs.launching.cost_model import expected_seconds
from jobs.launching.duration import describe_duration
from tests.helpers.local_launch import tiny


@pytest.mark.parametrize(
    ("tasks", "mode", "said"),
    [
        pytest.param([[tiny()]] * 3, "auto", "3 runs, 2 at a time", id="runs"),
        pytest.param([[tiny()]], "auto", "1 run, 1 at a time", id="run"),
        pytest.param([[tiny()] * 4] * 3, "fused", "3 tasks, 2 at a time", id="packs"),
    ],
)
def test_words(tasks, mode, said):
    words = f"of training on this machine, as busy as it is now ({said})"
    text = describe_duration(tasks, 2, mode)
    assert text.startswith("about 0:")
    assert text.endswith(words)


def test_time_follows_the_work():
    runs = [tiny(training={"batch": batch}) for batch in (16, 256, "frame")]
    first, second = duration._time(runs, processes=2, threads=1)
    assert len(first) == len(second) == 2  # shapes: batches of points, of frames
    for costs in (first, second):
        assert all(min(cost.start, cost.point, cost.evaluated) > 0 for cost in costs.values())
        short, long = (
            expected_seconds(tiny(training={"steps": steps, "batch": 256}), costs)
            for steps in (1000, 9000)
        )
        assert 2 < long / short < 9


def test_what_cannot_be_tried_has_no_estimate():
    huge = tiny(model={"width": 5000, "depth": 3})
    assert describe_duration([[huge]], 1, "auto") == "no estimate of the time"
