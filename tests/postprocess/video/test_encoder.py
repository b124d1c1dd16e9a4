"""Files that play, or one clear message."""

import numpy as np
import pytest

from inr.errors import UserError
from postprocess.video.encoder import encode
from tests.helpers.film import details


def test_a_failure_of_ffmpeg_is_reported(tmp_path):
    frames = [np.zeros((15, 15, 4), np.uint8)] * 2  # H.264 with yuv420p needs even sides
    with pytest.raises(UserError, match=r"ffmpeg failed.*: "):
        encode(frames, 2, 4.0, {"mp4": tmp_path / "odd.mp4", "gif": tmp_path / "odd.gif"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    frames = [np.zeros((16, 16, 4), np.uint8)] * 2
    with pytest.raises(UserError, match=r"no\.mp4: cannot be written"):
        encode(frames, 2, 4.0, {"mp4": tmp_path / "file" / "no.mp4"})


def test_a_long_gif_is_thinned_but_takes_as_long(tmp_path):
    frames = (np.full((16, 16, 4), i % 256, np.uint8) for i in range(400))
    encode(frames, 400, 20.0, {"gif": tmp_path / "long.gif"})
    found = details(tmp_path / "long.gif")
    assert found["frames"] <= 150
    assert found["duration"] == pytest.approx(20 + 1, abs=0.5)
