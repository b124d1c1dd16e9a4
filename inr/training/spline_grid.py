r"""What a network has to beat: cubic B-splines on a grid, fitted in closed form to the same loss.

.. math:: u(x, y, t) = \sum_{kji} c_{kji} T_k(t) Y_j(y) X_i(x), \qquad
          L(c) = \sum_Q w_Q / \mathrm{var}_Q \cdot \mathrm{MSE}_Q

The mean squares are over all pixels of all frames. They are quadratic in c, so the best
coefficients solve one linear system. Imports no torch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline
from scipy.linalg import eigh, solveh_banded
from scipy.sparse import csr_array, kron, tril

from inr.config import DataConfig
from inr.errors import UserError
from inr.quantities import Fields, Quantity
from inr.results import HELDOUT
from inr.training.evaluation import Evaluator

DEGREE = 3
# coefficients along time; of 6 to 16 the best held out on coins and gravel, at 64 px and 10 frames
ALONG_TIME = 8
# on the diagonal of the normal matrix, in units of its mean: makes coefficients determinate where
# the points do not, as near the border or if there are more coefficients than pixels or frames
RIDGE = 1e-6

Shape = tuple[int, int, int]  # numbers of coefficients along time, y and x
Order = tuple[int, int, int]  # of the derivative along time, y and x
Grid = Float[np.ndarray, "time y x"]


@dataclass(frozen=True)
class SplineGrid:
    """A tensor product of cubic B-splines: `on_grid` gives it and its derivatives anywhere."""

    knots: tuple[np.ndarray, np.ndarray, np.ndarray]  # along time, y and x
    coefficients: Grid

    def on_grid(
        self,
        x: Float[np.ndarray, " column"],
        y: Float[np.ndarray, " row"],
        times: Float[np.ndarray, " frame"],
    ) -> Fields:
        """Value and derivatives on a grid at some times."""
        t, v, h = map(_derivatives, self.knots, (times, y, x))

        def along(k: int, j: int, i: int) -> np.ndarray:
            return _apply(t[k], v[j], h[i], self.coefficients)

        gradient = np.stack([along(0, 0, 1), along(0, 1, 0)], axis=1)
        return Fields(along(0, 0, 0), gradient, along(0, 0, 2) + along(0, 2, 0), along(1, 0, 0))


def grid_shape(image: tuple[int, int], coefficients: int) -> Shape:
    """About ``coefficients`` in all, on an (H, W) image: as dense along y as along x."""
    height, width = image
    per_pixel = (coefficients / ALONG_TIME / height / width) ** 0.5
    return ALONG_TIME, round(per_pixel * height), round(per_pixel * width)


def fit(evaluator: Evaluator, shape: Shape) -> SplineGrid:
    r"""The grid of least loss, by the weights of a run and without balancing them.

    With the Gram matrices G of the splines along time, and D of their derivatives, the normal
    matrix is :math:`G \otimes S_0 + D \otimes S_1`. In the generalised eigenvectors of G and D it
    falls into systems in space, one an eigenvalue, of 3 (columns + 1) diagonals on either side.
    Each is solved with a ridge of `RIDGE`.

    Raises `UserError` for fewer than 4 coefficients along an axis, or if the run trains the value
    on the border alone.
    """
    training = evaluator.config.training
    if min(shape) <= DEGREE:
        raise UserError(f"{shape} coefficients: give at least {DEGREE + 1} along each axis")
    if training.value_points != "all":
        raise UserError("training.value_points: splines are fitted to all of them. Set it to all")
    knots = _knots(evaluator, shape)
    t, y, x = map(_derivatives, knots, (evaluator.times, evaluator.y, evaluator.x))
    raw = training.loss_normalization == "raw"
    right = np.zeros(shape)
    space = [csr_array((shape[1] * shape[2],) * 2) for _ in range(2)]  # S_0 and S_1
    for quantity, wanted, orders in _terms(evaluator.target):
        weight = getattr(training.trained_weights, quantity)
        weight /= 1 if raw else evaluator.variances[quantity]
        if not weight:  # its target may not be finite
            continue
        for k, j, i in orders:
            right += weight * _apply(t[k].T, y[j].T, x[i].T, wanted)
        for (k, j, i), (_, m, n) in product(orders, repeat=2):
            grams = csr_array(y[j].T @ y[m]), csr_array(x[i].T @ x[n])
            space[k] = space[k] + weight * kron(*grams)
    width = DEGREE * (shape[2] + 1)
    bands = [_lower_band(matrix, width) for matrix in space]
    return SplineGrid(knots, _solve(t[0].T @ t[0], t[1].T @ t[1], bands, right))


def baseline(evaluator: Evaluator, shape: Shape) -> dict[str, Any]:
    """Fit and measure: a row of a table beside the networks.

    ``name``, ``coefficients``, ``seconds`` of the fit, and the metrics (`inr.metrics.METRICS`) on
    the ``pixels`` of the frames and on every set of `inr.results.HELDOUT`.
    """
    started = time.perf_counter()
    grid = fit(evaluator, shape)
    seconds = time.perf_counter() - started
    return {
        "name": "cubic splines, " + " x ".join(map(str, shape)),
        "coefficients": grid.coefficients.size,
        "seconds": seconds,
        "pixels": evaluator.on_pixels(grid.on_grid)[1],
    } | {points: evaluator.held_out(grid.on_grid, points) for points in HELDOUT}


def _terms(wanted: Fields) -> Iterator[tuple[Quantity, np.ndarray, list[Order]]]:
    """Each target with the derivatives of which it is the sum."""
    along_x, along_y = np.moveaxis(wanted.gradient, 1, 0)
    yield "value", wanted.value, [(0, 0, 0)]
    yield "gradient", along_x, [(0, 0, 1)]
    yield "gradient", along_y, [(0, 1, 0)]
    yield "laplacian", wanted.laplacian, [(0, 0, 2), (0, 2, 0)]
    yield "time_derivative", wanted.time_derivative, [(1, 0, 0)]


def _knots(evaluator: Evaluator, shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Even in space, between the outer edges of the pixels; in time see `_blur_times`."""
    times, y, x = evaluator.times, evaluator.y, evaluator.x
    breaks = [count - DEGREE + 1 for count in shape]
    inner = [times[0] + np.ptp(times) * _blur_times(evaluator.config.data, breaks[0])]
    for axis, count in zip((y, x), breaks[1:], strict=True):
        half = (axis[1] - axis[0]) / 2
        inner.append(np.linspace(axis[0] - half, axis[-1] + half, count))
    in_time, along_y, along_x = (np.pad(each, DEGREE, mode="edge") for each in inner)
    return in_time, along_y, along_x


