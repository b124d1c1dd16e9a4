"""Figures of sweeps over images, noise and many activations: apart, distinct, nothing cut off."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots.batch import plan_figures
from postprocess.plots.layout import Drawings
from postprocess.plots.plot_variable import metric
from tests.helpers.figures import overlaps
from tests.helpers.targets import IMAGES, NOISES, TWENTY, write_targets

FEW = ["sine", "elu", "tanh"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Drawings:
    root = tmp_path_factory.mktemp("targets") / "images"
    return plan_figures(ensure_merged(write_targets(root, IMAGES, FEW, (0, 1, 2))))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Drawings:
    root = tmp_path_factory.mktemp("targets") / "both"
    return plan_figures(ensure_merged(write_targets(root, IMAGES, TWENTY, (0, 1, 2))))


def looks(figure: Figure) -> list[set[tuple[str, str]]]:
    """Colour and marker of every line with points, by panel; the reference is dashed."""
    return [
        {
            (line.get_color(), line.get_marker())
            for line in panel.lines
            if len(line.get_xdata()) and line.get_linestyle() != "--"
        }
        for panel in figure.axes
    ]


@pytest.mark.parametrize("name", ["curve_psnr_value", "final_nmse_value"])
def test_every_image_has_a_panel_with_its_own_scale(images: Drawings, name: str) -> None:
    figure = images[name]()
    assert [p.get_title() for p in figure.axes] == ["camera", "coins.png", "gravel.tif", "moon.png"]
    figure.draw_without_rendering()
    limits = {panel.get_ylim() for panel in figure.axes}
    assert len(limits) == len(figure.axes)  # errors rise tenfold from image to image
    ticks = [panel.yaxis.get_major_ticks()[0] for panel in figure.axes]
    assert all(tick.tick1line.get_visible() and tick.label1.get_visible() for tick in ticks)
    assert not overlaps(figure)


def test_what_ranks_is_drawn_for_each_image_and_over_all(images: Drawings) -> None:
    own = {name.rpartition("/")[2] for name in images if name.startswith("targets/moon.png/")}
    assert own == {"overview", "overview_heldout", "heldout", "tradeoff"}
    assert {"overview", "overview_heldout", "improvement"} <= images.keys()
    assert not {"heldout", "tradeoff"} & images.keys()
    over, single = images["overview"](), images["targets/moon.png/overview"]()
    assert "over 4 images" in over.legends[0].get_title().get_text()
    assert "moon.png 12 px" in single.legends[0].get_title().get_text()
    places = [f.axes[0].collections[-1].get_offsets()[:, 0] for f in (over, single)]
    # 1e-4 to 10^-1.5 on the first image, ten times as much on each that follows
    np.testing.assert_allclose(places[0], 10 ** np.array([-2.5, -1.25, 0]), rtol=0.02)
    np.testing.assert_allclose(places[1], 10 ** np.array([-1, 0.25, 1.5]), rtol=0.02)
    assert "at the same image" in images["improvement"]().get_suptitle()


READABLE = (
    "overview",
    "overview_heldout",
    "curve_nmse_value",
    "final_nmse_value",
    "improvement",
    "targets/camera/overview",
    "targets/camera/tradeoff",
)


@pytest.mark.parametrize("name", READABLE)
def test_twenty_activations_on_four_images_fit(both: Drawings, name: str) -> None:
    assert not overlaps(both[name]())


def test_twenty_activations_can_be_told_apart(both: Drawings) -> None:
    curves = both["curve_nmse_value"]()
    assert [len(panel.lines) for panel in curves.axes] == [7, 7, 6] * 4
    assert [len(found) for found in looks(curves)] == [7, 7, 6] * 4
    names = [text.get_text() for text in curves.legends[0].get_texts()]
    assert set(TWENTY) | {"activation 1–7:", "activation 15–20:"} <= {*names}
    assert [len(found) for found in looks(both["targets/camera/tradeoff"]())] == [20] * 3


def test_errors_by_noise_are_joined_along_x(tmp_path: Path) -> None:
    layout = write_targets(tmp_path / "noise", NOISES, FEW, (0, 1))
    plans = plan_figures(ensure_merged(layout))
    (panel,) = plans["final_nmse_value"]().axes
    assert panel.get_xlabel() == "noise"
    assert [t.get_text() for t in panel.get_xticklabels()] == ["0", "0.01", "0.03", "0.1", "0.3"]
    joined = [line for line in panel.lines if line.get_linestyle() == "-"]
    assert [len(line.get_xdata()) for line in joined] == [len(NOISES)] * len(FEW)
    assert len(plans["curve_nmse_value"]().axes) == len(NOISES)
    scale = plans["targets/0.03/overview"]().legends[0].get_title().get_text()
    assert scale.startswith("noise: 0.03 · camera 12 px")


def test_no_image_is_far_out_because_it_is_harder() -> None:
    errors = np.linspace(0.01, 0.02, 30)
    measure = metric("nmse_value")
    harder = 1e5 * errors[:2]
    assert measure.fenced(np.concatenate([errors, harder])).ceiling < 1e5 * 0.01
    assert measure.fenced(errors, harder) == measure
