"""ReLoBRaLo against the formula written out in numpy, and its state."""

import io

import numpy as np
import pytest
import torch

from inr.config import TrainingConfig
from inr.training.balancing import Balance

STEPS = 12


QUANTITIES_USED = (0, 1, 3)  # the Laplacian has weight 0
COEFFICIENTS = torch.tensor([2.0, 0.5, 0.0, 1.0], dtype=torch.float64)


def training(**options: float) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "loss_balancing": "relobralo",
            "balancing_options": options,
            "seed": 3,
            "loss_weights": COEFFICIENTS.tolist(),
        }
    )


def errors() -> np.ndarray:
    """Errors that fall at different speeds, [step, quantity]; the unused one is not a number."""
    falling = np.exp(-np.outer(np.arange(STEPS), [0.02, 0.1, 0.0, 0.5]))
    return falling * np.array([1.0, 30.0, np.nan, 0.1])


def factors_of(config: TrainingConfig, series: np.ndarray) -> np.ndarray:
    """lambda of the used terms after each step."""
    balance, found = Balance(config, torch.device("cpu")), []
    torch.testing.assert_close(balance.scale(COEFFICIENTS), COEFFICIENTS)
    for step, row in enumerate(series):
        balance.observe(torch.from_numpy(row), step)
        scaled = balance.scale(COEFFICIENTS)
        assert scaled[2] == 0
        found.append((scaled / COEFFICIENTS).numpy()[list(QUANTITIES_USED)])
    return np.array(found)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


@pytest.mark.parametrize(("lookback", "keeps"), [(1.0, 1), (0.0, 0)], ids=["never", "always"])
def test_the_formula(lookback: float, keeps: int) -> None:
    decay, temperature = 0.7, 0.5
    config = training(lookback=lookback, decay=decay, temperature=temperature)
    series = errors()[:, QUANTITIES_USED]
    expected, before = np.ones(3), series[0]
    for row, found in zip(series, factors_of(config, errors()), strict=True):
        since_start = 3 * softmax(row / (temperature * series[0]))
        since_last = 3 * softmax(row / (temperature * before))
        kept = keeps * expected + (1 - keeps) * since_start
        expected = decay * kept + (1 - decay) * since_last
        np.testing.assert_allclose(found, expected)
        before = row


def test_slow_terms_gain_and_the_sum_stays() -> None:
    factors = factors_of(training(lookback=0.0, decay=0.9), errors())
    np.testing.assert_allclose(factors.sum(axis=1), 3)
    np.testing.assert_allclose(factors[0], 1)
    assert factors[-1, 0] > factors[-1, 1] > factors[-1, 2]


def test_looking_back_is_random_by_seed_and_step_alone() -> None:
    some = training(lookback=0.5)
    first, again = factors_of(some, errors()), factors_of(some, errors())
    np.testing.assert_array_equal(first, again)
    other = factors_of(some.model_copy(update={"seed": 4}), errors())
    assert (first != other).any()


def test_an_error_of_zero_does_no_harm() -> None:
    series = errors()
    series[3:, 1] = 0
    assert np.isfinite(factors_of(training(lookback=0.5), series)).all()


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_going_on_from_a_saved_state_is_exact(cut: int) -> None:
    config, series = training(lookback=0.5), torch.from_numpy(errors())
    whole, start, rest = (Balance(config, torch.device("cpu")) for _ in range(3))
    for step, row in enumerate(series):
        whole.observe(row, step)
    for step, row in enumerate(series[:cut]):
        start.observe(row, step)
    file = io.BytesIO()
    torch.save(start.state, file)
    file.seek(0)
    rest.state = torch.load(file, weights_only=True)
    for step, row in enumerate(series[cut:], start=cut):
        rest.observe(row, step)
    assert torch.equal(rest.scale(COEFFICIENTS), whole.scale(COEFFICIENTS))


def test_without_balancing_nothing_changes() -> None:
    balance = Balance(TrainingConfig(), torch.device("cpu"))
    balance.observe(torch.ones(4), 0)
    assert torch.equal(balance.scale(COEFFICIENTS), COEFFICIENTS)
    assert balance.state == {}