def _blur_times(data: DataConfig, count: int) -> np.ndarray:
    """Times from 0 to 1, even in the logarithm of the blur (from half a pixel): detail fades early.

    The square of the blur is linear in time.
    """
    start = max(data.sigma_start, 0.5)
    square = np.geomspace(start, start + data.sigma_end - data.sigma_start, count) ** 2
    return np.asarray((square - square[0]) / np.ptp(square))


def _derivatives(knots: np.ndarray, points: np.ndarray) -> list[Float[np.ndarray, "point spline"]]:
    """All B-splines of these knots at points, and their first two derivatives."""
    splines = BSpline(knots, np.eye(len(knots) - DEGREE - 1), DEGREE)
    return [splines(points, nu=order) for order in range(3)]


def _apply(
    in_time: np.ndarray, along_y: np.ndarray, along_x: np.ndarray, array: np.ndarray
) -> np.ndarray:
    """One matrix along each axis."""
    result = np.einsum("ft,ry,cx,tyx->frc", in_time, along_y, along_x, array, optimize=True)
    return np.asarray(result)


def _lower_band(matrix: csr_array, width: int) -> Float[np.ndarray, "diagonal column"]:
    """The lower diagonals of a symmetric matrix, as `scipy.linalg.solveh_banded` takes them."""
    lower = tril(matrix).tocoo()
    band = np.zeros((width + 1, matrix.shape[1]))
    band[lower.row - lower.col, lower.col] = lower.data
    return band


def _solve(gram: np.ndarray, rate: np.ndarray, bands: list[np.ndarray], right: Grid) -> Grid:
    """Solve (gram ⊗ S_0 + rate ⊗ S_1) c = right, with the S as bands."""
    count = len(gram)
    rate = rate + np.eye(count) * (RIDGE * rate.trace() / count)
    scale = gram.trace() / rate.trace()
    # modes.T (gram + scale rate) modes = 1
    shares, modes = eigh(gram, gram + scale * rate)
    solved = []
    for share, wanted in zip(shares.clip(0, 1), np.tensordot(modes.T, right, axes=1), strict=True):
        system = share * bands[0] + (1 - share) / scale * bands[1]
        system[0] += RIDGE * system[0].mean()
        solved.append(solveh_banded(system, wanted.ravel(), lower=True).reshape(wanted.shape))
    return np.tensordot(modes, np.stack(solved), axes=1)
