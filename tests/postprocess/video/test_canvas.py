"""From numbers to pixels: area sampling, and colours."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from postprocess.dataset.run_frames import Column
from postprocess.video.canvas import BAD, color_scale, paint, resample


def scale(colormap: str, low: float, high: float) -> ScalarMappable:
    return color_scale(Column("value", "value", "", colormap, low, high, "neither"))


@pytest.mark.parametrize("size", [(12, 20), (13, 31), (4, 7), (3, 2)])
def test_panels_show_the_mean_of_the_area_that_each_pixel_covers(size):
    picture = np.random.default_rng(0).random((4, 7)).astype(np.float32)
    rows, columns = size
    fine = np.kron(picture, np.ones((rows, columns)))  # every border is one of this grid
    expected = fine.reshape(rows, 4, columns, 7).mean(axis=(1, 3))
    np.testing.assert_allclose(resample(picture, size), expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_spoils_only_the_pixels_that_it_touches(bad):
    picture = np.zeros((4, 4), np.float32)
    picture[1, 2] = bad
    shown = resample(picture, (8, 8))
    assert not np.isfinite(shown[2:4, 4:6]).any()
    shown[2:4, 4:6] = 0
    assert (shown == 0).all()


@pytest.mark.parametrize("name", ["gray", "viridis", "RdBu_r"])
def test_colours_are_those_of_matplotlib(name):
    picture = np.linspace(-3, 3, 601, dtype=np.float32).reshape(1, -1)
    picture[0, :3] = np.nan, np.inf, -np.inf
    mappable = ScalarMappable(Normalize(-2, 2), mpl.colormaps[name].with_extremes(bad=BAD))
    expected = mappable.to_rgba(np.ma.masked_invalid(picture), bytes=True)
    np.testing.assert_array_equal(paint(picture, scale(name, -2.0, 2.0)), expected)


def test_a_scale_without_extent_shows_its_first_colour():
    pixels = paint(np.full((2, 2), 0.5), scale("gray", 0.5, 0.5))
    assert (pixels == [0, 0, 0, 255]).all()
