"""Decode a still picture of any common format to luminance, in memory near its decoded size.

Luminance is that of `skimage.color.rgb2gray`, 0.2125 R + 0.7154 G + 0.0721 B of the values as they
are stored: without gamma, and without a conversion by an ICC profile. CMYK and Lab become RGB
first. Transparency lies on white. The picture is turned upright as its EXIF, XMP or TIFF
orientation says.
"""

import itertools
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile
from skimage.color import rgb2gray

MAX_PIXELS = 2**28  # a 200-megapixel photograph passes; 1 GB as decoded RGB
_STACK = "more than one picture: an animation, pages, or a raw file. Give one still image"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ONE_PICTURE = ("MPO", "PSD")  # later frames: a depth or gain map of the photograph; layers

Rows = Callable[[int, int], np.ndarray]  # luminance of rows [from, to), float64


class StackError(ValueError):
    """A file of several pictures."""


def decode(path: Path, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Upright luminance, and the picture's full (H, W).

    A picture of at least twice ``side`` px comes reduced by a whole factor, its longer side at
    least ``side``, each pixel the mean of a box (of a JPEG: its low frequencies).

    Raises `StackError` for an animation or several pages, `Image.DecompressionBombError` for more
    than `MAX_PIXELS`, and whatever decoders raise on damaged files.
    """
    with _quiet():
        with path.open("rb") as file:
            is_tiff = file.read(4) in _TIFF
        grey, shape, orientation = (_decode_tiff if is_tiff else _decode)(path, side)
        if orientation in (5, 6, 7, 8):  # other numbers, and what is none, say nothing
            grey, shape = grey.T, shape[::-1]
        rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
        columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
        return np.ascontiguousarray(grey[rows, columns]), shape


@contextmanager
def _quiet() -> Iterator[None]:
    """Decoders neither warn nor log, and Pillow's limit is ours (it refuses twice its number)."""
    disabled, limit = logging.root.manager.disable, Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            logging.disable()
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
        logging.disable(disabled)


@contextmanager
def _mute_libtiff() -> Iterator[None]:
    """Without file descriptor 2: libtiff, inside Pillow, writes there about damaged files."""
    try:
        kept = os.dup(2)
    except OSError:  # closed: nothing to mute
        yield
        return
    with open(os.devnull, "wb") as null:  # noqa: PTH123 - a device
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _reduced(rows: Rows, shape: tuple[int, int], side: int) -> np.ndarray:
    """Means over boxes, as many px a side as leaves at least ``side``; a band at a time."""
    step = max(1, max(shape) // side)
    if step == 1:
        return rows(0, shape[0])
    # equal within a pixel: the last box is never a mere strip
    down, right = (np.arange(-(-length // step)) * length // -(-length // step) for length in shape)
    widths = np.diff(right, append=shape[1])
    bands = itertools.pairwise([*down.tolist(), shape[0]])
    return np.stack([np.add.reduceat(rows(a, b).mean(axis=0), right) / widths for a, b in bands])


def _decode(path: Path, side: int, page: int = 0) -> tuple[np.ndarray, tuple[int, int], int]:
    with Image.open(path) as picture:
        if picture.format == "TIFF":
            picture.seek(page)
        elif picture.format not in _ONE_PICTURE and getattr(picture, "is_animated", False):
            raise StackError(_STACK)
        width, height = picture.size
        step = max(1, max(picture.size) // side)
        if step > 1:
            picture.draft(None, (max(1, width // step), max(1, height // step)))
        transparent = _transparent(picture)
        picture.load()
        if transparent is not None:
            picture.info["transparency"] = transparent
        if picture.format == "ICO":  # only now does it know the size of what is inside
            width, height = picture.size
        grey = _reduced(partial(_pillow_rows, picture), picture.size[::-1], side)
        # of a TIFF, Pillow has turned the picture and dropped the tag
        return grey, (height, width), picture.getexif().get(ExifTags.Base.Orientation, 1)


def _transparent(picture: ImageFile.ImageFile) -> Any:
    """The transparent colour in the picture's own 8 bits: PNG gives it in the file's bits."""
    colour = picture.info.get("transparency")
    if picture.format != "PNG" or colour is None or not picture.tile:
        return colour
    packing = picture.tile[0][3]
    if packing in ("L;2", "L;4"):
        return colour * 255 // (2 ** int(packing[-1]) - 1)
    return tuple(each >> 8 for each in colour) if packing == "RGB;16B" else colour


def _pillow_rows(picture: Image.Image, top: int, bottom: int) -> np.ndarray:
    band = picture.crop((0, top, picture.width, bottom))
    if band.mode == "1":
        band = band.convert("L")
    if band.mode in ("L", "I", "F") or band.mode.startswith("I;16"):
        grey = np.asarray(band).astype(np.float64)
        if isinstance(transparent := band.info.get("transparency"), int):
            grey[grey == transparent] = 255 if band.mode == "L" else 65535
        return grey
    if band.mode in ("LA", "La"):
        grey, alpha = np.moveaxis(np.asarray(band.convert("LA")), -1, 0)
        return _on_white(grey, alpha, 255.0)
    if band.mode in ("HSV", "LAB", "YCbCr", "CMYK", "RGBX"):
        band = band.convert("RGB")
    if band.mode == "RGB" and "transparency" not in band.info:
        return _grey(np.asarray(band))
    pixels = np.asarray(band.convert("RGBA"))
    return _on_white(_grey(pixels[..., :3]), pixels[..., 3], 255.0)


def _grey(colour: np.ndarray) -> np.ndarray:
    # float64 first: rgb2gray keeps float32 at float32
    return np.asarray(rgb2gray(colour.astype(np.float64)))


def _on_white(
    grey: np.ndarray, alpha: np.ndarray, white: float, premultiplied: bool = False
) -> np.ndarray:
    opacity = alpha / white
    return (grey if premultiplied else grey * opacity) + white * (1 - opacity)


def _decode_tiff(path: Path, side: int) -> tuple[np.ndarray, tuple[int, int], int]:
    """By Pillow, or by tifffile where Pillow has fewer bits; by the other if that one fails."""
    from tifffile import TiffFile  # only now: no other format needs it

    with TiffFile(path) as file:
        pictures = (
            (index, page.aspage())
            for index, page in enumerate(file.pages)
            if not (page.aspage().is_reduced or page.aspage().is_mask)
        )
        # two at most: an index of pages may have a loop
        found = list(itertools.islice(pictures, 2)) or [(0, file.pages.first)]
        if len(found) > 1 or (found[0][1].is_reduced and found[0][1].subifds):
            raise StackError(_STACK)
        planes = zip(file.series[0].axes, file.series[0].shape, strict=True)
        if any(length > 1 for axis, length in planes if axis not in "YXS"):
            raise StackError(_STACK)
        index, page = found[0]
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise Image.DecompressionBombError
        readers = [partial(_decode, path, side, index), partial(_tifffile, page, side)]
        if page.bitspersample > 8 or page.sampleformat != 1:
            readers.reverse()
        with _mute_libtiff():
            try:
                return readers[0]()
            except Image.DecompressionBombError:
                raise
            except Exception:  # decoders raise whatever they like
                with suppress(Exception):
                    return readers[1]()
                raise


def _tifffile(page: Any, side: int) -> tuple[np.ndarray, tuple[int, int], int]:
    pixels = page.asarray()
    pixels = np.moveaxis(pixels, 0, -1) if page.axes.startswith("S") else pixels
    pixels = pixels if page.axes != "YX" else pixels[..., None]
    if pixels.ndim != 3:
        raise StackError(_STACK)
    kind = page.photometric.name
    colours = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}.get(kind)
    if colours is None:
        raise ValueError(f"photometric {kind} with these bits")
    alpha = page.extrasamples[0].value if pixels.shape[-1] > colours and page.extrasamples else 0
    if colours == 1 and pixels.shape[-1] > 1 and not alpha:
        raise ValueError(f"{pixels.shape[-1]} channels without a meaning")
    white = 1.0 if pixels.dtype.kind == "f" else float(2**page.bitspersample - 1)

    def rows(top: int, bottom: int) -> np.ndarray:
        band = pixels[top:bottom]
        grey = _grey(band[..., :3]) if colours == 3 else band[..., 0].astype(np.float64)
        grey = white - grey if kind == "MINISWHITE" else grey
        return _on_white(grey, band[..., colours], white, alpha == 1) if alpha else grey

    orientation = page.tags.valueof(ExifTags.Base.Orientation, 1)
    return _reduced(rows, pixels.shape[:2], side), pixels.shape[:2], orientation
