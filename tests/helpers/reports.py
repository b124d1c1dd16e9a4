"""Sweeps with reports, as the tests in a browser open them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots import style
from postprocess.plots.batch import write_figures
from tests.helpers.synthetic import (
    call,
    grid,
    make_config,
    quickstart,
    write_index,
    write_run,
    write_sweep,
)
from tests.helpers.targets import IMAGES, write_targets

SMALL: dict[str, Any] = {"data__size": [12], "data__frames": [2]}


EVIL = "<script>hacked=1</script>"


def report(layout: SweepLayout, *options: str) -> SweepLayout:
    assert call("report", layout.root, *options) == 0
    return layout


def draw(layout: SweepLayout, *names: str) -> None:
    style.use_style()
    for name in names:
        write_figures(layout, ensure_merged(layout), only=name)


def add_videos(layout: SweepLayout, video: Path) -> None:
    for results in layout.runs.rglob("run.h5"):
        path = layout.videos / f"{results.parent.relative_to(layout.runs)}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, path)


def write_quick(root: Path, video: Path) -> SweepLayout:
    layout = write_sweep(root, quickstart(), shape=(12, 12))
    layout.specification.write_text("name: quickstart\n")
    draw(layout, "overview", "nmse_value")
    add_videos(layout, video)
    return report(layout)


def write_one(root: Path, video: Path) -> SweepLayout:
    layout = write_sweep(root, [make_config()], shape=(12, 12))
    draw(layout, "overview")
    add_videos(layout, video)
    return report(layout)


def write_seeds(root: Path, video: Path) -> SweepLayout:
    """Sixteen settings of four axes and three seeds: as wide as a ranking is made for."""
    configs = grid(
        model__activation=["sine", "softplus"],
        training__loss_weights=[(1, 0, 0, 0), (1, 0.1, 0.01, 0.1)],
        training__schedule=["cosine", "exponential"],
        training__learning_rate=[1e-4, 1e-3],
        training__seed=[0, 1, 2],
        **SMALL,
    )
    layout = write_sweep(root, configs, shape=None)
    draw(layout, "overview", "nmse_value")
    add_videos(layout, video)
    return report(layout)


def write_coupled(root: Path, video: Path) -> SweepLayout:
    """Three activations by two recipes of three fields, two seeds."""
    recipes = [
        {"model__time_scale": [scale], "training__optimizer": [optimizer]}
        | {"training__clip_norm": [norm]}
        for scale, optimizer, norm in ((0.2, "muon", 1.0), (1.0, "adam", "none"))
    ]
    every = {"model__activation": ["sine", "elu", "tanh"], "training__seed": [0, 1]} | SMALL
    configs = [config for recipe in recipes for config in grid(**every, **recipe)]
    layout = write_sweep(root, configs, shape=None)
    draw(layout, "overview")
    add_videos(layout, video)
    return report(layout)


def write_failed(root: Path, video: Path) -> SweepLayout:
    """Six settings of three seeds: one run missing, one cut off, five diverged."""
    layout = SweepLayout(root)
    configs = grid(
        model__activation=["sine", "elu"],
        training__learning_rate=[1e-5, 1e-4, 1e-3],
        training__seed=[0, 1, 2],
        **SMALL,
    )
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        run = layout.run(entry.name)
        if entry.task == 4:
            run.root.mkdir(parents=True)
            run.error.write_text(f"Traceback\nRuntimeError: out of {EVIL} memory\n")
            continue
        write_run(
            run.results,
            config,
            name=entry.name,
            status="diverged" if entry.task in (6, 7, 8, 13, 14) else "complete",
            complete=entry.task != 5,
            shape=None,
        )
        run.attempts.write_text(ATTEMPT)
    draw(layout, "overview")
    add_videos(layout, video)
    return report(layout)


def write_images(root: Path, video: Path) -> SweepLayout:
    """Three activations on four images, two seeds: one diverged on one, one was not run on two."""

    def on(images: tuple[int, ...], activation: str) -> Callable[..., bool]:
        names = [IMAGES[i]["image"] for i in images]
        return lambda target, given, _seed: given == activation and target["image"] in names

    layout = write_targets(
        root, IMAGES, ["sine", "elu", "tanh"], (0, 1), diverged=on((1,), "sine"),
        missing=on((2, 3), "tanh"),
    )  # fmt: skip
    draw(layout, "overview", "curve_nmse_value")
    add_videos(layout, video)
    return report(layout)


ATTEMPT = "".join(
    json.dumps(record) + "\n"
    for record in (
        {"event": "start", "number": 1, "started": "2026-01-02T03:04:05+00:00", "host": "node1"}
        | {"pid": 1, "job": "77", "cpus": 4, "gpus": 1},
        {"event": "end", "number": 1, "status": "complete", "wall_seconds": 1800.0}
        | {"cpu_seconds": 3600.0},
    )
)


def write_many(root: Path, video: Path) -> SweepLayout:
    """300 runs, all with different weights, as the study has them."""
    rng = np.random.default_rng(0)
    configs = [
        make_config(
            training__loss_weights=tuple(float(f"{10**x:.3g}") for x in rng.uniform(-3, 0, 4)),
            model__activation=("sine", "elu", "tanh")[i % 3],
            data__size=12,
            data__frames=2,
        )
        for i in range(300)
    ]
    layout = SweepLayout(root)
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        write_run(layout.run(entry.name).results, config, name=entry.name, shape=None)
    draw(layout, "overview", "nmse_value")
    add_videos(layout, video)
    return report(layout)


def write_hostile(root: Path, video: Path) -> SweepLayout:
    """Names that would be markup, code or another address if they were not escaped."""
    layout = SweepLayout(root.with_name(f"{root.name} <img src=x onerror=hacked=1> #%41?"))
    names = [EVIL, "a\"b'c", "100%25 #1?x=y&z", "../../outside"]
    images = [f"<svg onload=hacked={i}>.png" for i in range(len(names))]
    configs = [make_config(data__image=image, data__size=12, data__frames=2) for image in images]
    entries = [
        IndexEntry(c.run_id, name, task, c.model_dump(mode="json"))
        for task, (name, c) in enumerate(zip(names, configs, strict=True))
    ]
    layout.root.mkdir(parents=True)
    layout.index.write_text(index_json(layout.name, entries), encoding="utf-8")
    layout.specification.write_text(f"name: {EVIL}\n")
    for entry, config in zip(entries[:-1], configs, strict=False):
        write_run(layout.run(entry.name).results, config, name=entry.name, shape=None)
    draw(layout, "overview")
    (layout.figures / "overview.png").rename(layout.figures / "'\"><script>hacked=2<.png")
    add_videos(layout, video)
    return report(layout)


def write_embedded(root: Path, video: Path) -> SweepLayout:
    """One file alone, moved away from all that it was made from."""
    made = report(write_quick(root / "made", video), "--embed")
    alone = SweepLayout(root / "alone")
    alone.root.mkdir()
    made.report.rename(alone.report)
    return alone


SWEEPS: dict[str, Callable[[Path, Path], SweepLayout]] = {
    "quick": write_quick,
    "one": write_one,
    "seeds": write_seeds,
    "coupled": write_coupled,
    "failed": write_failed,
    "many": write_many,
    "images": write_images,
    "hostile": write_hostile,
    "embedded": write_embedded,
}


Sweeps = Callable[[str], SweepLayout]
