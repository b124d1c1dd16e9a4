"""Evaluate a network on a grid of any resolution at any times, as numpy arrays."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inr.network.activations import ACTIVATIONS
from inr.network.adjoint import first_pass, second_pass
from inr.network.model import Network
from inr.network.tiling import fold_frequencies, tile_points
from inr.quantities import Fields


@torch.no_grad()
def predict(
    network: Network,
    x: Float[np.ndarray, " column"],
    y: Float[np.ndarray, " row"],
    times: Float[np.ndarray, " frame"],
) -> Fields:
    """Value, gradient, Laplacian and time derivative of one network, as float64 fields.

    The network computes in its own precision and on its own device.

    Args:
        network: a single model, without model axis.
        x: coordinates of the columns.
        y: coordinates of the rows.
        times: network times of the frames.
    """
    first = network.weights[0]
    row, column = np.meshgrid(y, x, indexing="ij")
    plane = torch.from_numpy(np.stack([column.ravel(), row.ravel()], axis=-1)).to(first)
    frames = []
    for time in times:
        points = torch.cat([plane, plane.new_full((len(plane), 1), float(time))], dim=-1)
        frames.append(_evaluate(network, points))
    # [frame, (value, d/dx, d/dy, d/dtime, laplacian), pixel] -> [part, frame, row, column]
    stacked = np.moveaxis(np.stack(frames), 1, 0).reshape(5, len(times), len(y), len(x))
    return Fields(
        value=stacked[0],
        gradient=np.stack([stacked[1], stacked[2]], axis=1),
        laplacian=stacked[4],
        time_derivative=stacked[3],
    )


@torch.no_grad()
def predict_points(network: Network, points: Float[np.ndarray, "point 3"]) -> Fields:
    """Value and derivatives of one network at single points (x, y, time), as float64 fields."""
    found = _evaluate(network, torch.from_numpy(points).to(network.weights[0]))
    return Fields(
        value=found[0], gradient=found[1:3].T, laplacian=found[4], time_derivative=found[3]
    )


def _evaluate(network: Network, points: Float[Tensor, "point 3"]) -> Float[np.ndarray, "5 point"]:
    """Rows value, d/dx, d/dy, d/dtime and Laplacian, by the first two passes."""
    parameters, _ = fold_frequencies(network)
    name = network.config.activation
    size = tile_points(network.config.width, 1, len(points), points.device.type)
    parts = []
    for tile in points.split(size):
        layers, value = first_pass(parameters, tile.mT, name, 2)
        _, gradient, laplacian = second_pass(parameters, ACTIVATIONS[name], layers, 2)
        assert laplacian is not None, "order 2 computes every field"
        parts.append(torch.cat([value, gradient, laplacian]))
    return torch.cat(parts, dim=-1).double().cpu().numpy()
