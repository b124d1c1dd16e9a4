"""The exam that a network sits: all frames, and points where nothing was trained."""

from __future__ import annotations

from inr.config import RunConfig
from inr.diffusion import Diffusion, Fields, frame_times, pixel_coordinates
from inr.metrics import evaluate, target_statistics
from inr.model import Network
from inr.predict import predict
from inr.results import QUANTITIES


class Examination:
    """The whole sequence as an exam: exact frames, and what a network makes of them."""

    def __init__(self, config: RunConfig) -> None:
        self.diffusion = Diffusion.from_config(config.data)
        self.times = frame_times(config.data.frames)
        self.x, self.y = pixel_coordinates(self.diffusion.shape)
        self.target = self.diffusion.on_pixels(self.times)
        self.statistics = target_statistics(self.target)

    def on_pixels(self, network: Network) -> tuple[Fields, dict[str, float]]:
        """Predicted frames, and their metrics."""
        prediction = predict(network, self.x, self.y, self.times)
        return prediction, evaluate(prediction, self.target, self.statistics, self.diffusion.kappa)

    def held_out(self, network: Network) -> dict[str, float]:
        """Metrics where nothing was trained: pixel corners, half-way between the frames."""
        grid = [(axis[1:] + axis[:-1]) / 2 for axis in (self.x, self.y, self.times)]
        target = self.diffusion.on_grid(*grid)
        prediction = predict(network, *grid)
        return evaluate(prediction, target, target_statistics(target), self.diffusion.kappa)

    def objective(self, config: RunConfig, metrics: dict[str, float]) -> float:
        """The training objective over the whole sequence, from its metrics."""
        kind = "nmse" if config.training.loss_normalization == "variance" else "mse"
        weights = config.training.loss_weights.as_tuple()
        return sum(
            weight * metrics[f"{kind}_{quantity}"]
            for quantity, weight in zip(QUANTITIES, weights, strict=True)
            if weight
        )
