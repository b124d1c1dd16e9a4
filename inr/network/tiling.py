"""Points in tiles that stay in the cache, and the parameters that every tile of a step shares."""

from __future__ import annotations

from inr.network.activations import ACTIVATIONS
from inr.network.model import Network
from inr.network.passes import Parameters

# Numbers in one [unit, point] array of a tile; a layer has about ten such arrays. On a CPU they
# should stay in the cache (1 MB each; not a power of two, whose strides share cache lines); a GPU
# wants much work at once and has the memory.
TILE_NUMBERS = {"cpu": 240_000, "cuda": 2**24}
TILE_MULTIPLE = 16  # points: whole vector registers


def tile_points(width: int, models: int, count: int, device_type: str) -> int:
    """Points in a tile: all tiles have one size, so that one compiled function serves them."""
    most = max(TILE_NUMBERS.get(device_type, TILE_NUMBERS["cuda"]) // (width * models), 1)
    tiles = -(-count // most)
    if tiles == 1:
        return count
    even = -(-count // tiles)
    return -(-even // TILE_MULTIPLE) * TILE_MULTIPLE


def fold_frequencies(network: Network) -> tuple[Parameters, list[float]]:
    """The equivalent network without frequencies, and what was multiplied into each layer."""
    depth = network.config.depth
    frequencies = [1.0] * (depth + 1)
    if ACTIVATIONS[network.config.activation].has_frequency:
        frequencies[:depth] = [network.omega(layer) for layer in range(depth)]
    weights = [w * omega for w, omega in zip(network.weights, frequencies, strict=True)]
    return Parameters(
        weights=weights,
        transposed=[weight.mT.contiguous() for weight in weights],
        biases=[
            (bias * omega).unsqueeze(-1)
            for bias, omega in zip(network.biases, frequencies, strict=True)
        ],
    ), frequencies
