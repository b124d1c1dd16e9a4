"""What runs cost, from their attempts."""

from __future__ import annotations

import math

import pytest

from inr.storage.attempts import Attempt
from postprocess.dataset.usage import COLUMNS, account


def attempt(**fields: float | str) -> Attempt:
    known = {"number": 1, "started": "", "host": "n1", "pid": 1, "job": "", "cpus": 1, "gpus": 0}
    return Attempt(**(known | fields))  # type: ignore[arg-type]


CASES = {
    "no attempt": ([], (0, "", 0.0, 0.0, None)),
    "one": ([attempt(wall_seconds=10.0, cpu_seconds=5.0)], (1, "n1", 10.0, 0.0, 0.5)),
    "several GPUs and hosts": (
        [
            attempt(host="n2", gpus=2, cpus=4, wall_seconds=3600.0, cpu_seconds=7200.0),
            attempt(host="n1", gpus=1, cpus=1, wall_seconds=1800.0, cpu_seconds=900.0),
            attempt(host="n2", wall_seconds=900.0, cpu_seconds=900.0),
        ],
        # 9000 s of CPU in 4 x 3600 + 1800 + 900 s given
        (3, "n2 n1", 6300.0, 2.5, 9000 / 17100),
    ),
    "killed: its time counts, its efficiency is not known": (
        [
            attempt(gpus=1, wall_seconds=3600.0, status="killed"),
            attempt(gpus=1, wall_seconds=3600.0, cpu_seconds=1800.0),
        ],
        (2, "n1", 7200.0, 2.0, 0.5),
    ),
    "trained as one of four: a quarter of what the task was given": (
        [attempt(gpus=2, cpus=8, members=4, wall_seconds=3600.0, cpu_seconds=3600.0)],
        (1, "n1", 3600.0, 0.5, 0.5),
    ),
    "still running": ([attempt()], (1, "n1", 0.0, 0.0, None)),
}


@pytest.mark.parametrize(("attempts", "expected"), CASES.values(), ids=CASES.keys())
def test_account(attempts: list[Attempt], expected: tuple[float | str | None, ...]) -> None:
    found = account(attempts)
    assert tuple(found) == COLUMNS
    *values, efficiency = expected
    assert list(found.values())[:-1] == values
    if efficiency is None:
        assert math.isnan(float(found["cpu_efficiency"]))
    else:
        assert found["cpu_efficiency"] == pytest.approx(efficiency)
