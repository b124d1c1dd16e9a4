"""Sweep files: where they are found, and what they expand to."""

import pytest

from inr.config import RunConfig
from inr.errors import UsageError
from inr.storage.sweep_index import flatten_config
from jobs.launching.arguments import parse_options
from jobs.sweeps.fields import all_fields
from jobs.sweeps.run_names import name_runs
from jobs.sweeps.sweep_file import SHIPPED, find_sweep_file, load_sweep
from jobs.sweeps.yaml_file import write


@pytest.fixture
def expand(tmp_path):
    """Expand the text of a sweep file to {field: value} of every run, in order."""

    def run(text: str, *overrides: str) -> list[dict]:
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        configs = load_sweep(path, list(overrides)).configs
        return [dict(flatten_config(config.model_dump())) for config in configs]

    return run


def pick(runs: list[dict], *fields: str) -> list:
    return [tuple(run[field] for field in fields) for run in runs]


def weights(run: dict) -> tuple:
    return tuple(value for field, value in run.items() if "loss_weights" in field)


SHIPPED_SIZES = {
    "quickstart": 8,
    "learning_rate": 120,
    "activation": 140,
    "activation_tuning": 280,
    "loss_weights": 160,
    "claims": 190,
    "frame_spacing": 18,
    "original_learning_rate": 54,
    "original_activation": 30,
    "original_loss_weights": 100,
    "original_claims": 80,
    "study": 160,
    "recommended": 3,
    "ablation": 30,
    "reconstruction": 14,
}


@pytest.mark.parametrize(("name", "size"), SHIPPED_SIZES.items(), ids=SHIPPED_SIZES)
def test_shipped_sweep(name, size):
    sweep = load_sweep(find_sweep_file(name))
    assert (sweep.name, len(sweep.configs), sweep.combinations) == (name, size, size)
    assert sweep.description
    names = [entry.name for entry in name_runs(sweep.configs, [])]
    assert len(set(names)) == size
    header = (SHIPPED / f"{name}.yaml").read_text().split("\n\n")[0]
    assert header.startswith("#")
    assert f"# {size} runs" in (SHIPPED / f"{name}.yaml").read_text()


def test_every_shipped_sweep_is_tested():
    assert {path.stem for path in SHIPPED.glob("*.yaml")} == set(SHIPPED_SIZES)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("~/s.yaml", "~/s.yaml: no such sweep file"),
        ("~nosuch/s.yaml", "~nosuch/s.yaml: no such sweep file"),
        ("/tmp/", "/tmp/: no such sweep file"),
        ("quikstart", "no sweep 'quikstart'"),
        ("", "no sweep ''"),
    ],
)
def test_paths_that_are_no_sweep(given, said, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError) as error:
        find_sweep_file(parse_options(["--local", "--sweep", given]).sweep)
    assert str(error.value).startswith(said)


def test_home_directories_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "s.yaml").touch()
    assert find_sweep_file("~/s.yaml") == tmp_path / "s.yaml"
    assert parse_options(["--local", "--output=~/o"]).output == tmp_path / "o"


def test_original_draws_are_distinct_and_heavy_enough():
    configs = load_sweep(find_sweep_file("original_loss_weights")).configs
    draws = [config.training.loss_weights.as_tuple() for config in configs]
    assert len(set(draws)) == 100
    assert all(sum(draw) > 0.1 for draw in draws)
    assert {weight for draw in draws for weight in draw} == {1, 0.1, 0.01, 0.001, 0}


def test_blocks_multiply_with_the_seeds_innermost(expand):
    runs = expand(
        """
        grid: {model.activation: [sine, elu]}
        list: [{model.width: 8}, {model: {width: 9, depth: 2}}]
        seeds: 2
        """
    )
    assert pick(runs, "model.activation", "model.width", "model.depth", "training.seed") == [
        (activation, width, depth, seed)
        for activation in ("sine", "elu")
        for width, depth in ((8, 4), (9, 2))
        for seed in (0, 1)
    ]


def test_grid_may_be_nested(expand):
    runs = expand("grid: {model: {width: [8, 9]}, training.loss_weights: {gradient: [0, 1]}}")
    assert pick(runs, "model.width", "training.loss_weights.gradient") == [
        (8, 0),
        (8, 1),
        (9, 0),
        (9, 1),
    ]


