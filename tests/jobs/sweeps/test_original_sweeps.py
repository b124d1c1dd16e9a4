"""The original protocol in sweep files: what the study had not, and the sweeps that repeat it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inr.config import RunConfig
from inr.errors import UsageError
from jobs.sweeps.sweep_file import find_sweep_file, load_sweep

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "cosine": ({"training": {"schedule": "cosine"}}, "schedule cosine.*multi_step or cyclic"),
    "options": ({"training": {"schedule_options": {"cycles": 3}}}, "at its defaults"),
    "balancing": ({"training": {"loss_balancing": "relobralo"}}, "relobralo.*none"),
    "floor": (
        {"training": {"schedule": "cyclic", "learning_rate": 1e-7}},
        "1e-07 to training.learning_rate",
    ),
    "start": ({"data": {"sigma_start": 0.0}}, r"data.sigma_start is 0, .* default, 0\.7"),
    "end": ({"data": {"sigma_end": 5.0}}, "data.sigma_end is 5, .* default, 4"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_study_had_not_is_refused(given: dict[str, Any], message: str) -> None:
    RunConfig.model_validate(given)  # right under the corrected protocol
    training = given.get("training", {}) | {"protocol": "original"}
    with pytest.raises(ValidationError, match=f"training.protocol original.*{message}|{message}"):
        RunConfig.model_validate(given | {"training": training})


def test_a_contradiction_is_shown_where_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("base:\n  data: {size: 32, frames: 4, sigma_end: 5}\n  model: {width: 8}\n")
    with pytest.raises(UsageError, match=r"data\.sigma_end is 5") as error:
        load_sweep(path, ["training.protocol=original"])
    assert "base.data.sigma_end" in str(error.value)
    assert "width" not in str(error.value)


@pytest.mark.parametrize("name", ["learning_rate", "activation", "loss_weights", "claims"])
def test_the_original_sweeps_are_of_the_original_protocol(name: str) -> None:
    corrected, published = (
        load_sweep(find_sweep_file(file)).configs for file in (name, f"original_{name}")
    )
    assert {config.training.protocol for config in corrected} == {"corrected"}
    for config in published:
        assert config.training.protocol == "original"
        assert config.training.loss_normalization == "raw"
        assert (config.data.size, config.model.width, config.model.depth) == (256, 512, 4)
        alone = config.training.loss_weights.as_tuple() == (1, 0, 0, 0)
        long = name == "learning_rate" or (name == "claims" and not alone)
        assert config.training.steps == (1000 if long else 200)
