"""The image sequence of each protocol: where it is given, what is wanted there, what is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from inr.config import DataConfig, Protocol, RunConfig
from inr.errors import UserError
from inr.metrics import Similarity, true_range_similarity
from inr.quantities import Fields
from inr.targets import published_protocol
from inr.targets.coordinates import COORDINATES
from inr.targets.heat_equation import Diffusion
from inr.targets.image_file import load_image


@dataclass(frozen=True)
class ImageSequence:
    """An image sequence to learn, and the truth behind it.

    Attributes:
        shape: (H, W), px.
        target: what is wanted at the pixels of the frames.
        exact: (x, y, times) of any grid -> exact fields there, in the network's coordinates.
        kappa: of u_t = kappa (u_xx + u_yy), in the network's coordinates.
        similarity: of two pictures of the frames.
    """

    shape: tuple[int, int]
    target: Fields
    exact: Callable[[np.ndarray, np.ndarray, np.ndarray], Fields]
    kappa: float
    similarity: Similarity


def make_sequence(config: RunConfig) -> ImageSequence:
    """The sequence of a run. Raises `UserError` if its image cannot be used."""
    return _SEQUENCES[config.training.protocol](config.data)


def check_sequence(config: RunConfig) -> None:
    """Raise `UserError` if the image of a run cannot be used, without making the sequence."""
    if config.training.protocol == "corrected":
        Diffusion.from_config(config.data)
    else:
        _grey_levels(config.data)


def _corrected(data: DataConfig) -> ImageSequence:
    diffusion = Diffusion.from_config(data)
    times = COORDINATES["corrected"].frame_times(data.frames)
    return ImageSequence(
        shape=diffusion.shape,
        target=diffusion.on_pixels(times),
        exact=diffusion.on_grid,
        kappa=diffusion.kappa,
        similarity=true_range_similarity,
    )


def _grey_levels(data: DataConfig) -> np.ndarray:
    levels = published_protocol.to_grey_levels(load_image(data.image, data.size))
    height, width = levels.shape
    if height != width:
        raise UserError(
            f"{data.image}: {width} x {height} px, but training.protocol original needs a square "
            "image. Crop it, or set training.protocol to corrected"
        )
    return levels


def _original(data: DataConfig) -> ImageSequence:
    levels = _grey_levels(data)
    height, width = levels.shape
    return ImageSequence(
        shape=(height, width),
        target=published_protocol.targets(published_protocol.euler_frames(levels, data.frames)),
        exact=partial(
            published_protocol.exact_fields, published_protocol.exact_diffusion(levels, data.frames)
        ),
        kappa=published_protocol.kappa((height, width)),
        similarity=published_protocol.similarity,
    )


_SEQUENCES: dict[Protocol, Callable[[DataConfig], ImageSequence]] = {
    "corrected": _corrected,
    "original": _original,
}
