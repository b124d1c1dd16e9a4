"""Decode videos."""

import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np


def decode(path: Path) -> np.ndarray:
    """All pictures of a video as RGB bytes [picture, row, column, 3]."""
    # not imageio: its reader of videos leaves pipes open
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    reader.close()
    source = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    command = [*source, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def details(path: Path) -> dict[str, Any]:
    """What ffmpeg says of a video, with the number of its ``frames``."""
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    reader.close()
    return meta | {"frames": imageio_ffmpeg.count_frames_and_secs(str(path))[0]}
