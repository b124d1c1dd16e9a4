"""Mistakes in sweep files: each is named in one line, all of them together."""

import subprocess
import sys
from pathlib import Path

import pytest

from inr.errors import UsageError
from inr.storage.provenance import ROOT
from jobs.sweeps.sweep_file import load_sweep

MISTAKES = {
    "typo-in-field": ("grid:\n  model.widht: [1]", ["2: grid.model.widht", "model.width?"]),
    "group-left-out": ("base: {learning_rate: 1e-3}", ["training.learning_rate?"]),
    "typo-in-group": ("base: {modell: {width: 3}}", ["modell"]),
    "typo-in-nested-field": ("base: {model: {widht: 3}}", ["base.model.widht", "model.width?"]),
    "unknown-key": ("grids: {}", ["grids", "grid?"]),
    "wrong-type": ("base:\n  model.width: wide", [":2:", "'wide'", "model.width", "integer"]),
    "negative": ("base: {training.steps: -5}", ["-5", "training.steps", "greater than"]),
    "unknown-word": (
        "grid:\n  model.activation:\n  - sine\n  - sien",
        [":4: grid.model.activation[1]", "'sien'", "elu", "Did you mean sine?"],
    ),
    "word-or-number": ("base: {training.batch: 0}", ["training.batch", "frame", "greater than"]),
    "truth-value": ("base: {training.steps: true}", ["True", "training.steps", "integer"]),
    "word-for-number": ("base: {training.steps: yes}", ["'yes'", "training.steps", "integer"]),
    "not-finite": ("base: {training.learning_rate: .inf}", ["training.learning_rate", "inf"]),
    "weights-length": ("base: {training.loss_weights: [1, 2]}", ["2 weights", "4", "laplacian"]),
    "weights-zero": ("base: {training.loss_weights: [0, 0, 0, 0]}", ["base.training", "positive"]),
    "weights-flat-in-grid": ("grid: {training.loss_weights: [1, 0, 0, 0]}", ["list of four"]),
    "contradiction": (
        "base: {data.sigma_start: 5}\ngrid: {data.sigma_end: [9, 4]}",
        ["base.data.sigma_start", "grid.data.sigma_end[1]", "larger"],
    ),
    "scalar-in-grid": ("grid: {model.width: 8}", ["grid.model.width", "list", "base"]),
    "empty-list": ("grid: {model.width: []}", ["grid.model.width", "list"]),
    "list-for-scalar": ("base: {model.width: [8, 9]}", ["[8, 9]", "model.width"]),
    "set-twice": ("base: {model: {width: 1}, model.width: 2}", ["model.width is already set"]),
    "two-axes": ("grid: {model.width: [1]}\nlist: [{model.width: 2}]", ["already set at"]),
    "key-twice": ("base: {model.width: 1, model.width: 2}", ["named twice"]),
    "bad-yaml": ("base: [", ["not valid YAML", "line 1"]),
    "not-a-mapping": ("- 1", ["must be a mapping"]),
    "seeds-zero": ("seeds: 0", ["seeds", "1 or more"]),
    "seed-negative": ("seeds: [0, -1]", ["seeds[1]", "-1"]),
    "name-with-slash": ("name: ../up", ["'../up'", "letters"]),
    "random-count": (
        "random: {choices: {model.width: [1]}}",
        ["random.count is missing", "whole number"],
    ),
    "random-key": ("random: {cuont: 1}", ["cuont", "count?"]),
    "random-set-twice": (
        "random: {count: 1, choices: {model: {width: [1, 2]}, model.width: [3]}}",
        ["random.choices.model.width[0]", "already set at"],
    ),
    "random-too-many": ("random: {count: 5, choices: {model.width: [1, 2]}}", ["only 2"]),
    "random-impossible": (
        "random: {count: 1, choices: {model.width: [1, 2]}, constraint: {sum: model, above: 9}}",
        ["only 0", "random.constraint"],
    ),
    "constraint-not-drawn": (
        "random: {count: 1, choices: {model.width: [1]}, constraint: {sum: model.depth, above: 0}}",
        ["model.depth", "not among the choices"],
    ),
    "constraint-no-limit": (
        "random: {count: 1, choices: {model.width: [1]}, constraint: {sum: model.width}}",
        ["above or below"],
    ),
    "include-more-than-the-count": (
        "random: {count: 1, choices: {model.width: [1]}, include: "
        "[{model.width: 2}, {model.width: 3}]}",
        ["random.include", "at most as many as random.count, 1"],
    ),
    "include-other-fields": (
        "random: {count: 2, choices: {model.width: [1, 2]}, include: [{model.depth: 2}]}",
        ["random.include[0]", "model.depth", "model.width"],
    ),
    "field-close-to-another": (
        "base: {training.stps: 1}",
        ["no field 'training.stps'. Did you mean training.steps?"],
    ),
    "field-close-to-none": (
        "base: {training.nope: 1}",
        ["no field 'training.nope'. The fields of training are protocol, steps, "],
    ),
    "alias-in-itself": ("base: &a {model: *a}", ["not valid YAML"]),
    "too-many": (
        f"grid: {{model.width: {list(range(1, 2001))}, training.seed: {list(range(2000))}}}",
        ["4,000,000", "1,000,000"],
    ),
}


