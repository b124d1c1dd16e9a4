"""What the runs of a sweep are called."""

from pathlib import Path

from inr.config import RunConfig
from inr.storage.sweep_index import IndexEntry
from jobs.sweeps.fields import make_config, parse_settings
from jobs.sweeps.run_names import name_runs
from jobs.sweeps.yaml_document import Part


def config(**fields) -> RunConfig:
    settings = {}
    for field, value in fields.items():
        settings |= parse_settings(field.replace("__", "."), Part("test", value))
    return make_config(settings)


def names(configs, listed=()) -> list[str]:
    return [entry.name for entry in name_runs(configs, list(listed))]


def test_names_tell_what_varies_with_the_seed_last():
    made = names(
        [config(training__seed=seed, model__width=width) for width in (8, 9) for seed in (0, 1)]
    )
    assert made == [
        f"1_0_0_0/sine_uniform_1e-4_width{width}_seed{seed}" for width in (8, 9) for seed in (0, 1)
    ]


def test_names_are_safe_and_unique():
    images = ["/a/x y.png", "/b/x:y.png", f"/c/{'long' * 80}.png", f"/d/{'long' * 80}.png"]
    made = names([config(data__image=image) for image in images])
    assert len({name.casefold() for name in made}) == len(images)
    for name in made:
        assert not set(name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-_./"
        )
        assert all(len(part) < 200 for part in Path(name).parts)


def test_listed_runs_keep_name_and_number():
    old = config(model__width=8)
    listed = [IndexEntry(old.run_id, "my/own_name", 4, old.model_dump(mode="json"))]
    entries = name_runs([config(model__width=9), old], listed)
    assert [(entry.name, entry.task) for entry in entries] == [
        ("1_0_0_0/sine_uniform_1e-4_width9", 5),
        ("my/own_name", 4),
    ]
