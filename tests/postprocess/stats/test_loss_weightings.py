"""Sweeps over many loss weightings: ranks, fronts and correlations against brute force."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from inr.quantities import QUANTITIES
from postprocess.plots import style
from postprocess.plots.loss_weights import draw_influence, draw_pareto, draw_ranking, draw_ranks
from postprocess.stats.fields import WEIGHTS
from postprocess.stats.loss_weightings import Weightings, find_weightings

LEVELS = [(1, 0, 0, 0), *itertools.product((0, 0.1), (0, 1), (0.01, 1), (0, 0.001))]
LEVELS = LEVELS[:14]


@pytest.fixture(autouse=True)
def _style() -> None:
    style.use_style()


def table(errors: np.ndarray, weights=LEVELS) -> pd.DataFrame:
    """One run a row, errors [run, quantity]."""
    columns = {f"{WEIGHTS}.{q}": [w[i] for w in weights] for i, q in enumerate(QUANTITIES)}
    columns |= {f"nmse_{q}": errors[:, i] for i, q in enumerate(QUANTITIES)}
    return pd.DataFrame(columns)


@pytest.fixture
def random() -> Weightings:
    rng = np.random.default_rng(0)
    return find_weightings(table(10 ** rng.normal(size=(len(LEVELS), 4))))


def test_runs_of_a_weighting_become_one_typical_error():
    errors = np.array([[0.01, 1, 1, 1], [1.0, 1, 1, 1], [0.1, 1, 1, 1], [5, 6, 7, 8]])
    runs = table(errors, [(1, 0, 0, 0)] * 3 + [(1, 0.1, 0, 0)])
    found = find_weightings(runs)
    assert found.names == ("(1, 0, 0, 0)", "(1, 0.1, 0, 0)")
    assert len(found) == 2
    np.testing.assert_allclose(found.errors[0], [0.1, 1, 1, 1, 0.1**0.25])
    np.testing.assert_allclose(found.errors[1, 4], (5 * 6 * 7 * 8) ** 0.25)


def test_failed_weightings_come_last_and_win_nothing():
    errors = np.array([[np.nan] * 4, [0.1, 0.5, 0.1, 0.1], [0.2, np.inf, 0.1, 0.1]])
    found = find_weightings(table(errors, LEVELS[:3]))
    assert found.ranks[:, 1].tolist() == [2, 1, 2]
    assert found.ranks[:, 0].tolist() == [3, 1, 2]
    assert found.best(1, 4) == [1]
    assert found.front(0, 1) == [1]


def test_a_sweep_without_weights_has_no_weightings():
    assert len(find_weightings(pd.DataFrame({"model.width": [1, 2]}))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_front_is_what_no_other_weighting_beats(seed):
    errors = np.random.default_rng(seed).integers(1, 8, size=(14, 5)).astype(float)
    found = Weightings(tuple(map(str, range(14))), np.zeros((14, 4)), errors)

    def beaten(i: int) -> bool:
        mine, others = errors[i, [0, 2]], errors[:, [0, 2]]
        return bool(((others <= mine).all(axis=1) & (others < mine).any(axis=1)).any())

    front = found.front(0, 2)
    expected = {tuple(errors[i, [0, 2]]) for i in range(14) if not beaten(i)}
    assert {tuple(errors[i, [0, 2]]) for i in front} == expected
    assert len(front) == len(expected)
    assert sorted(front, key=lambda i: errors[i, 0]) == front


def test_influence_is_spearmans_correlation(random):
    for (weight, error), interval in random.influence.items():
        expected = spearmanr(random.weights[:, weight], random.errors[:, error]).statistic
        assert interval.estimate == pytest.approx(expected)
        assert interval.low < interval.estimate < interval.high


def test_influence_is_sure_where_the_order_is_perfect():
    weights = np.zeros((20, 4))
    weights[:, 1] = np.arange(20)
    errors = np.repeat(np.arange(20, 0, -1.0)[:, None], 5, axis=1)
    found = Weightings(("",) * 20, weights, errors).influence
    assert {weight for weight, _ in found} == {1}  # the others do not vary
    for interval in found.values():
        assert (interval.estimate, interval.low, interval.high) == pytest.approx((-1, -1, -1))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def test_ranking_shows_the_best_on_value_and_over_all(random):
    figure = draw_ranking(random)
    named = [[label.get_text() for label in panel.get_yticklabels()] for panel in figure.axes]
    order = np.argsort(random.errors[:, 0]), np.argsort(random.errors[:, 4])
    assert named == [[random.names[i] for i in best[:4]] for best in order]
    first = order[0][0]
    assert texts(figure)[:5] == [
        f"{error:.3g}\n#{rank}"
        for error, rank in zip(random.errors[first], random.ranks[first], strict=True)
    ]


def test_every_weighting_has_a_line_of_ranks(random):
    (panel,) = draw_ranks(random).axes
    drawn = {tuple(line.get_ydata()) for line in panel.lines}
    assert drawn == {tuple(ranks) for ranks in random.ranks}
    assert panel.get_ylim()[0] > panel.get_ylim()[1]  # the best on top


def test_pareto_names_every_member_of_a_front(random):
    figure = draw_pareto(random)
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    members = {i for error in (1, 2, 3) for i in random.front(0, error)}
    for number, i in enumerate(sorted(members, key=lambda i: random.errors[i, 0]), start=1):
        assert f"{number}  {random.names[i]}" in legend
    numbers = {
        i: n for n, i in enumerate(sorted(members, key=lambda i: random.errors[i, 0]), start=1)
    }
    for panel, error in zip(figure.axes, (1, 2, 3), strict=True):
        parts = [
            part.split("\u2013") for text in panel.texts for part in text.get_text().split(", ")
        ]
        shown = [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)]
        assert shown == sorted(numbers[i] for i in random.front(0, error))


def test_influence_says_its_numbers(random):
    shown = texts(draw_influence(random))
    interval = random.influence[0, 0]
    assert shown[0] == f"{interval.estimate:+.2f}\n{interval.low:+.2f} to {interval.high:+.2f}"


DRAWS = [draw_ranking, draw_ranks, draw_pareto, draw_influence]


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_sweeps_of_failed_runs_can_be_drawn(draw):
    errors = np.full((len(LEVELS), 4), np.nan)
    draw(find_weightings(table(errors))).draw_without_rendering()
