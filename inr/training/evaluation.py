"""How good a prediction is: on all frames, and at points where nothing was trained."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from inr.config import RunConfig
from inr.metrics import evaluate, target_variances
from inr.network.model import spectral_centroid
from inr.quantities import QUANTITIES, Fields, stack_frames
from inr.targets.sequences import SEQUENCES

# fields on a grid from its x (columns), y (rows) and times: what is measured
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], Fields]


class Evaluator:
    """Compares what is predicted of the whole sequence with what is wanted."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.sequence = sequence = SEQUENCES[config.training.protocol].from_config(config.data)
        self.shape = sequence.shape  # (H, W) of the image, px
        self.times = sequence.frame_times(config.data)
        self.x, self.y = sequence.pixel_coordinates(self.shape)  # of columns and rows
        # what the network computes in is enough to store what it is compared with
        self._type = np.dtype("float64" if config.training.precision == "float64" else "float32")
        frames = sequence.pixel_frames(self.times)
        self.target = stack_frames(frames, len(self.times), self._type)
        self.variances = target_variances(self.target)
        training = config.training
        # by which the loss divides mean squared errors
        self.scales = self.variances
        if training.loss_normalization == "raw":
            self.scales = dict.fromkeys(QUANTITIES, 1.0)
        self.wanted = self.target  # what is trained on, NaN where nothing is
        if training.value_points == "border":
            value = self.target.value.copy()
            value[:, 1:-1, 1:-1] = np.nan
            self.wanted = replace(self.target, value=value)

    def on_pixels(self, predict: Predict) -> tuple[Fields, dict[str, float]]:
        """Predicted frames, and their metrics."""
        grid = self.x, self.y, self.times
        prediction = stack_frames(_by_frame(predict, *grid), len(self.times), self._type)
        pairs = zip(prediction.frames(), self.target.frames(), strict=True)
        sequence = self.sequence
        return prediction, evaluate(pairs, sequence.kappa, sequence.similarity)

    @property
    def spectral_centroid(self) -> float:
        """That of the first frame, in float64 whatever the precision."""
        first = next(self.sequence.pixel_frames(self.times))
        return spectral_centroid(first.value[0])

    @property
    def value_known(self) -> np.ndarray:
        """Where the value is trained, [frame, row, column]."""
        return np.asarray(~np.isnan(self.wanted.value))

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
        both = (_by_frame(fields, *grid) for fields in (predict, self.sequence.on_grid))
        return evaluate(zip(*both, strict=True), self.sequence.kappa)

    def objective(self, prediction: Fields, metrics: dict[str, float]) -> float:
        """The training objective over the whole sequence, from predicted frames and metrics.

        The metrics of the value are those of all pixels, the objective's error is the mean over
        those at which it is trained.
        """
        training = self.config.training
        errors = {name: metrics[f"mse_{name}"] for name in QUANTITIES}
        if training.value_points == "border":
            known = self.value_known
            with np.errstate(over="ignore", invalid="ignore"):  # of a diverged network
                difference = prediction.value[known].astype(float) - self.target.value[known]
                errors["value"] = float((difference**2).mean())
        weights = zip(QUANTITIES, training.loss_weights.as_tuple(), strict=True)
        return sum(
            weight * (errors[name] / self.scales[name]) for name, weight in weights if weight
        )


def _by_frame(fields: Predict, x: np.ndarray, y: np.ndarray, times: np.ndarray) -> Iterator[Fields]:
    """One frame after the other: memory of one."""
    return (fields(x, y, times[place : place + 1]) for place in range(len(times)))
