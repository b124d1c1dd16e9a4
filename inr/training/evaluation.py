"""How good a prediction is: on all frames, and at points where nothing was trained."""

from collections.abc import Callable

import numpy as np

from inr.config import RunConfig
from inr.metrics import evaluate, target_statistics
from inr.quantities import Fields
from inr.targets.sequences import SEQUENCES

# fields on a grid from its x (columns), y (rows) and times: what is measured
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], Fields]


class Evaluator:
    """Compares what is predicted of the whole sequence with what is wanted."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.sequence = sequence = SEQUENCES[config.training.protocol].from_config(config.data)
        self.shape = sequence.shape  # (H, W) of the image, px
        self.times = sequence.frame_times(config.data.frames)
        self.x, self.y = sequence.pixel_coordinates(self.shape)  # of columns and rows
        self.target = sequence.on_pixels(self.times)
        self.statistics = target_statistics(self.target)

    def on_pixels(self, predict: Predict) -> tuple[Fields, dict[str, float]]:
        """Predicted frames, and their metrics."""
        prediction = predict(self.x, self.y, self.times)
        sequence = self.sequence
        metrics = evaluate(
            prediction, self.target, self.statistics, sequence.kappa, sequence.similarity
        )
        return prediction, metrics

    def held_out(self, predict: Predict, points: str = "heldout") -> dict[str, float]:
        """Metrics where nothing was trained, on one set of `inr.results.HELDOUT`.

        Against the exact diffusion, whatever the network was trained on; normalised by its
        variance there.
        """
        x, y, between = ((axis[1:] + axis[:-1]) / 2 for axis in (self.x, self.y, self.times))
        start, end = self.times[:2]
        grid = {
            "heldout": (x, y, between),
            "heldout_pixels": (x, y, self.times),
            "heldout_frames": (self.x, self.y, between),
            "heldout_first": (x, y, start + (end - start) * np.arange(0.1, 1.0, 0.2)),
        }[points]
        target, prediction = self.sequence.on_grid(*grid), predict(*grid)
        return evaluate(prediction, target, target_statistics(target), self.sequence.kappa)

    def objective(self, metrics: dict[str, float]) -> float:
        """The training objective over the whole sequence, from its metrics."""
        training = self.config.training
        kind = "nmse" if training.loss_normalization == "variance" else "mse"
        terms = ((weight, metrics[f"{kind}_{name}"]) for name, weight in training.loss_weights)
        return float(sum(weight * error for weight, error in terms if weight))
