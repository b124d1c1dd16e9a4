"""Files of several pictures, large ones, truncated ones, and paths that are no pictures."""

import io
import logging
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.data import astronaut
from skimage.transform import resize

from inr.errors import UserError
from inr.targets.image_file import load_image
from tests.helpers.pictures import COLOUR, GREY, RGB, SIZE, agree, png, scaled


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tif", "avif"])
def test_one_frame_is_a_picture_and_two_are_not(kind: str, tmp_path: Path) -> None:
    picture = Image.fromarray(GREY)
    still, moving = tmp_path / f"still.{kind}", tmp_path / f"moving.{kind}"
    picture.save(still, save_all=True)
    agree(still)
    picture.save(moving, save_all=True, append_images=[picture.rotate(180)])
    with pytest.raises(UserError, match="more than one picture"):
        load_image(str(moving), SIZE)


def test_a_thumbnail_or_a_gain_map_is_no_second_picture(tmp_path: Path) -> None:
    picture = Image.fromarray(COLOUR)
    picture.save(tmp_path / "a.mpo", save_all=True, append_images=[picture.resize((16, 24))])
    agree(tmp_path / "a.mpo")
    for first in (True, False):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for small in (first, not first):
                pixels = COLOUR[::2, ::2] if small else COLOUR
                file.write(pixels, photometric="rgb", subfiletype=int(small), metadata=None)
        agree(tmp_path / "a.tif", COLOUR @ RGB)


def test_a_thumbnail_is_not_taken_for_a_raw_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    with tifffile.TiffWriter(path) as file:
        file.write(COLOUR[::2, ::2], photometric="rgb", subifds=1, subfiletype=1)
        file.write(GREY.astype(np.uint16), photometric=32803)  # a colour filter array
    with pytest.raises(UserError, match="raw file"):
        load_image(str(path), SIZE)


def test_a_stack_behind_one_page_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY, GREY]), imagej=True)
    with pytest.raises(UserError, match="more than one picture"):
        load_image(str(tmp_path / "a.tif"), SIZE)


LARGE: dict[str, Callable[[Image.Image, Path], None]] = {
    "jpg": lambda picture, path: picture.save(path, quality=95),
    "png": lambda picture, path: picture.save(path, compress_level=1),
    "8.tif": lambda picture, path: picture.save(path),
    "16.tif": lambda picture, path: tifffile.imwrite(
        path, np.asarray(picture).astype(np.uint16), photometric="rgb"
    ),
}


@cache
def large() -> tuple[Image.Image, np.ndarray]:
    """A picture of 12 megapixels, and its luminance resized at once."""
    picture = Image.fromarray(astronaut()).resize((2999, 4111))
    grey = np.asarray(picture).astype(float) @ RGB
    return picture, resize(grey, (64, 47), order=1, anti_aliasing=True)


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_picture_comes_out_as_if_resized_at_once(kind: str, tmp_path: Path) -> None:
    picture, exact = large()
    path = tmp_path / f"a.{kind}"
    LARGE[kind](picture, path)
    assert np.abs(load_image(str(path), 64) - scaled(exact)).max() < 0.03


def test_the_limit_is_named_and_below_it_nobody_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    rows = np.zeros((9600, 1200), np.uint8)
    rows[:5000] = 255
    large = Image.frombytes("1", (9600, 9600), rows.tobytes())  # Pillow warns of it
    large.save(tmp_path / "large.png")
    with caplog.at_level(logging.DEBUG):
        assert load_image(str(tmp_path / "large.png"), 16)[0, 0] == pytest.approx(1)
    assert not caplog.records
    for name in ("huge.png", "huge.tif"):
        if name == "huge.png":
            data = png(8, 0, [], {})
            head = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
            check = struct.pack(">I", zlib.crc32(b"IHDR" + head))
            (tmp_path / name).write_bytes(data[:16] + head + check + data[33:])
        else:
            stream = io.BytesIO()
            Image.new("1", (20000, 20000)).save(stream, "TIFF", compression="group4")
            (tmp_path / name).write_bytes(stream.getvalue())
        with pytest.raises(UserError, match=r"at most 268,435,456 pixels .* are read. Shrink"):
            load_image(str(tmp_path / name), 16)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "deep.tif", "webp", "gif", "avif"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_files(kind: str, share: float, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "deep.tif":
        tifffile.imwrite(path, COLOUR.astype(np.uint16), photometric="rgb", compression="lzw")
    else:
        options = {"compression": "tiff_lzw"} if kind == "tif" else {}
        Image.fromarray(COLOUR).save(path, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match="cannot be read as an image") as caught:
        load_image(str(path), SIZE)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def odd_paths(folder: Path) -> dict[str, str]:
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "file").write_text("x")
    return {
        "pipe": f"{folder}/pipe.png",
        "device": "/dev/zero",
        "loop": f"{folder}/loop.png",
        "inside a file": f"{folder}/file/a.png",
        "too long": f"{folder}/{'a' * 300}.png",
        "NUL": f"{folder}/a\0.png",
        "line break": f"{folder}/a\nb.png",
    }


@pytest.mark.parametrize(
    "name", ["pipe", "device", "loop", "inside a file", "too long", "NUL", "line break"]
)
def test_odd_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_image(odd_paths(tmp_path)[name], 64)
    assert str(caught.value).isprintable()
