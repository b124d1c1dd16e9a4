"""Read an image file as the start of a diffusion: grey, resized, scaled to [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from jaxtyping import Float
from skimage.color import rgb2gray, rgba2rgb
from skimage.data import camera
from skimage.transform import resize

from inr.config import MIN_SIDE
from inr.errors import UserError

BUILT_IN = "camera"


def load_image(image: str, size: int) -> Float[np.ndarray, "height width"]:
    """The image as float64 luminance, longer side ``size`` px, range exactly [-1, 1].

    Args:
        image: ``"camera"`` (the 512 x 512 photograph that ships with scikit-image) or the path of
            an 8- or 16-bit, float, grey or colour file. Colour becomes luminance, transparency is
            laid on white. Pillow reads 16-bit colour PNG at 8 bits; use TIFF to keep all 16.
        size: longer side after resizing, in px. Shrinking is anti-aliased.

    Raises:
        UserError: the file is missing, unreadable, empty, too narrow, constant, an animation, or
            has NaN or infinite pixels.
    """
    pixels = camera() if image == BUILT_IN else _read(image)
    grey = _luminance(pixels, image)
    if not np.isfinite(grey).all():
        bad = int((~np.isfinite(grey)).sum())
        raise UserError(f"{image}: {bad} pixels are NaN or infinite. Give an image without")
    if min(grey.shape) < 2:
        raise UserError(
            f"{image}: {_describe(grey.shape)}, too narrow to diffuse. Give at least 2 px each way"
        )
    resized = _resize(grey, size)
    if min(resized.shape) < MIN_SIDE:
        raise UserError(
            f"{image}: {_describe(grey.shape)} becomes {_describe(resized.shape)} at data.size "
            f"{size}; every side needs at least {MIN_SIDE} px. Raise data.size or crop the image"
        )
    low, high = resized.min(), resized.max()
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        raise UserError(
            f"{image}: constant, every pixel is {grey.flat[0]:g}. Give an image with contrast"
        )
    return np.asarray((resized - low) / (high - low) * 2 - 1)


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} px"


def _read(image: str) -> np.ndarray:
    # checked before imageio sees it: imageio would also take URLs and folders
    path = Path(image)
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise UserError(
            f"{image}: {what}. Give the path of an image file, or '{BUILT_IN}' for the built-in one"
        )
    if path.stat().st_size == 0:
        raise UserError(f"{image}: empty file. Give an image file")
    try:
        # from memory: on a failure imageio would leave the file open
        return np.asarray(iio.imread(path.read_bytes(), extension=path.suffix or ".png"))
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = " ".join(str(error).split())[:200].replace("`", "")
        if reason.startswith("Could not find a backend"):  # imageio speaks of its own parts
            reason = "no decoder knows its format"
        raise UserError(
            f"{image}: cannot be read as an image ({reason}). Give a PNG, JPEG, TIFF or the like"
        ) from error


def _luminance(pixels: np.ndarray, image: str) -> np.ndarray:
    """Grey values of a picture [row, column] or [row, column, channel] with 1 to 4 channels."""
    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim == 2:
        return pixels.astype(np.float64)
    channels = pixels.shape[-1]
    if pixels.ndim != 3 or channels > 4:
        raise UserError(
            f"{image}: {pixels.ndim}-dimensional, shape {pixels.shape}. Give one still image, "
            "not an animation or a stack"
        )
    if channels <= 2:
        grey = pixels[..., 0].astype(np.float64)
        if channels == 1:
            return grey
        white = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1.0
        alpha = pixels[..., 1] / white
        return np.asarray(grey * alpha + white * (1 - alpha))
    colour = rgba2rgb(pixels) if channels == 4 else pixels
    # float64 first: rgb2gray keeps float32 input at float32
    return np.asarray(rgb2gray(colour.astype(np.float64)))


def _resize(grey: np.ndarray, size: int) -> np.ndarray:
    scale = size / max(grey.shape)
    shape = tuple(max(1, round(side * scale)) for side in grey.shape)
    if shape == grey.shape:
        return grey
    return np.asarray(resize(grey, shape, order=1, mode="reflect", anti_aliasing=scale < 1))
