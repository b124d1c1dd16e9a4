"""Learning rates between the recorded rows, from the schedules of the runs."""

import pandas as pd
import pytest

from inr.config import TrainingConfig
from inr.training.schedules import rate_factor
from postprocess.dataset.merged_sweep import flatten
from postprocess.stats.learning_rates import distinct_schedules, integrated_rates, rate_curves

STEPS = 60
OPTIONS = {
    "cyclic": {"cycles": 3, "floor_fraction": 0.1},
    "cosine": {"warmup_fraction": 0.2},
    "multi_step": {"milestones": [0.1, 0.5]},
}
CASES = [
    *(("corrected", s) for s in ("uniform", "exponential", "multi_step", "cyclic", "cosine")),
    *(("original", s) for s in ("uniform", "exponential", "multi_step", "cyclic")),
]


def row(training: TrainingConfig, step: int, index: int = 5) -> pd.DataFrame:
    settings = flatten({"training": training.model_dump(mode="json")})
    return pd.DataFrame([{"step": step, **settings}], index=[index])


def make_training(protocol: str, schedule: str, steps: int = STEPS) -> TrainingConfig:
    options = OPTIONS.get(schedule, {}) if protocol == "corrected" else {}
    return TrainingConfig(
        steps=steps,
        schedule=schedule,
        learning_rate=3e-4,
        protocol=protocol,
        schedule_options=options,
    )


@pytest.mark.parametrize(("protocol", "schedule"), CASES)
def test_the_curve_has_the_rate_of_every_step_made(protocol, schedule):
    training = make_training(protocol, schedule)
    curve = rate_curves(row(training, STEPS - 10))
    assert curve["step"].tolist() == list(range(STEPS - 10))
    expected = [3e-4 * rate_factor(training, step) for step in range(STEPS - 10)]
    assert curve["lr"].tolist() == pytest.approx(expected)
    assert set(curve["run"]) == {5}


def test_a_long_curve_is_thinned_from_its_first_step_to_its_last():
    curve = rate_curves(row(make_training("corrected", "cosine", steps=100_000), 100_000))
    assert len(curve) == 500
    assert curve["step"].iloc[[0, -1]].tolist() == [0, 99_999]
    assert curve["lr"].max() == pytest.approx(3e-4, rel=1e-4)  # the end of the warm-up


def test_a_run_without_steps_has_one_point():
    assert rate_curves(row(make_training("corrected", "uniform"), 0))["step"].tolist() == [0]


@pytest.mark.parametrize(("protocol", "schedule"), CASES)
def test_the_integrated_rate_is_the_sum_over_the_steps(protocol, schedule):
    training = make_training(protocol, schedule)
    expected = sum(3 * rate_factor(training, step) for step in range(STEPS - 10))
    assert integrated_rates(row(training, STEPS - 10))[5] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "steps"), [("uniform", 1000), ("multi_step", 28.7), ("exponential", 10)]
)
def test_published_schedules_are_worth_few_steps(schedule, steps):
    training = TrainingConfig(steps=1000, schedule=schedule, protocol="original")
    assert integrated_rates(row(training, 1000))[5] == pytest.approx(steps, rel=0.005)


def test_runs_of_one_schedule_count_once():
    cosine, uniform = (make_training("corrected", name) for name in ("cosine", "uniform"))
    runs = pd.concat([row(cosine, 9, 0), row(cosine, 9, 1), row(uniform, 9, 2)])
    assert list(distinct_schedules(runs).index) == [0, 2]
