"""Videos: the right pictures, in files that play."""

from pathlib import Path

import h5py
import imageio.v3 as iio
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from inr.results import ResultsError, open_run
from inr.storage.paths import SweepLayout
from postprocess.dataset.run_frames import RunFrames, blur
from postprocess.video.canvas import BAD
from postprocess.video.run_video import draw_frames, lay_out
from tests.helpers.film import details
from tests.helpers.synthetic import call, grid, make_config, write_run, write_sweep

FRAMES = {"data__frames": [3], "data__size": [16]}
NAME = "1_0_0_0/sine_uniform_1e-4"


@pytest.fixture
def sweep(tmp_path: Path) -> SweepLayout:
    return write_sweep(
        tmp_path / "sweep", grid(model__activation=["sine", "elu"], **FRAMES), shape=(12, 16)
    )


def test_videos_play_in_browsers_and_are_made_once(sweep, capsys):
    assert call("videos", sweep.root, "--fps", "5") == 0
    assert "wrote 4 files" in capsys.readouterr().out
    mp4 = sweep.videos / f"{NAME}.mp4"
    found = details(mp4)
    assert (found["codec"], found["fps"], found["frames"]) == ("h264", 5, 3)
    assert found["pix_fmt"].startswith("yuv420p")
    assert not any(side % 2 for side in found["size"])
    data = mp4.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # +faststart
    gif = (sweep.videos / f"{NAME}.gif").read_bytes()
    assert gif.startswith(b"GIF89a")
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in gif  # loops for ever
    assert len(iio.imread(sweep.videos / f"{NAME}.gif")) == 3

    before = mp4.stat().st_mtime_ns
    assert call("videos", sweep.root) == 0
    assert "kept 4 up-to-date files" in capsys.readouterr().out
    assert mp4.stat().st_mtime_ns == before
    assert call("videos", sweep.root, "--force", "--run", "sine", "--format", "mp4") == 0
    assert "wrote 1 file " in capsys.readouterr().out
    assert mp4.stat().st_mtime_ns > before
    assert not list(sweep.videos.rglob(".*"))


def test_pictures_show_target_above_network_on_one_scale(tmp_path):
    config = make_config(data__frames=3, data__size=16)
    write_run(tmp_path / "run.h5", config, shape=(16, 16))
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        target = file["frames/value/target"][:]
        file["frames/value/prediction"][:] = target  # a perfect network
        file["frames/gradient/prediction"][:] = 0.0  # and a flat one
    with open_run(tmp_path / "run.h5") as file:
        frames = RunFrames(file)
        pictures = [picture.copy() for picture in draw_frames([frames], "name")]
        errors = {c.quantity: frames.error(c, 0) for c in frames.columns}
    layout = lay_out((16, 16))
    assert pictures[0].shape == (layout.size[1], layout.size[0], 4)
    for picture in pictures:
        above, below = (picture[layout.panel(0, row)] for row in (0, 1))
        np.testing.assert_array_equal(above, below)
        flat = picture[layout.panel(1, 1)].reshape(-1, 4)
        assert len(np.unique(flat, axis=0)) == 1
    assert not np.array_equal(pictures[0], pictures[1])
    grey = pictures[0][layout.panel(0, 0)][::20, ::20, 0].astype(float)
    assert np.corrcoef(grey.ravel(), _enlarge(target[0], grey.shape).ravel())[0, 1] > 0.95
    assert errors["value"] == 0
    assert errors["gradient"] > 0.5


def _enlarge(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = (np.arange(n) * m // n for n, m in zip(shape, picture.shape, strict=True))
    return picture[rows][:, columns]


def test_scales_come_from_the_target_and_signed_ones_are_symmetric(tmp_path):
    write_run(tmp_path / "run.h5", make_config(data__frames=3), shape=(16, 16))
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file["frames/laplacian/prediction"][:] = 1e9
        values = file["frames/value/target"][:]
    with open_run(tmp_path / "run.h5") as file:
        value, gradient, laplacian, time_derivative = RunFrames(file).columns
    assert (value.low, value.high) == (values.min(), values.max())
    assert gradient.low == 0 < gradient.high
    assert laplacian.high == -laplacian.low < 1e6
    assert time_derivative.high == -time_derivative.low


def test_frames_that_are_not_finite_have_a_colour_of_their_own(tmp_path):
    config = make_config(data__frames=3)
    write_run(tmp_path / "run.h5", config, status="diverged", shape=(16, 16))
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file["frames/laplacian/prediction"][-1] = np.inf
    with open_run(tmp_path / "run.h5") as file:
        *_, last = draw_frames([RunFrames(file)], "name")
        bad = np.round(np.array(to_rgb(BAD)) * 255)
        for column in range(4):
            box = last[lay_out((16, 16)).panel(column, 1)]
            assert (box[..., :3] == bad).all()


def test_a_target_that_is_not_finite_is_refused(tmp_path):
    write_run(tmp_path / "run.h5", make_config(data__frames=3), shape=(16, 16))
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file["frames/laplacian/target"][0, 3, 3] = np.nan
    with pytest.raises(ResultsError, match="target is not finite"):  # noqa: SIM117
        with open_run(tmp_path / "run.h5") as file:
            RunFrames(file)


def test_blur_is_linear_in_diffusion_time():
    assert blur(-1, 0.7, 4) == pytest.approx(0.7)
    assert blur(1, 0.7, 4) == pytest.approx(4)
    assert blur(0, 0, 4) ** 2 / 2 == pytest.approx(4)  # half of 4^2 / 2


@pytest.mark.parametrize("key", ["frames/value/target", "frames/time"])
def test_a_run_without_frames_is_named_and_the_others_filmed(sweep, capsys, key):
    with h5py.File(sweep.run(NAME).results, "r+") as file:
        del file[key]
    assert call("videos", sweep.root, "--format", "gif") == 0
    said = capsys.readouterr().out
    assert f"left out {NAME}" in said
    assert "wrote 1 file " in said
    assert call("videos", sweep.root, "--run", "sine") == 1
    assert "frames" in capsys.readouterr().err


def test_frames_of_the_wrong_shape_are_refused(tmp_path):
    write_run(tmp_path / "run.h5", make_config(data__frames=3), shape=(16, 16))
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        del file["frames/gradient/target"]
        file["frames/gradient/target"] = np.zeros((3, 16, 16), "float32")
    with pytest.raises(ResultsError, match="frames/gradient/target has shape"):  # noqa: SIM117
        with open_run(tmp_path / "run.h5") as file:
            RunFrames(file)


def test_a_run_that_does_not_exist_is_refused(sweep, capsys):
    assert call("videos", sweep.root, "--run", "nothing-like-this") == 2
    assert "nothing-like-this" in capsys.readouterr().err


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "fast", "1e9"])
def test_impossible_frame_rates_are_refused(sweep, capsys, fps):
    assert call("videos", sweep.root, f"--fps={fps}") == 2
    assert fps in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(12, 12), (11, 40), (40, 11), (13, 200), (200, 13)])
def test_layout_adapts_to_the_image(shape):
    layout = lay_out(shape)
    width, height = layout.size
    assert width % 2 == height % 2 == 0
    assert 700 <= width <= 1400
    assert 300 <= height <= 1200
