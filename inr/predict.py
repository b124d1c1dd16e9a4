"""Evaluate a network on a grid of any resolution at any times, as numpy arrays."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from inr.derivatives import differentiate
from inr.diffusion import Fields
from inr.model import Network

# Points a block: small enough for the blocks of a wide network to stay within some 100 MB.
_POINTS_TIMES_WIDTH = 4_194_304


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
    block = max(1, _POINTS_TIMES_WIDTH // network.config.width)
    frames = []
    for time in times:
        points = torch.cat([plane, plane.new_full((len(plane), 1), float(time))], dim=-1)
        parts = [differentiate(network, part, order=2) for part in points.split(block)]
        columns = [
            torch.cat(
                [p.value[:, None], _present(p.gradient), _present(p.laplacian)[:, None]], dim=-1
            )
            for p in parts
        ]
        frames.append(torch.cat(columns).double().cpu().numpy())
    # [frame, pixel, (value, d/dx, d/dy, d/dtime, laplacian)] -> [part, frame, row, column]
    stacked = np.moveaxis(np.stack(frames), -1, 0).reshape(5, len(times), len(y), len(x))
    return Fields(
        value=stacked[0],
        gradient=np.stack([stacked[1], stacked[2]], axis=1),
        laplacian=stacked[4],
        time_derivative=stacked[3],
    )


@torch.no_grad()
def predict_points(network: Network, points: Float[np.ndarray, "point 3"]) -> Fields:
    """Value and derivatives of one network at single points (x, y, time), as float64 fields."""
    first = network.weights[0]
    block = max(1, _POINTS_TIMES_WIDTH // network.config.width)
    parts = torch.from_numpy(points).to(first).split(block)
    fields = [differentiate(network, part, order=2) for part in parts]

    def joined(tensors: list[torch.Tensor]) -> np.ndarray:
        return torch.cat(tensors).double().cpu().numpy()

    gradient = joined([_present(each.gradient) for each in fields])
    return Fields(
        value=joined([each.value for each in fields]),
        gradient=gradient[:, :2],
        laplacian=joined([_present(each.laplacian) for each in fields]),
        time_derivative=gradient[:, 2],
    )


def _present(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None, "order 2 computes every field"
    return tensor
