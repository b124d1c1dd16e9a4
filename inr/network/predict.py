"""Evaluate a network at points, or on a grid of any resolution at any times, as numpy arrays."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from inr.network.activations import ACTIVATIONS
from inr.network.adjoint import first_pass, second_pass
from inr.network.model import Network
from inr.network.passes import fold_frequencies, tile_points
from inr.quantities import Fields


def predict(
    network: Network,
    x: Float[np.ndarray, " column"],
    y: Float[np.ndarray, " row"],
    times: Float[np.ndarray, " frame"],
) -> Fields:
    """Value and derivatives of one network on a grid at some times, as float64 fields."""
    row, column = np.meshgrid(y, x, indexing="ij")
    frames = []  # one after the other: memory of one
    for time in times:
        points = np.stack([column, row, np.full_like(row, time)], axis=-1)
        frames.append(predict_points(network, points.reshape(-1, 3)))

    def stacked(arrays: list[np.ndarray]) -> np.ndarray:
        flat = np.stack(arrays)
        return flat.reshape(*flat.shape[:-1], len(y), len(x))

    return Fields(
        value=stacked([frame.value for frame in frames]),
        gradient=stacked([frame.gradient.T for frame in frames]),
        laplacian=stacked([frame.laplacian for frame in frames]),
        time_derivative=stacked([frame.time_derivative for frame in frames]),
    )


@torch.no_grad()
def predict_points(network: Network, points: Float[np.ndarray, "point 3"]) -> Fields:
    """Value and derivatives of one network at single points (x, y, time), as float64 fields.

    The network computes in its own precision and on its own device, by the first two passes.
    """
    given = torch.from_numpy(points).to(network.weights[0])
    parameters, _ = fold_frequencies(network)
    name = network.config.activation
    size = tile_points(network.config.width, 1, len(given), given.device.type)
    parts = []
    for tile in given.split(size):
        layers, value = first_pass(parameters, tile.mT, name, 2)
        _, gradient, laplacian = second_pass(parameters, ACTIVATIONS[name], layers, 2)
        assert laplacian is not None, "order 2 computes every field"
        parts.append(torch.cat([value, gradient, laplacian]))
    value, along_x, along_y, in_time, laplacian = torch.cat(parts, dim=-1).double().cpu().numpy()
    return Fields(value, np.stack([along_x, along_y], axis=-1), laplacian, in_time)
