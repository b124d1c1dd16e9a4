"""Configuration: limits, identity and names."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from inr.added_fields import ADDED_FIELDS, with_added
from inr.config import LossWeights, RunConfig, format_rate
from jobs.sweeps.fields import make_config, parse_settings
from jobs.sweeps.yaml_document import Part

WRONG = [
    ({"training": {"learning_rate": 0}}, "greater than 0"),
    ({"training": {"learning_rate": float("nan")}}, "finite number"),
    ({"training": {"loss_weights": [1, 0, 0]}}, "3 weights given, 4 needed"),
    ({"training": {"loss_weights": [0, 0, 0, 0]}}, "at least one must be positive"),
    ({"training": {"loss_weights": [1, -1, 0, 0]}}, "greater than or equal to 0"),
    ({"training": {"batch": "pixel"}}, "frame"),
    ({"training": {"schedule_options": {"milestones": [0.5, 0.25]}}}, "milestones must rise"),
    ({"training": {"clip_norm": 0}}, "greater than 0"),
    ({"training": {"optimizer": "lion"}}, "'adam', 'muon' or 'soap'"),
    ({"training": {"optimizer_options": {"momentum": 1}}}, "less than 1"),
    ({"training": {"balancing_options": {"decay": 0}}}, "greater than 0"),
    ({"model": {"space_scale": "pixel"}}, "'image'"),
    ({"model": {"time_scale": 0}}, "greater than 0"),
    ({"data": {"sigma_start": 4, "sigma_end": 1}}, "must be larger than sigma_start"),
    ({"data": {"size": 10}}, "greater than or equal to 12"),
    ({"data": {"noise": -0.1}}, "greater than or equal to 0"),
    ({"data": {"sigma_start": 0, "frame_spacing": "log_sigma"}}, "sigma_start above 0"),
    *[
        ({"data": {field: level}, "training": {"protocol": "original"}}, f"data.{field} is {level}")
        for field, level in (
            ("noise", 0.1),
            ("frame_spacing", "log_sigma"),
            ("derivatives", "discrete"),
            ("sigma_end", 5),
        )
    ],
    (
        {"training": {"protocol": "original", "value_points": "border"}},
        "training.value_points border is not part of it",
    ),
    ({"model": {"activation": "relu"}}, "'sine', 'elu'"),
    ({"model": {"sines": 2, "activation": "elu"}}, "sums are of the activation sine"),
    ({"model": {"widht": 4}}, "Extra inputs"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[str(w[0]) for w in WRONG])
def test_wrong_values_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RunConfig.model_validate(given)


def test_identity_covers_every_field_and_survives_a_round_trip() -> None:
    config = RunConfig()
    assert RunConfig.model_validate_json(config.canonical_json()).run_id == config.run_id
    others = [
        {"data": {"frames": 11}},
        {"model": {"omega_hidden": 29}},
        {"training": {"schedule_options": {"cycles": 3}}},
        {"training": {"loss_weights": [1, 0, 0, 1e-9]}},
        {"training": {"seed": 1}},
        {"training": {"clip_norm": 1}},
        {"model": {"time_scale": 0.5}},
        {"record": {"metrics_every": 7}},
    ]
    ids = {RunConfig.model_validate(other).run_id for other in others}
    assert len(ids | {config.run_id}) == len(others) + 1


def test_added_fields_leave_the_identity_of_older_runs() -> None:
    config = RunConfig.model_validate({"record": {"metrics_every": 200}})  # the default then
    assert config.run_id == "f2201862f25e"  # as it was before any was added
    for group, fields in ADDED_FIELDS.items():
        assert {name: getattr(getattr(config, group), name) for name in fields} == fields
    noisy = RunConfig.model_validate({"data": {"noise": 0.1}})
    assert noisy.run_id != config.run_id
    assert RunConfig.model_validate_json(noisy.canonical_json()) == noisy
    older = json.loads(config.canonical_json())
    assert with_added(older) == config.model_dump(mode="json")


def test_spelling_does_not_change_the_identity() -> None:
    one = RunConfig.model_validate({"training": {"loss_weights": [1, 0, 0, 0], "steps": 10}})
    other = RunConfig.model_validate(
        {"training": {"steps": 10, "loss_weights": {"value": 1.0, "gradient": 0}}}
    )
    assert one.run_id == other.run_id


def test_name_is_that_of_the_study() -> None:
    config = RunConfig.model_validate(
        {
            "model": {"activation": "elu"},
            "training": {
                "loss_weights": [1, 0.01, 0.001, 0],
                "schedule": "multi_step",
                "learning_rate": 2.5e-5,
            },
        }
    )
    assert config.name == "1_0.01_0.001_0/elu_multi_step_2.5e-5"


@pytest.mark.parametrize(
    ("rate", "text"), [(1e-4, "1e-4"), (0.00025, "2.5e-4"), (1.0, "1e+0"), (0.5, "5e-1")]
)
def test_rates_are_written_without_loss(rate: float, text: str) -> None:
    assert format_rate(rate) == text
    assert float(text) == rate


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        LossWeights().value = 2  # type: ignore[misc]


@pytest.mark.parametrize(("given", "mode"), [(True, "on"), (False, "off"), ("auto", "auto")])
def test_compile_takes_what_yaml_makes_of_on_and_off(given: object, mode: str) -> None:
    assert RunConfig.model_validate({"training": {"compile": given}}).training.compile == mode
    settings = parse_settings("training.compile", Part("sweep.yaml", given))
    assert make_config(settings).training.compile == mode


CADENCES = {
    "40 in a run": ({"training": {"steps": 4000}}, 100),
    "a short run": ({"training": {"steps": 600}}, 20),
    "ten at least, though they cost more than training": (
        {"data": {"size": 2048}, "training": {"steps": 1000, "batch": 1024}},
        100,
    ),
    "as many points as half of those trained": (
        {"data": {"size": 64, "frames": 8}, "training": {"steps": 1024, "batch": 1024}},
        64,
    ),
    "shorter than ten steps": ({"training": {"steps": 3}}, 1),
    "as given": ({"record": {"metrics_every": 7}}, 7),
}


@pytest.mark.parametrize(("given", "every"), CADENCES.values(), ids=CADENCES.keys())
def test_runs_are_measured_by_their_length(given: dict[str, Any], every: int) -> None:
    assert RunConfig.model_validate(given).metrics_every == every
