"""A trained network: evaluate it at any resolution and time, save it, load it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike

from inr.config import RunConfig
from inr.errors import UserError
from inr.files import retried, write_bytes
from inr.network.activations import ACTIVATIONS
from inr.network.adjoint import first_pass, second_pass, tile_points
from inr.network.model import Network, fold_frequencies
from inr.quantities import Fields
from inr.targets.sequences import SEQUENCES

SCHEMA = "inr-model/1"


def predict(
    network: Network,
    x: Float[np.ndarray, " column"],
    y: Float[np.ndarray, " row"],
    times: Float[np.ndarray, " frame"],
) -> Fields:
    """Value and derivatives of one network on a grid at some times, as float64 fields."""
    grids = (np.stack(np.meshgrid(x, y, time), axis=-1) for time in times)
    # one after the other: memory of one
    frames = np.stack([_rows(network, grid.reshape(-1, 3)) for grid in grids], axis=1)
    value, along_x, along_y, in_time, laplacian = frames.reshape(5, -1, len(y), len(x))
    return Fields(value, np.stack([along_x, along_y], axis=1), laplacian, in_time)


@torch.no_grad()
def _rows(network: Network, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "5 point"]:
    """Value, d/dx, d/dy, d/dtau and Laplacian of one network at points (x, y, time), float64.

    The network computes in its own precision and on its own device, by the first two passes.
    """
    given = torch.from_numpy(points).to(network.weights[0])
    parameters, _ = fold_frequencies(network)
    names = network.config.activations
    activations = [ACTIVATIONS[name] for name in names]
    size = tile_points(network.config, 1, len(given), given.device.type)
    parts = []
    for tile in given.split(size):
        layers, value = first_pass(parameters, tile.mT, names, 2)
        _, derivatives = second_pass(parameters, activations, layers, 2)
        parts.append(torch.cat([value, *derivatives]))
    return np.asarray(torch.cat(parts, dim=-1).double().cpu())


@dataclass(frozen=True)
class TrainedNetwork:
    """A network together with what it was trained on.

    Example:
        >>> trained = inr.load("outputs/recommended/runs/1_1_1_1/sine_cosine_3e-4_seed0/model.pt")
        >>> fields = trained.render(times=[-0.9], scale=4)  # 4 x finer, between two frames
        >>> fields.value.shape
        (1, 256, 256)
    """

    config: RunConfig
    network: Network = field(repr=False)
    shape: tuple[int, int]  # (height, width) of the training image, px

    @property
    def times(self) -> np.ndarray:
        """Times of the frames it was trained on, as `render` takes them."""
        return SEQUENCES[self.config.training.protocol].frame_times(self.config.data)

    def render(self, times: float | Sequence[float] | np.ndarray, scale: int = 1) -> Fields:
        """Value and derivatives on a grid ``scale`` times as fine as the training image.

        Network times: -1 is the first frame, +1 the last. Beyond them the network extrapolates.
        Of a run of the original protocol: diffusion times in px^2, from 0.

        Returns float64 fields [time, row, column], derivatives in network coordinates. Raises
        `ValueError` without a time, or for a scale that is no whole number from 1.
        """
        moments = np.atleast_1d(np.asarray(times, dtype=float))
        if not moments.size:
            raise ValueError("times is empty: give at least one network time, such as 0.0")
        if scale != int(scale) or scale < 1:
            raise ValueError(f"scale is {scale}: give a whole number from 1")
        sequence = SEQUENCES[self.config.training.protocol]
        x, y = sequence.pixel_coordinates(self.shape, int(scale))
        return predict(self.network, x, y, moments)

    def at(self, points: ArrayLike) -> Fields:
        """Value and derivatives at ``points`` (x, y, time) in network coordinates, [point, 3].

        Returns float64 fields [point], the gradient [point, 2].
        """
        value, *gradient, in_time, laplacian = _rows(self.network, np.asarray(points, dtype=float))
        return Fields(value, np.stack(gradient, axis=-1), laplacian, in_time)

    def exact(self, x: ArrayLike, y: ArrayLike, times: ArrayLike) -> Fields:
        """What the network was to learn: the exact diffusion on a grid, in its coordinates.

        ``x`` are those of the columns, ``y`` of the rows: numbers, or sequences of them.

        Returns float64 fields [time, row, column]. The image is read again: raises `UserError` if
        it cannot be used now.
        """
        sequence = SEQUENCES[self.config.training.protocol].from_config(self.config.data)
        return sequence.on_grid(*(np.atleast_1d(np.asarray(each, float)) for each in (x, y, times)))


def save(path: Path, trained: TrainedNetwork) -> None:
    """Write a network so that a crash leaves either the old file or the new one."""
    state = {
        "schema": SCHEMA,
        "config": trained.config.canonical_json(),
        "shape": list(trained.shape),
        "weights": [weight.detach().cpu() for weight in trained.network.weights],
        "biases": [bias.detach().cpu() for bias in trained.network.biases],
        "sines": [each.detach().cpu() for each in trained.network.sines],
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load(path: str | Path, device: str = "cpu") -> TrainedNetwork:
    """Read a network written by a run (``model.pt``). Nothing in the file is executed.

    Raises `UserError` if the file is missing, damaged or of another kind.
    """
    path = Path(path)
    try:
        content = retried(path.read_bytes)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | IsADirectoryError)
        reason = "missing" if missing else f"cannot be read: {error.strerror}"
        raise UserError(f"{path}: {reason}. Give the model.pt of a run") from error
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if state["schema"] != SCHEMA:
            raise UserError(f"{path}: schema {state['schema']!r}, expected {SCHEMA!r}")
        config = RunConfig.model_validate_json(state["config"])
        groups = (tuple(state.get(name, ())) for name in ("weights", "biases", "sines"))
        network = Network(config.model, *groups)
        height, width = state["shape"]
    except (RuntimeError, LookupError, TypeError, ValueError, EOFError, UnpicklingError) as error:
        # not the error's own words: torch advises to load the file with code and all
        raise UserError(
            f"{path}: not a network of this software ({type(error).__name__}). "
            "Give the model.pt of a run"
        ) from error
    return TrainedNetwork(config, network.to(torch.device(device)), (height, width))
