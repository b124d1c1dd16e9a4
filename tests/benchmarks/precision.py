"""Error of value and derivatives by the precision of the matrix products.

A network computes its fields at random points in each precision. Errors are root mean squares,
relative to the same network in float64. What the processor or torch cannot round shows no
difference to float32.
"""

import argparse

import torch
from torch import Tensor

from inr.config import ModelConfig, Precision
from inr.network.matmul import arithmetic, parameter_type
from inr.network.model import initialize
from inr.quantities import QUANTITIES
from inr.training.step import Step, loss_and_gradients
from tests.benchmarks.report import DOCS, publish
from tests.helpers.reference import Targets, differentiate, join

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
POINTS = 4096


def exact_fields(config: ModelConfig, points: Tensor) -> Targets:
    """Value and derivatives in float64."""
    with torch.no_grad():
        found = differentiate(initialize(config, 0, torch.float64), points, 2)
    assert found.gradient is not None
    assert found.laplacian is not None
    time_derivative = found.gradient[:, 2]
    return Targets(found.value, found.gradient[:, :2], found.laplacian, time_derivative)


def step(config: ModelConfig, points: Tensor, targets: Targets, precision: Precision) -> Step:
    """One step of the network towards ``targets`` in a precision."""
    dtype = parameter_type(precision)
    network = initialize(config, 0, dtype)
    ones = torch.ones(4, dtype=dtype)
    with arithmetic(precision):
        return loss_and_gradients(network, join(points, targets).to(dtype), ones, 2)


def compare(config: ModelConfig) -> list[dict[str, str]]:
    """All precisions."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(POINTS, 3, generator=generator, dtype=torch.float64) * 2 - 1
    fields = exact_fields(config, points)
    zero = Targets(*map(torch.zeros_like, fields))
    # towards zero, the mean squared error is the mean square of the field itself
    exact = step(config, points, zero, "float64")
    gradient = torch.cat([each.flatten() for each in exact.gradients])
    rows = []
    for precision in PRECISIONS:
        off = (step(config, points, fields, precision).errors.double() / exact.errors).sqrt()
        found = step(config, points, zero, precision).gradients
        error = torch.cat([each.flatten() for each in found]) - gradient
        names = [quantity.replace("_", " ") for quantity in QUANTITIES]
        cells = [f"{each:.1e}" for each in off.tolist()]
        rows.append(
            {"precision": precision}
            | dict(zip(names, cells, strict=True))
            | {"parameter gradients": f"{error.norm() / gradient.norm():.1e}"}
        )
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--json", default=str(DOCS / "precision.json"), metavar="FILE")
    given = parser.parse_args()
    rows = compare(ModelConfig(width=given.width, depth=3))
    facts = {"device": "CPU", "width": given.width, "points": POINTS}
    publish("Relative error (root mean square) against float64", rows, facts, given.json)


if __name__ == "__main__":
    main()
