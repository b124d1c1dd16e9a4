"""Read an image file as the start of a diffusion: grey, resized, scaled to [-1, 1]."""

import os
import stat
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize

from inr.config import BUILT_IN_IMAGES, MIN_SIDE
from inr.errors import UserError
from inr.targets.image_decoding import MAX_PIXELS, StackError, decode

# a file of at least twice so many px comes reduced: so many times what is wanted, never fewer
_SPARE, _LEAST = 4, 1024
_LEFT = 1e-3  # of the contrast, after resizing: less is what an anti-aliased fine pattern leaves


def load_image(image: str, size: int) -> Float[np.ndarray, "height width"]:
    """The image as float64 luminance, longer side ``size`` px, range exactly [-1, 1].

    ``image`` is one of `BUILT_IN_IMAGES`, or the path of a still picture: see
    `inr.targets.image_decoding`. 16 bits and floats are kept, but Pillow reads 16-bit colour PNG
    at 8 bits; use TIFF to keep all 16. Shrinking is anti-aliased.

    Raises `UserError` if the file is missing, unreadable, empty, too large, too narrow, constant,
    has nothing left at this size, is an animation, or has NaN or infinite pixels.
    """
    name = image if image.isprintable() else ascii(image)
    if image in BUILT_IN_IMAGES:
        picture = getattr(data, image)()
        grey = np.asarray(rgb2gray(picture) if picture.ndim == 3 else picture, dtype=np.float64)
        shape = grey.shape
    else:
        grey, shape = _read(image, name, size)
    if not np.isfinite(grey).all():
        bad = int((~np.isfinite(grey)).sum())
        raise UserError(f"{name}: {bad} pixels are NaN or infinite. Give an image without")
    if min(shape) < 2:
        raise UserError(
            f"{name}: {_describe(shape)}, too narrow to diffuse. Give at least 2 px each way"
        )
    scale = size / max(shape)
    height, width = (max(1, round(side * scale)) for side in shape)
    if min(height, width) < MIN_SIDE:
        raise UserError(
            f"{name}: {_describe(shape)} becomes {_describe((height, width))} at data.size "
            f"{size}; every side needs at least {MIN_SIDE} px. Raise data.size or crop the image"
        )
    contrast = np.ptp(grey)
    if contrast <= 1e-9 * np.abs(grey).max():
        raise UserError(
            f"{name}: constant, every pixel is {grey.flat[0]:g}. Give an image with contrast"
        )
    grey = _resize(grey, shape, (height, width))
    low, high = grey.min(), grey.max()
    if high - low <= _LEFT * contrast:
        raise UserError(
            f"{name}: nothing is left of the image at data.size {size}: its pattern is finer than "
            "the pixels. Raise data.size, or give an image with larger structures"
        )
    return np.asarray((grey - low) / (high - low) * 2 - 1)


def _resize(grey: np.ndarray, shape: tuple[int, int], wanted: tuple[int, int]) -> np.ndarray:
    """To [``wanted``], blurred as if at once from ``shape``, of which ``grey`` is means over boxes.

    A box of k px is a blur of variance (k^2 - 1) / 12 px^2.
    """
    if grey.shape == wanted:
        return grey
    factors = np.maximum(1, np.divide(shape, wanted))
    boxes = np.divide(shape, grey.shape)
    sigma = np.sqrt(((factors - 1) / 2) ** 2 - (boxes**2 - 1) / 12) / boxes
    shrinks = max(wanted) < max(grey.shape)
    smooth = {"anti_aliasing": shrinks, "anti_aliasing_sigma": sigma if shrinks else None}
    return np.asarray(resize(grey, wanted, order=1, mode="reflect", **smooth))


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} px"


def _read(image: str, name: str, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    _check_file(image, name)
    try:
        return decode(Path(image), max(_SPARE * size, _LEAST))
    except StackError as error:
        raise UserError(f"{name}: {error}") from None
    except Image.DecompressionBombError:
        raise UserError(
            f"{name}: too large, at most {MAX_PIXELS:,} pixels (16,384 x 16,384) are read. "
            "Shrink or crop the image"
        ) from None
    except UnidentifiedImageError:
        reason = "no decoder knows its format"
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = getattr(error, "strerror", None) or f"{error}" or type(error).__name__
        reason = " ".join(reason.split())[:200].replace("`", "")
    raise UserError(
        f"{name}: cannot be read as an image ({reason}). Give a PNG, JPEG, TIFF or the like"
    )


def _check_file(image: str, name: str) -> None:
    """Raise `UserError` unless it is a regular file: a pipe would be waited for."""
    try:
        status = os.stat(image)  # noqa: PTH116 - a path with a NUL is a ValueError for both
    except (FileNotFoundError, NotADirectoryError):
        problem = "does not exist"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    else:
        if stat.S_ISREG(status.st_mode):
            if status.st_size == 0:
                raise UserError(f"{name}: empty file. Give an image file")
            return
        problem = "is a directory" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
    raise UserError(
        f"{name}: {problem}. Give the path of an image file, or a built-in "
        f"one: {', '.join(BUILT_IN_IMAGES)}"
    )
