"""The zoom: what a network says between pixels and frames, beside the pixels."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inr.config import RunConfig
from inr.network.model import Network
from inr.network.trained_network import TrainedNetwork, save
from inr.storage.paths import RunLayout, SweepLayout
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.video.selection import order_runs
from postprocess.video.zoom_video import View, ZoomNetwork, find_detail, lay_out, plan_views
from tests.helpers.film import decode
from tests.helpers.synthetic import call, make_config, write_run, write_sweep

SHAPE = (16, 24)
SLOPE, PACE = 0.5, 0.25  # of the network below, along x and in time
FIELDS = {"data__size": 24, "data__frames": 3, "model__activation": "elu", "model__width": 1}


def write_network(path: Path, config: RunConfig, shape: tuple[int, int] = SHAPE) -> None:
    """A network that is 0.5 x + 0.25 time: elu is the identity above 0."""
    config = config.model_copy(update={"model": config.model.model_copy(update={"depth": 1})})
    weights = (torch.tensor([[SLOPE, 0.0, PACE]]), torch.tensor([[1.0]]))
    biases = (torch.tensor([10.0]), torch.tensor([-10.0]))
    save(path, TrainedNetwork(config, Network(config.model, weights, biases), shape))


def flatten_targets(file: h5py.File) -> None:
    """Targets with a scale known beforehand: value from -1 to 1, by frame and by row."""
    value = file["frames/value/target"]
    for frame in range(len(value)):
        value[frame] = frame / 4
    value[0, 0], value[0, 1] = -1, 1
    value[0, 8:, 12:] = 0.8


@pytest.fixture
def run(tmp_path: Path) -> RunLayout:
    layout = RunLayout(tmp_path / "run")
    config = make_config(**FIELDS)
    write_run(layout.results, config, shape=SHAPE)
    with h5py.File(layout.results, "r+") as file:
        flatten_targets(file)
    write_network(layout.model, config)
    return layout


@pytest.fixture
def sweep(tmp_path: Path) -> SweepLayout:
    configs = [make_config(**FIELDS, training__learning_rate=rate) for rate in (1e-5, 3e-4, 1e-1)]
    layout = write_sweep(tmp_path / "sweep", configs, shape=SHAPE)
    for path in layout.runs.rglob("run.h5"):
        write_network(path.with_name("model.pt"), configs[0])
    return layout


def grey(value: float) -> float:
    return 255 * (value + 1) / 2


def x_of(column: float) -> float:
    """Network coordinate of a place in px from the left edge of the image."""
    return 2 * column / 24 - 1


def test_left_are_the_pixels_and_right_is_the_network_between_them(run: RunLayout) -> None:
    options = ("--times", "5", "--scale", "4", "--centre", "12", "8", "--fps", "5")
    assert call("zoom", run.root, *options) == 0
    pictures = decode(run.root / "zoom.mp4")
    layout = lay_out(SHAPE)
    assert pictures.shape == (5 + 5, layout.size[1], layout.size[0], 3)  # a second of standstill
    assert layout.size[0] % 2 == layout.size[1] % 2 == 0

    first, last = (picture.astype(float)[..., 0] for picture in (pictures[0], pictures[4]))
    left, right = (first[layout.panel(side, 0)] for side in (0, 1))
    height, width = left.shape
    assert left[height // 32, width // 2] == pytest.approx(grey(-1), abs=4)  # row 0
    assert left[3 * height // 32, width // 2] == pytest.approx(grey(1), abs=4)  # row 1
    assert left[-5, -5] == pytest.approx(grey(0.8), abs=4)
    for share in (0.1, 0.5, 0.9):
        expected = grey(SLOPE * x_of(24 * share) - PACE)
        assert right[height // 2, round(share * width)] == pytest.approx(expected, abs=4)

    # four times as large: columns 9 to 15, rows 6 to 10, at the first frame again
    left, right = (last[layout.panel(side, 0)] for side in (0, 1))
    assert left[height // 4, 3 * width // 4] == pytest.approx(grey(0), abs=4)
    assert left[3 * height // 4, 3 * width // 4] == pytest.approx(grey(0.8), abs=4)
    for share in (0.1, 0.5, 0.9):
        expected = grey(SLOPE * x_of(9 + 6 * share) - PACE)
        assert right[height // 2, round(share * width)] == pytest.approx(expected, abs=4)

    # half of the time to the last frame: between two frames
    middle = pictures[2].astype(float)[..., 0][layout.panel(1, 0)]
    at_the_end = grey(SLOPE * x_of(12) + PACE)
    assert middle[height // 2, width // 2] == pytest.approx(at_the_end, abs=4)
    assert (run.root / "zoom.gif").read_bytes().startswith(b"GIF89a")


def test_network_is_asked_at_the_places_and_times_of_the_view(run: RunLayout) -> None:
    network = ZoomNetwork(run.model, SHAPE)
    view = View(x=3.0, y=2.0, width=6.0, height=4.0, scale=4.0, frame=0.5)
    assert network.time(view) == -0.5
    quantities = ("value", "gradient", "laplacian")
    value, gradient, laplacian = network.pictures(view, (40, 60), quantities)
    columns = 3 + 6 * (np.arange(60) + 0.5) / 60
    expected = np.tile(SLOPE * x_of(columns) - 0.5 * PACE, (40, 1))
    np.testing.assert_allclose(value, expected, atol=1e-5)
    np.testing.assert_allclose(gradient, SLOPE, atol=1e-5)
    np.testing.assert_allclose(laplacian, 0, atol=1e-5)


def test_runs_of_the_original_protocol_are_asked_in_their_own_coordinates(tmp_path: Path) -> None:
    config = make_config(**FIELDS, training__protocol="original")
    write_network(tmp_path / "model.pt", config, (24, 24))
    network = ZoomNetwork(tmp_path / "model.pt", (24, 24))
    view = View(x=0.0, y=0.0, width=24.0, height=24.0, scale=1.0, frame=1.5)
    (found,) = network.pictures(view, (24, 24), ("value",))
    time = np.mean(network._trained.times[1:3])
    # pixel centres lie on the ends of [-1, 1]
    np.testing.assert_allclose(found[0], SLOPE * np.linspace(-1, 1, 24) + PACE * time, atol=1e-5)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    scale=st.floats(1.01, 100),
    count=st.integers(2, 30),
)
def test_views_stay_inside_and_end_at_the_region(
    shape: tuple[int, int], place: tuple[float, float], scale: float, count: int
) -> None:
    height, width = shape
    centre = (place[0] * width, place[1] * height)
    views = plan_views(shape, centre, scale, 10, count)
    assert len(views) == count
    for view in views:
        assert -1e-9 <= view.x <= view.x + view.width <= width + 1e-9
        assert -1e-9 <= view.y <= view.y + view.height <= height + 1e-9
        assert 0 <= view.frame <= 9
    assert (views[0].width, views[0].height) == (width, height)
    last = views[-1]
    assert last.scale == pytest.approx(scale)
    assert last.frame == pytest.approx(0, abs=1e-9)
    assert abs(last.x + last.width / 2 - centre[0]) <= last.width / 2 + 1e-9
    assert all(a.width >= b.width for a, b in pairwise(views))


@pytest.mark.parametrize(("scale", "side"), [(4.0, 8), (10.6, 3)], ids=["even", "odd"])
def test_the_region_of_most_detail_is_found(scale: float, side: int) -> None:
    gradient = np.zeros((32, 32))
    gradient[20 : 20 + side, 5 : 5 + side] = 1
    assert find_detail(gradient, scale) == (5 + side / 2, 20 + side / 2)


def test_detail_at_the_edge_gives_a_region_inside() -> None:
    gradient = np.zeros((32, 32))
    gradient[31, 0] = 1
    x, y = find_detail(gradient, 4)
    assert 4 <= x <= 28
    assert 4 <= y <= 28
    assert x < 8
    assert y > 24


def test_the_best_run_with_a_network_is_shown_and_made_once(
    sweep: SweepLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--times", "2", "--format", "mp4")
    assert call("merge", sweep.root) == 0
    assert call("zoom", sweep.root, *small) == 0
    best = "1_0_0_0/elu_uniform_3e-4"
    assert (sweep.videos / "zoom" / f"{best}.mp4").is_file()
    capsys.readouterr()
    assert call("zoom", sweep.root, *small) == 0
    assert "kept 1 up-to-date file" in capsys.readouterr().out
    assert call("zoom", sweep.root, *small, "--run", "1e-1") == 0
    assert (sweep.videos / "zoom/1_0_0_0/elu_uniform_1e-1.mp4").is_file()

    sweep.run(best).model.unlink()
    assert call("zoom", sweep.root, *small) == 0
    assert (sweep.videos / "zoom/1_0_0_0/elu_uniform_1e-5.mp4").is_file()


def test_runs_are_ordered_by_the_mean_log_error_and_diverged_ones_last(sweep: SweepLayout) -> None:
    runs = ensure_merged(sweep).runs
    errors = runs[[f"nmse_{q}" for q in ("value", "gradient", "laplacian", "time_derivative")]]
    expected = runs["name"].iloc[np.argsort(np.log10(errors).mean(axis=1))]
    assert list(order_runs(runs)["name"]) == list(expected)
    runs.loc[runs["name"] == expected.iloc[0], "status"] = "diverged"
    assert order_runs(runs)["name"].iloc[-1] == expected.iloc[0]


def no_network(run: RunLayout) -> None:
    run.model.unlink()


def another_image(run: RunLayout) -> None:
    write_network(run.model, make_config(**FIELDS), (8, 8))


def damaged(run: RunLayout) -> None:
    run.model.write_bytes(b"nothing")


def nothing(run: RunLayout) -> None:
    """Leave the run as it is."""


@pytest.mark.parametrize(
    ("spoil", "options", "code", "message"),
    [
        (no_network, [], 1, "model.pt: missing"),
        (another_image, [], 1, "trained on (8, 8) px"),
        (damaged, [], 1, "not a network"),
        (nothing, ["--centre", "25", "3"], 2, "--centre 25 3: outside the image"),
        (nothing, ["--centre", "nan", "3"], 2, "outside the image"),
        (nothing, ["--scale", "1"], 2, "1 is not between 1.01 and 1000"),
        (nothing, ["--scale", "inf"], 2, "inf is not between"),
        (nothing, ["--times", "1"], 2, "1 is not between 2 and 10000"),
        (nothing, ["--times", "many"], 2, "many"),
        (nothing, ["--fps", "0"], 2, "0 is not between"),
        (nothing, ["--run", "sine"], 2, "is a single run"),
    ],
)
def test_bad_input_gets_one_clear_message(
    run: RunLayout,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[RunLayout], None],
    options: list[str],
    code: int,
    message: str,
) -> None:
    spoil(run)
    assert call("zoom", run.root, *options) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(run.root.glob("*zoom*"))


def test_a_sweep_without_networks_and_an_unknown_run_are_refused(
    sweep: SweepLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("zoom", sweep.root, "--run", "nothing-like-this") == 2
    assert "nothing-like-this" in capsys.readouterr().err
    for path in sweep.runs.rglob("model.pt"):
        path.unlink()
    assert call("zoom", sweep.root) == 1
    assert "none of 3 runs has its network" in capsys.readouterr().err
    shutil.rmtree(sweep.root)
    assert call("zoom", sweep.root) == 2


def test_starting_the_command_imports_no_torch() -> None:
    program = "import sys, postprocess.zoom; print({'torch'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
