"""Files of many modes, orientations, compressions and depths against Pillow's own luminance."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from inr.errors import UserError
from inr.targets.image_file import load_image
from tests.helpers.pictures import ALPHA, COLOUR, GREY, RGB, SIZE, agree, by_pillow, png


def of_mode(mode: str) -> Image.Image:
    picture = Image.fromarray(COLOUR)
    if mode == "LAB":
        return Image.frombytes(mode, picture.size, picture.tobytes())
    if mode in ("LA", "RGBA"):
        picture = picture.convert(mode)
        picture.putalpha(Image.fromarray(ALPHA))
        return picture
    if mode == "P":
        return picture.quantize(64)
    if mode == "I;16":
        return Image.fromarray(GREY.astype(np.uint16) * 200 + 7)
    if mode == "I":
        return Image.fromarray(GREY.astype(np.int32) * 20000)
    if mode == "F":
        return Image.fromarray(GREY.astype(np.float32) / 7)
    return picture.convert(mode)


MODES = {
    "png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "jpg": ["L", "RGB", "CMYK", "YCbCr"],
    "tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "YCbCr", "I;16", "I", "F"],
    "webp": ["RGB", "RGBA"],
    "avif": ["RGB", "RGBA"],
    "gif": ["1", "L", "P"],
    "bmp": ["1", "L", "P", "RGB"],
    "jp2": ["L", "LA", "RGB", "RGBA"],
    "tga": ["L", "LA", "P", "RGB", "RGBA"],
    "ppm": ["1", "L", "RGB"],
}


@pytest.mark.parametrize(
    ("mode", "kind"), [(mode, kind) for kind, modes in MODES.items() for mode in modes]
)
def test_modes(mode: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    of_mode(mode).save(path)
    agree(path)


@pytest.mark.parametrize("orientation", range(11))  # 0, 9 and 10 mean nothing
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "avif", "tif", "deep.tif"])
def test_orientations(kind: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "deep.tif":
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, COLOUR.astype(np.uint16) * 257, photometric="rgb", extratags=[tag])
        upright = tmp_path / "upright.png"
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(COLOUR).save(upright, exif=exif)
        agree(path, by_pillow(upright))
        return
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(COLOUR).save(path, exif=exif)
    agree(path)
    assert load_image(str(path), SIZE).shape == ((32, 48) if 5 <= orientation <= 8 else (48, 32))


COMPRESSIONS = [
    *[("RGB", each) for each in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")],
    *[("RGB", each) for each in ("zstd", "lzma", "tiff_deflate")],
    *[("L", each) for each in ("tiff_lzw", "jpeg", "zstd")],
    *[("1", each) for each in ("group3", "group4", "tiff_ccitt", "packbits")],
]


@pytest.mark.parametrize(("mode", "compression"), COMPRESSIONS)
def test_compressions(mode: str, compression: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    of_mode(mode).save(path, compression=compression)
    agree(path)


DEEP: dict[str, tuple[Any, dict[str, Any]]] = {
    "16-bit colour": (COLOUR.astype(np.uint16) * 255 + 3, {"photometric": "rgb"}),
    "planar": (
        np.moveaxis(COLOUR, -1, 0).copy(),
        {"photometric": "rgb", "planarconfig": "separate"},
    ),
    "planar, 16 bits, LZW": (
        np.moveaxis(COLOUR.astype(np.uint16) * 9, -1, 0).copy(),
        {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"},
    ),
    "tiles": (COLOUR, {"photometric": "rgb", "tile": (16, 16), "compression": "deflate"}),
    "tiles, 16 bits, ZSTD": (
        COLOUR.astype(np.uint16) * 9,
        {"photometric": "rgb", "tile": (16, 16), "compression": "zstd"},
    ),
    "predictor": (COLOUR, {"photometric": "rgb", "compression": "lzw", "predictor": 2}),
    "16 bits, predictor": (
        GREY.astype(np.uint16) * 9,
        {"compression": "deflate", "predictor": 2},
    ),
    "float predictor": (
        GREY.astype(np.float32) / 9,
        {"compression": "deflate", "predictor": 3},
    ),
    "BigTIFF": (GREY, {"bigtiff": True}),
    "BigTIFF, 16 bits, big endian": (
        GREY.astype(np.uint16) * 9,
        {"bigtiff": True, "byteorder": ">"},
    ),
    "big endian float": (GREY.astype(np.float32) / 9, {"byteorder": ">"}),
    "2 bits": (GREY // 64, {"bitspersample": 2}),
    "4 bits": (GREY // 16, {"bitspersample": 4}),
    "4 bits, colour": (COLOUR // 16, {"bitspersample": 4, "photometric": "rgb"}),
    "12 bits": (GREY.astype(np.uint16) * 16, {"bitspersample": 12}),
    "12 bits, colour": (
        COLOUR.astype(np.uint16) * 16,
        {"bitspersample": 12, "photometric": "rgb"},
    ),
    "32 bits": (GREY.astype(np.uint32) * 16_000_000, {}),
    "signed 8 bits": ((GREY.astype(int) - 128).astype(np.int8), {}),
    "signed 16 bits": ((GREY.astype(int) * 99 - 12000).astype(np.int16), {}),
    "float16": (GREY.astype(np.float16), {}),
    "float64": (GREY + 1e9, {}),
    "float colour": (COLOUR.astype(np.float32) / 255, {"photometric": "rgb"}),
    "JPEG": (GREY, {"compression": "jpeg", "compressionargs": {"level": 100}}),
    "WebP": (COLOUR, {"photometric": "rgb", "compression": "webp"}),
    "LERC": (GREY.astype(np.float32), {"compression": "lerc"}),
}


@pytest.mark.parametrize("name", DEEP)
def test_tiff_keeps_its_bits(name: str, tmp_path: Path) -> None:
    pixels, options = DEEP[name]
    path = tmp_path / "a.tif"
    options = {"photometric": "minisblack"} | options
    tifffile.imwrite(path, pixels, **options)
    if options.get("planarconfig"):
        pixels = np.moveaxis(pixels, 0, -1)
    lossy = name in ("JPEG", "WebP")
    agree(path, pixels @ RGB if pixels.ndim == 3 else pixels, atol=0.1 if lossy else 1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_white_is_zero(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY.astype(kind), photometric="miniswhite")
    agree(path, -GREY.astype(float))


@pytest.mark.parametrize("premultiplied", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_alpha_of_tiff(kind: type, premultiplied: bool, tmp_path: Path) -> None:
    white = {np.uint8: 255.0, np.uint16: 65535.0, np.float32: 1.0}[kind]
    alpha = ALPHA[..., None] / 255
    stored = COLOUR / 255 * (alpha if premultiplied else 1)
    pixels = (np.concatenate([stored, alpha], axis=-1) * white).astype(kind)
    path = tmp_path / "a.tif"
    extra = ["assocalpha" if premultiplied else "unassalpha"]
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=extra)
    expected = (COLOUR / 255 * alpha + 1 - alpha) @ RGB
    agree(path, expected, atol=0.02 if kind == np.uint8 else 1e-3)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparent_grey(bits: int, tmp_path: Path) -> None:
    """The darkest grey is transparent: it lies on white."""
    top = 2**bits - 1
    levels = np.round(GREY / 255 * top).astype(int)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in levels]
    else:
        unpacked = (levels[..., None] >> np.arange(bits)[::-1]) & 1
        rows = [np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in unpacked]
    hidden = int(levels[20, 10])
    path = tmp_path / "a.png"
    path.write_bytes(png(bits, 0, rows, {b"tRNS": struct.pack(">H", hidden)}))
    expected = np.where(levels == hidden, top, levels)
    if np.ptp(expected) == 0:
        with pytest.raises(UserError, match="constant"):
            load_image(str(path), SIZE)
    else:
        agree(path, expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_colour(bits: int, tmp_path: Path) -> None:
    kind, factor = (">u1", 1) if bits == 8 else (">u2", 257)
    rows = [(row.astype(int) * factor).astype(kind).tobytes() for row in COLOUR]
    hidden = COLOUR[20, 10]
    path = tmp_path / "a.png"
    key = struct.pack(">HHH", *(hidden.astype(int) * factor).tolist())
    path.write_bytes(png(bits, 2, rows, {b"tRNS": key}))
    clear = (hidden == COLOUR).all(-1, keepdims=True)
    agree(path, np.where(clear, 255, COLOUR) @ RGB)


def test_transparent_palette(tmp_path: Path) -> None:
    picture = Image.fromarray(COLOUR).quantize(64)
    for name, transparency in [("one.png", 3), ("each.png", bytes(range(0, 256, 4))), ("a.gif", 3)]:
        picture.save(tmp_path / name, transparency=transparency)
        agree(tmp_path / name)
        assert (
            by_pillow(tmp_path / name) != by_pillow(tmp_path / "one.png")
        ).any() or name != "each.png"
