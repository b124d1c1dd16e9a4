"""Image files of every kind become the same start of a diffusion; bad ones are refused."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, camera

from inr.errors import UserError
from inr.targets.image_file import load_image

GREY = camera()[::8, ::8]  # 64 x 64
COLOUR = astronaut()[::8, ::8]


def write(path: Path, pixels: np.ndarray) -> str:
    iio.imwrite(path, pixels)
    return str(path)


def scaled(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.astype(float)
    return (pixels - pixels.min()) / np.ptp(pixels) * 2 - 1


LUMINANCE = COLOUR @ np.array([0.2125, 0.7154, 0.0721])
SAME = [
    pytest.param("grey8.png", GREY, GREY, id="8-bit grey PNG"),
    pytest.param("grey16.png", GREY.astype(np.uint16) * 257, GREY, id="16-bit grey PNG"),
    pytest.param("grey16.tif", GREY.astype(np.uint16) * 257, GREY, id="16-bit grey TIFF"),
    pytest.param("float.tif", GREY.astype(np.float32) / 7, GREY, id="float TIFF"),
    pytest.param("colour8.png", COLOUR, LUMINANCE, id="8-bit colour PNG"),
    pytest.param("colour16.tif", COLOUR.astype(np.uint16) * 257, LUMINANCE, id="16-bit colour"),
    pytest.param("wide.png", GREY[10:40], GREY[10:40], id="non-square"),
    pytest.param(
        "opaque.png",
        np.dstack([COLOUR, np.full(COLOUR.shape[:2], 255, np.uint8)]),
        LUMINANCE,
        id="opaque alpha",
    ),
]


@pytest.mark.parametrize(("name", "pixels", "expected"), SAME)
def test_kinds_of_files(
    name: str, pixels: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    loaded = load_image(write(tmp_path / name, pixels), size=64)
    assert loaded.dtype == np.float64
    np.testing.assert_allclose(loaded, scaled(expected), atol=1e-6)


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    half = np.full((64, 64), 255, np.uint8)
    half[:, :32] = 0
    path = tmp_path / "grey_alpha.png"
    Image.fromarray(np.dstack([GREY, half]), mode=None).save(path)
    loaded = load_image(str(path), 64)
    assert (loaded[:, :32] == loaded.max()).all()


def test_jpeg_and_palette_images_open(tmp_path: Path) -> None:
    assert load_image(write(tmp_path / "a.jpg", COLOUR), 32).shape == (32, 32)
    palette = tmp_path / "palette.png"
    Image.fromarray(COLOUR).quantize(256).save(palette)
    assert np.corrcoef(load_image(str(palette), 64).ravel(), LUMINANCE.ravel())[0, 1] > 0.98


def test_built_in_image_fills_the_range() -> None:
    image = load_image("camera", 128)
    assert image.shape == (128, 128)
    assert (image.min(), image.max()) == (-1, 1)


def test_longer_side_gets_the_size_and_the_aspect_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "wide.png", camera()[:256])
    assert load_image(path, 100).shape == (50, 100)
    assert load_image(path, 700).shape == (350, 700)


def test_shrinking_does_not_alias(tmp_path: Path) -> None:
    rows, columns = np.indices((256, 256))
    stripes = ((columns // 2 % 2) * 200 + rows // 8).astype(np.uint8)  # a period of 4 px
    small = load_image(write(tmp_path / "stripes.png", stripes), 48)
    # aliased stripes would swing between neighbouring columns over the whole range
    assert np.abs(np.diff(small[10:-10, 10:-10], axis=1)).max() < 0.25


def _nan_pixel() -> np.ndarray:
    pixels = GREY.astype(np.float32)
    pixels[3, 4] = np.nan
    return pixels


BAD_PIXELS = {
    "one pixel wide.png": GREY[:, :1],
    "narrow.png": GREY[:, :4],
    "constant.png": np.full((64, 64), 7, np.uint8),
    "nan.tif": _nan_pixel(),
    "animation.gif": np.stack([GREY, GREY[::-1]]),
    "truncated.png": GREY,
}


def bad(folder: Path, name: str) -> str:
    path = folder / name
    if name in BAD_PIXELS:
        iio.imwrite(path, BAD_PIXELS[name])
    if name == "truncated.png":
        path.write_bytes(path.read_bytes()[:300])
    elif name == "directory":
        path.mkdir()
    elif name in ("empty.png", "text.png"):
        path.write_text("not an image" if name == "text.png" else "")
    return str(path)


BAD = [
    ("missing.png", "does not exist"),
    ("directory", "is a directory"),
    ("empty.png", "empty file"),
    ("text.png", "cannot be read as an image"),
    ("truncated.png", "cannot be read as an image"),
    ("one pixel wide.png", "1 x 64 px, too narrow"),
    ("narrow.png", "every side needs at least 12 px"),
    ("constant.png", "constant, every pixel is 7"),
    ("nan.tif", "1 pixels are NaN"),
    ("animation.gif", "one still image"),
]


@pytest.mark.parametrize(("name", "message"), BAD, ids=[name for name, _ in BAD])
def test_bad_images_are_refused_with_a_reason(name: str, message: str, tmp_path: Path) -> None:
    path = bad(tmp_path, name)
    with pytest.raises(UserError, match=message) as caught:
        load_image(path, 64)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)
