"""Three images that are no photographs: text, noise of a known spectrum, a smooth field.

Noise and smooth field are cosine series on the unit square, with N = 64 pixels a side,

    u_ij = sum_kl a_kl cos(pi k (j + 1/2) / N) cos(pi l (i + 1/2) / N),

a_kl normally distributed. Noise has all terms, of standard deviation 1 / |(k, l)|, as photographs
have about; the smooth field those of k, l <= 3, all alike.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = 64  # of the runs: neither is resized, which would change the spectrum
SMOOTH_TERMS = 4
LETTERS = ("Heat flows", "from where", "it is warm", "to where it", "is cold.")
LETTER_SIZE, LINE, MARGIN, SIDE = 44, 50, 6, 256  # px


def letters() -> np.ndarray:
    """Black text on white, [SIDE, SIDE] in 0...255; resized before it is trained on."""
    page = Image.new("L", (SIDE, SIDE), 255)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(LETTER_SIZE)
    for number, line in enumerate(LETTERS):
        pen.text((MARGIN, number * LINE), line, fill=0, font=font)
    return np.asarray(page, dtype=np.float32)


def noise() -> np.ndarray:
    """All terms, amplitudes inverse to the frequency, [SIZE, SIZE]."""
    return _series(np.ones((SIZE, SIZE)) / np.maximum(_frequencies(SIZE), 1), seed=0)


def smooth() -> np.ndarray:
    """A few slow terms, [SIZE, SIZE]."""
    return _series(np.ones((SMOOTH_TERMS, SMOOTH_TERMS)), seed=1)


GENERATED = {"letters": letters, "noise": noise, "smooth": smooth}


def write_images(folder: Path) -> dict[str, Path]:
    """Each as a file, by name: float32, because steps of 8 bits are rough to the Laplacian."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.tif" for name in GENERATED}
    for name, path in paths.items():
        Image.fromarray(GENERATED[name]()).save(path)
    return paths


def _frequencies(terms: int) -> np.ndarray:
    """|(k, l)| of each term."""
    numbers = np.arange(terms)
    return np.hypot(numbers[:, None], numbers)


def _series(deviations: np.ndarray, seed: int) -> np.ndarray:
    amplitudes = deviations * np.random.default_rng(seed).normal(size=deviations.shape)
    amplitudes[0, 0] = 0
    numbers = np.arange(len(deviations))
    waves = np.cos(np.pi * numbers[:, None] * (np.arange(SIZE) + 0.5) / SIZE)
    return (waves.T @ amplitudes @ waves).astype(np.float32)