def test_no_block_is_one_run_of_defaults(expand):
    assert expand("name: plain") == [dict(flatten_config(RunConfig().model_dump()))]


def test_blocks_override_base_and_set_overrides_all(expand):
    text = """
        base: {model: {width: 4}, training.loss_weights: [0, 0, 0, 2]}
        grid: {model.width: [5, 6], training.loss_weights.value: [0, 1]}
        """
    runs = expand(text)
    assert pick(runs, "model.width") == [(5,), (5,), (6,), (6,)]
    assert [weights(run) for run in runs] == [(0, 0, 0, 2), (1, 0, 0, 2)] * 2
    fixed = expand(text, "model.width=7", "training.loss_weights=[0, 1, 0, 0]")
    assert pick(fixed, "model.width") == [(7,)]
    assert weights(fixed[0]) == (0, 1, 0, 0)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        pytest.param("training.learning_rate", "1e-4", 1e-4, id="yaml-1.1-exponent"),
        pytest.param("training.steps", "1e3", 1000, id="whole-number-with-exponent"),
        pytest.param("training.batch", "frame", "frame", id="word"),
        pytest.param("training.batch", "512", 512, id="word-or-number"),
        pytest.param("record.tensorboard", "off", False, id="switch"),
        pytest.param(
            "training.schedule_options.milestones", "[1e-1, 0.5]", (0.1, 0.5), id="list-field"
        ),
    ],
)
def test_values_are_read_as_meant(expand, field, text, value):
    assert pick(expand(f"base: {{{field}: {text}}}"), field) == [(value,)]
    assert pick(expand("name: a", f"{field}={text}"), field) == [(value,)]


def test_every_field_can_be_addressed(expand):
    defaults = dict(flatten_config(RunConfig().model_dump(mode="json")))
    assert defaults.keys() == all_fields().keys()
    block = write({"base": defaults})
    assert expand(block) == [dict(flatten_config(RunConfig().model_dump()))]


def test_random_draws_repeat_and_depend_on_the_seed(expand):
    def draw(seed: int) -> list:
        text = f"""
            random:
              count: 20
              seed: {seed}
              choices: {{model.width: [1, 2, 3, 4, 5, 6], model.depth: [1, 2, 3, 4, 5, 6]}}
              constraint: {{sum: [model.width, model.depth], above: 2, below: 11}}
            """
        return pick(expand(text), "model.width", "model.depth")

    first = draw(0)
    assert first == draw(0)
    assert first != draw(1)
    assert len(set(first)) == 20
    assert all(2 < width + depth < 11 for width, depth in first)


def test_random_begins_with_what_is_included(expand):
    def draw(count: int) -> list:
        text = f"""
            random:
              count: {count}
              choices: {{model.width: [1, 2, 3], model.depth: [1, 2, 3]}}
              constraint: {{sum: [model.width, model.depth], above: 3}}
              include:
                - {{model: {{width: 1, depth: 1}}}}
                - {{model.width: 3, model.depth: 3}}
            """
        return pick(expand(text), "model.width", "model.depth")

    assert draw(2) == [(1, 1), (3, 3)]
    everything = draw(7)  # six meet the constraint
    assert everything[:2] == draw(2)
    assert len(set(everything)) == 7


def test_random_can_exhaust_the_choices(expand):
    runs = expand("random: {count: 3, choices: {model.width: [1, 2, 3, 3.0]}}")
    assert sorted(pick(runs, "model.width")) == [(1,), (2,), (3,)]


def test_duplicates_are_counted(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("grid: {model.width: [8, 8.0, 9]}")
    sweep = load_sweep(path)
    assert (len(sweep.configs), sweep.combinations) == (2, 3)


def test_resolved_text_gives_the_same_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(
        "base: {data: {image: a.png}}\nlist: [{data.size: 20}, {data.image: b.png}]\nseeds: [3, 5]"
    )
    sweep = load_sweep(path, ["training.learning_rate=1e-5"])
    again = tmp_path / "elsewhere" / "sweep.yaml"
    again.parent.mkdir()
    again.write_text(sweep.text)
    monkeypatch.chdir(again.parent)
    resolved = load_sweep(again)
    assert resolved.name == "mine"
    assert resolved == sweep
    assert {config.data.image for config in sweep.configs} == {
        str(tmp_path / "a.png"),
        str(tmp_path / "b.png"),
    }
