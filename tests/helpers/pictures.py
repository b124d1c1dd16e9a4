"""A picture in colour, grey and with alpha, and what reading its files must give."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from skimage.data import astronaut

from inr.targets.image_file import load_image

COLOUR = astronaut()[0:384:8, 100:356:8]  # 48 x 32, alike in no orientation
HEIGHT, WIDTH, SIZE = 48, 32, 48
RGB = np.array([0.2125, 0.7154, 0.0721])
GREY = np.round(COLOUR @ RGB).astype(np.uint8)
ALPHA = np.clip(np.indices((HEIGHT, WIDTH)).sum(0) * 6 - 100, 0, 255).astype(np.uint8)


def scaled(pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels, dtype=float)
    return (pixels - pixels.min()) / np.ptp(pixels) * 2 - 1


def by_pillow(path: Path) -> np.ndarray:
    """Upright luminance on white, by Pillow's own conversions."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file)
    if picture.mode[0] in "IF":
        return np.asarray(picture).astype(float)
    picture = picture.convert({"La": "LA", "LAB": "RGB", "HSV": "RGB"}.get(picture.mode, "RGBA"))
    white = Image.new("RGBA", picture.size, "white")
    pixels = np.asarray(picture.convert("RGBA")).astype(float)
    alpha = pixels[..., 3:] / 255
    return (pixels[..., :3] * alpha + np.asarray(white)[..., :3] * (1 - alpha)) @ RGB


def agree(path: Path, expected: np.ndarray | None = None, atol: float = 1e-6) -> None:
    expected = by_pillow(path) if expected is None else expected
    np.testing.assert_allclose(load_image(str(path), SIZE), scaled(expected), atol=atol)


def png(bits: int, colour: int, rows: list[bytes], chunks: dict[bytes, bytes]) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, 0)
    body = b"".join(b"\0" + row for row in rows)
    parts = [chunk(b"IHDR", head), *(chunk(*each) for each in chunks.items())]
    end = [chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts + end)
