"""Which settings differ, and how a figure shows them."""

import pandas as pd
import pytest

from postprocess.stats.factors import find_variation
from postprocess.stats.fields import as_text
from tests.helpers.figures import ROLES
from tests.helpers.synthetic import grid


def roles_of(configs) -> dict[str, str]:
    runs = pd.json_normalize([c.model_dump(mode="json") for c in configs])
    runs["training.schedule_options.milestones"] = "[]"
    roles = find_variation(runs).assign()
    named = {
        r: getattr(roles, r).key for r in ("hue", "style", "column", "row") if getattr(roles, r)
    }
    return named | ({"pooled": roles.pooled[0].key} if roles.pooled else {})


@pytest.mark.parametrize(("configs", "expected"), ROLES.values(), ids=ROLES)
def test_axes_get_the_roles_that_keep_panels_readable(configs, expected):
    assert roles_of(configs) == expected


def test_levels_are_ordered_and_named_for_people():
    runs = pd.json_normalize(
        [c.model_dump(mode="json") for c in grid(training__learning_rate=[1e-3, 2.5e-5, 1e-4])]
    ).drop(columns="training.schedule_options.milestones")
    (axis,) = find_variation(runs).axes
    assert axis.levels == ("2.5e-5", "1e-4", "1e-3")
    assert axis.label == "learning rate"


def test_images_of_one_name_in_different_folders_are_told_apart():
    configs = grid(data__image=["/a/photo.png", "/b/photo.png"], training__seed=[0, 1])
    runs = pd.json_normalize([c.model_dump(mode="json") for c in configs])
    variation = find_variation(runs.drop(columns="training.schedule_options.milestones"))
    axis = variation.target
    assert variation.axes == ()
    assert axis.levels == ("a/photo.png", "b/photo.png")
    assert list(variation.levels[axis.key].value_counts()) == [2, 2]


def test_settings_that_change_together_are_one_axis_with_all_their_names():
    plain = {"training__optimizer": ["adam"], "training__learning_rate": [1e-4]}
    recipe = {"training__optimizer": ["muon"], "training__learning_rate": [3e-4]}
    activations = {"model__activation": ["sine", "elu"]}
    configs = [
        *grid(**recipe, **activations, model__time_scale=[0.2]),
        *grid(**plain, **activations, model__time_scale=[1.0]),
    ]
    runs = pd.json_normalize([c.model_dump(mode="json") for c in configs])
    variation = find_variation(runs.drop(columns="training.schedule_options.milestones"))
    labels = {axis.label: axis.levels for axis in variation.axes}
    assert labels == {
        "activation": ("sine", "elu"),
        "learning rate, scale of the time input, optimiser": (
            "1e-4, 1, adam",
            "3e-4, 0.2, muon",
        ),
    }
    coupled = next(axis for axis in variation.axes if axis.coupled)
    assert coupled.words["3e-4, 0.2, muon"] == (
        "learning rate 3e-4", "scale of the time input 0.2", "optimiser muon",
    )  # fmt: skip
    (activation,) = (axis for axis in variation.axes if not axis.coupled)
    assert activation.words["elu"] == ("activation elu",)


def test_a_number_reads_alike_where_other_runs_have_none():
    column = pd.Series(["1.0", "none", "0.5"])
    assert [*as_text("training.clip_norm", column)] == ["1", "none", "0.5"]


def test_a_setting_that_another_determines_but_not_the_other_way_round_is_left_out():
    rates = {"sine": 1e-4, "elu": 1e-3, "tanh": 1e-3}
    configs = [
        config
        for activation, rate in rates.items()
        for config in grid(model__activation=[activation], training__learning_rate=[rate])
    ]
    runs = pd.json_normalize([c.model_dump(mode="json") for c in configs])
    (axis,) = find_variation(runs.drop(columns="training.schedule_options.milestones")).axes
    assert axis.label == "activation"
