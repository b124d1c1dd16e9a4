"""Whatever the range of an axis, its numbers say where everything lies."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from postprocess.plots.plot_variable import metric

ERROR = metric("nmse_value")


@given(st.floats(-300, 200), st.one_of(st.floats(0, 1), st.floats(1, 40)))
@example(-1.0, 0.0)
@example(-0.7, 0.72)  # just above 0.2 to just above 1
@example(-2.0, 0.99)
@example(-3.0, 1.05)
@example(-8.0, 8.0)
@example(-4.0, 2.9)
@example(-290.0, 540.0)
def test_all_values_lie_between_or_near_numbers(lowest: float, decades: float) -> None:
    values = np.logspace(lowest, lowest + decades, 3)
    figure = Figure(figsize=(2.0, 2.0), layout="constrained")
    panel = figure.subplots()
    panel.plot(values, values, "o")
    for axis in ("x", "y"):
        ERROR.finish(panel, axis)
    figure.draw_without_rendering()
    check(panel.xaxis, values)
    check(panel.yaxis, values)


def check(axis: Axis, values: np.ndarray) -> None:
    ends = np.sort(axis.get_view_interval())
    places = np.array([place for place in axis.get_majorticklocs() if ends[0] <= place <= ends[1]])
    labels = [tick.label1 for tick in axis.get_major_ticks() if tick.get_loc() in places]
    texts = [label.get_text() for label in labels]
    assert not len(axis.get_minorticklocs())
    assert len(set(texts)) == len(places) >= 2
    assert all(texts)
    span = np.diff(np.log10(ends))
    assert np.log10(places[0] / values[0]) <= 0.3 * span
    assert np.log10(values[-1] / places[-1]) <= 0.3 * span
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.2, 1.05], ["0.2", "0.5", "1"]),
        ([0.01, 1], ["0.01", "0.1", "1"]),
        ([1e-4, 1], ["1e-4", "1e-3", "0.01", "0.1", "1"]),
        ([0.91, 1], ["0.92", "0.94", "0.96", "0.98", "1"]),
    ],
)
def test_numbers_are_round(values, expected) -> None:
    panel = Figure().subplots()
    panel.plot(values)
    ERROR.finish(panel)
    panel.figure.draw_without_rendering()
    assert [tick.label1.get_text() for tick in panel.yaxis.get_major_ticks()] == expected
