"""The benchmark of time to quality: what counts as reached, and whom it lets compete."""

import math

import pytest

# plain `pytest` does not put the root of the repository on the path
from inr.config import RunConfig
from inr.quantities import QUANTITIES
from tests.benchmarks.quality import RECOMMENDED, Contestant, placed, reference_to, sweep_recipes
from tests.benchmarks.quality_report import ablation_rows, contest_rows, reached, thresholds
from tests.benchmarks.quality_training import Curve, check_agreement, learning_curve


def curve(*errors: float, others: float = 0.1, seconds: float = 1.0) -> Curve:
    """A curve with a look a second, the errors given for the Laplacian."""
    looks = len(errors)
    return Curve(
        steps=[10 * (look + 1) for look in range(looks)],
        seconds=[seconds * (look + 1) for look in range(looks)],
        errors={q: [others] * looks for q in QUANTITIES} | {"laplacian": list(errors)},
    )


def test_a_threshold_is_the_best_that_the_reference_ever_had() -> None:
    wanted = thresholds([curve(0.9, 0.2, 0.4), curve(0.9, 0.3), curve(0.8, 0.7)])
    assert wanted["laplacian"] == 0.3  # median over the seeds of 0.2, 0.3, 0.7
    assert wanted["value"] == 0.1


@pytest.mark.parametrize(
    ("errors", "others", "expected"),
    [
        ((0.5, 0.3, 0.2), 0.1, (2, 20)),
        ((0.2, 0.5, 0.3, 0.2), 0.1, (3, 30)),
        ((0.3, 0.4), 0.1, (math.inf, math.inf)),
        ((0.5, 0.3), 0.2, (math.inf, math.inf)),
    ],
    ids=["falling", "rising in between", "lost at the end", "another error stays above"],
)
def test_all_four_have_to_be_reached_at_once_and_kept(
    errors: tuple[float, ...], others: float, expected: tuple[float, float]
) -> None:
    wanted = dict.fromkeys(QUANTITIES, 0.1) | {"laplacian": 0.3}
    assert reached(curve(*errors, others=others), wanted) == expected


def test_tables_compare_medians_and_say_never() -> None:
    curves = {("reference", "moon", seed): curve(0.5, 0.4, seconds=60.0) for seed in range(3)}
    curves |= {("recommended", "moon", 0): curve(0.4)}
    curves |= {("recommended", "moon", 1): curve(0.5, 0.4)}
    curves |= {("recommended", "moon", 2): curve(0.5, 0.5, 0.5, 0.2)}
    curves |= {("worse", "moon", seed): curve(0.5, 0.6) for seed in range(3)}
    (row,) = contest_rows(curves, ["moon"])
    assert (
        row["recommended has all four for good after, s (each seed)"] == "**2.0** (1.0, 2.0, 4.0)"
    )
    assert row["times faster"] == "60.0"
    mine, worse = ablation_rows(curves, ["recommended", "worse"], ["moon"])
    assert mine["moon: s (steps)"] == "2.0 (20.0)"
    assert worse["moon: s (steps)"] == "never (never)"
    assert worse["errors at the end / the recipe's"] == f"{(0.6 / 0.4) ** 0.25:.2f}"


def test_the_ablation_varies_the_recommended_recipe_one_part_at_a_time() -> None:
    recipes = sweep_recipes("ablation")
    assert next(iter(recipes)) == RECOMMENDED
    assert len(recipes) == 10
    assert all(recipe.count(" = ") == 1 for recipe in recipes if recipe != RECOMMENDED)
    assert recipes[RECOMMENDED] == sweep_recipes(RECOMMENDED)[RECOMMENDED]


def test_the_reference_is_the_published_recipe_on_the_same_task() -> None:
    mine = placed(sweep_recipes(RECOMMENDED)[RECOMMENDED], "x.png", 2, None)
    reference = reference_to(mine)
    assert reference.data == mine.data
    assert (reference.model.width, reference.model.depth) == (mine.model.width, mine.model.depth)
    assert reference.input_scales == (1, 1, 1)
    training = reference.training
    assert (training.optimizer, training.learning_rate) == ("adam", 1e-4)
    assert (training.schedule, training.batch) == ("uniform", "frame")
    assert training.loss_weights == mine.training.loss_weights
    assert training.seed == 2


def test_a_run_is_known_again_wherever_its_image_lies() -> None:
    recipe = sweep_recipes(RECOMMENDED)[RECOMMENDED]
    keys = {
        Contestant("recommended", "moon", placed(recipe, path, seed, None), 1.0).key
        for path in ("a/moon.png", "b/moon.png")
        for seed in (0, 1)
    }
    assert len(keys) == 2


@pytest.mark.parametrize("nested", [True, False])
def test_curves_end_with_the_last_step(nested: bool) -> None:
    config = RunConfig.model_validate(
        {
            "data": {"size": 16, "frames": 3},
            "model": {"width": 8, "depth": 2},
            "training": {"steps": 5, "loss_weights": [1, 1, 1, 1], "batch": 20},
        }
    )
    found = learning_curve(config, nested=nested, seconds=60.0, tell=lambda line: None)
    assert found.steps[-1] == 5
    assert all(len(found.errors[quantity]) == len(found.seconds) for quantity in QUANTITIES)
    assert check_agreement(config) < 1e-4
