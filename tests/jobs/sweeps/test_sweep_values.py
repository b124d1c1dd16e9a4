"""How values of sweep files and ``--set`` are read and told, and the lines of mistakes."""

import re
from pathlib import Path

import pytest

from inr.errors import UsageError
from inr.storage.sweep_index import flatten_config
from jobs.sweeps.sweep_file import load_sweep
from jobs.sweeps.yaml_file import write

FIELDS = [
    ("data.size", "0256", 256),
    ("training.steps", "1e3", 1000),
    ("training.steps", "010", 10),
    ("training.learning_rate", "1e-4", 1e-4),
    ("training.compile", "on", "on"),
    ("training.compile", "off", "off"),
    ("record.tensorboard", "no", False),
    ("record.tensorboard", "false", False),
]


@pytest.mark.parametrize(("field", "written", "read"), FIELDS)
def test_a_file_and_set_read_alike(tmp_path: Path, field: str, written: str, read: object) -> None:
    path = tmp_path / "s.yaml"
    for text, overrides in ((f"base: {{{field}: {written}}}", []), ("{}", [f"{field}={written}"])):
        path.write_text(text)
        (config,) = load_sweep(path, overrides).configs
        assert dict(flatten_config(config.model_dump()))[field] == read


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("training.steps", "1:30"),
        ("training.steps", "1:30:00"),
        ("training.steps", "yes"),
        ("data.size", "0256.5"),
        ("data.size", "0_"),
        ("training.steps", "true"),
        ("training.steps", "2024-01-01"),
        ("model.activation", "on"),
        ("model.activation", "0123"),
        ("training.seed", "-0256"),
    ],
)
def test_refused_values_are_shown_as_written(tmp_path: Path, field: str, written: str) -> None:
    path = tmp_path / "s.yaml"
    for text, overrides in (
        (f"base:\n  {field}: {written}", []),
        ("{}", [f"{field}={written}"]),
    ):
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            load_sweep(path, overrides)
        said = str(caught.value)
        shown = "True" if written == "true" else written
        assert re.search(rf"'?{re.escape(shown)}'? is not allowed for {re.escape(field)}: ", said)
        assert said.startswith(f"--set {overrides[0]}: " if overrides else f"{path}:2: base.")


def test_merge_in_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "list:\n- &small {model.width: 4, model.depth: 2}\n- {<<: *small, model.depth: 3}"
    )
    configs = load_sweep(path).configs
    assert [(c.model.width, c.model.depth) for c in configs] == [(4, 2), (4, 3)]


def test_mistakes_name_the_line_they_are_on(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "base:\n  training:\n    steps: 5\n    loss_weights:\n    - 1\n    - x\n    - 0\n    - 0"
    )
    with pytest.raises(UsageError, match=re.escape("s.yaml:6: base.training.loss_weights[1]: 'x'")):
        load_sweep(path)
    path.write_text("grid:\n  model:\n    width: [1]\n\n    widht: [2]")
    with pytest.raises(UsageError, match=re.escape("s.yaml:5: grid.model.widht: no field")):
        load_sweep(path)


@pytest.mark.parametrize("text", ["\x1b\r", "a\r", "\r", "a\x07b", "\u202e", "a\x85"])
def test_names_are_shown_with_all_that_is_in_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(write({"name": text}))
    with pytest.raises(UsageError) as caught:
        load_sweep(path)
    assert f"name: {text!r} is not allowed" in str(caught.value)
    assert str(caught.value).isprintable()


def test_overrides_and_descriptions_cannot_move_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text('description: "a\\e[31m\\r  b"')
    assert load_sweep(path).description == "a\\x1b[31m b"
    with pytest.raises(UsageError) as caught:
        load_sweep(path, ["model.width=\x1b[31m"])
    assert str(caught.value).startswith(r"--set model.width=\x1b[31m: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("image", ["~nosuch/p.png", "~/p.png", "0123", "2024", "1e5", "2024-01-01"])
def test_images_are_paths_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = tmp_path / image.replace("~/", "home/")
    Path("s.yaml").write_text(f"base: {{data: {{image: {image}}}}}")
    for sweep in (load_sweep(Path("s.yaml")), load_sweep(Path("s.yaml"), [f"data.image={image}"])):
        (config,) = sweep.configs
        assert config.data.image == str(expected)