@pytest.mark.parametrize(("text", "fragments"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named(tmp_path, text, fragments):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load_sweep(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message or text.startswith("grid: {model.width: [1, 2, 3")
    for fragment in fragments:
        assert fragment in message


SEVERAL = """\
description: mistakes in every block
base: {model: {widht: 8, depth: none}}
seeds: [0, -1]
grid:
  model.activation: [sine, sien]
  training.steps: 100
list:
- {training.schedule: cosin}
- {training.batch: 0}
set: {data.size: 3}
"""


def refusal(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(UsageError) as error:
        load_sweep(path, overrides)
    return str(error.value).splitlines()


def test_all_mistakes_are_told_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(SEVERAL)
    first, *lines = refusal(path, "training.steps=no", "data.size=64", "model.dept=3")
    assert first == "10 mistakes:"
    starts = [
        f"{path}:2: base.model.widht: no field 'model.widht'. Did you mean model.width?",
        f"{path}:2: base.model.depth: 'none' is not allowed for model.depth",
        f"{path}:3: seeds[1]: -1 is not allowed for training.seed",
        f"{path}:5: grid.model.activation[1]: 'sien' is not allowed",
        f"{path}:6: grid.training.steps: must be a list of values, got 100",
        f"{path}:8: list[0].training.schedule: 'cosin' is not allowed",
        f"{path}:9: list[1].training.batch: 0 is not allowed",
        f"{path}:10: set.data.size: 3 is not allowed",
        "--set training.steps=no: 'no' is not allowed",
        "--set model.dept=3: no field 'model.dept'. Did you mean model.depth?",
    ]
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)


def test_a_wrong_block_hides_no_mistake_in_another(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("grids: {}\nbase: {model.width: 0}\nrandom: {cuont: 2, choices: 3}\n")
    first, *lines = refusal(path)
    assert first == "4 mistakes:"
    starts = ["1: grids: unknown", "2: base.model.width: 0", "3: random.", "3: random."]
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(f"{path}:{start}")


def test_ten_mistakes_are_shown(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"seeds: {[-1] * 1234}")
    lines = refusal(path)
    assert lines[0] == "1,234 mistakes:"
    assert lines[10].startswith(f"{path}:1: seeds[9]: -1")
    assert lines[11:] == ["and 1,224 more"]


def test_several_mistakes_end_the_command_with_code_2(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("base: {model.width: 0}")
    command = [sys.executable, str(ROOT / "jobs" / "launch.py"), "--local", "--dry-run"]
    command += ["--sweep", str(path), "--set", "training.steps=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    first, *lines = done.stderr.splitlines()
    assert first == "error: 2 mistakes:"
    assert lines[0].startswith(f"{path}:1: base.model.width: 0 is not allowed for model.width: ")
    assert lines[1].startswith("--set training.steps=0: 0 is not allowed for training.steps: ")


def test_a_field_is_found_by_its_own_name_too(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("name: any\n")
    assert refusal(path, "seeds=2") == [
        "--set seeds=2: no field 'seeds'. Did you mean training.seed?"
    ]
