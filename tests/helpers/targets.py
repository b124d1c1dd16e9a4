"""Sweeps over images, noise and any number of activations, with a known order on each target."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from inr.metrics import METRICS
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json
from tests.helpers.synthetic import make_config, write_run
from tests.helpers.synthetic_data import Frames

SMALL: dict[str, Any] = {"data__size": 12, "data__frames": 2}
IMAGES = [{"image": name} for name in ("camera", "photos/coins.png", "gravel.tif", "moon.png")]
NOISES = [{"noise": noise} for noise in (0.0, 0.01, 0.03, 0.1, 0.3)]
TWENTY = [f"activation{i}" for i in range(1, 21)]  # of which the package knows none

Skill = Callable[[Mapping[str, Any], str], float]  # error, given target and activation


def write_targets(
    root: Path,
    targets: Sequence[Mapping[str, Any]],
    activations: Sequence[str],
    seeds: Iterable[int] = (0,),
    *,
    skill: Skill | None = None,
    missing: Callable[[Mapping[str, Any], str, int], bool] = lambda *_: False,
    diverged: Callable[[Mapping[str, Any], str, int], bool] = lambda *_: False,
    shape: tuple[int, int] | None = None,
) -> SweepLayout:
    """Every activation on every target; ``skill`` is the error of all quantities at the end.

    By default it rises along ``activations``, by a factor of 300 from first to last, and from
    target to target tenfold.
    """

    def default(target: Mapping[str, Any], activation: str) -> float:
        place = activations.index(activation) / max(1, len(activations) - 1)
        return float(10.0 ** (-4 + 2.5 * place + list(targets).index(target)))

    layout, entries = SweepLayout(root), []
    for task, (target, activation, seed) in enumerate(product(targets, activations, seeds)):
        config = make_config(training__seed=task, **SMALL)  # tells the runs apart
        fields = config.model_dump(mode="json")
        fields["data"] |= target
        fields["model"]["activation"] = activation
        fields["training"]["seed"] = seed
        name = f"1_0_0_0/{activation}_uniform_1e-4_{task}"
        entries.append(IndexEntry(config.run_id, name, task, fields))
        if missing(target, activation, seed):
            continue
        error = (skill or default)(target, activation) * (1 + 0.02 * seed)

        def change(columns: Frames, error: float = error) -> None:
            for metric in METRICS:
                if metric.startswith(("nmse_", "mse_")):
                    column = columns[metric]
                    columns[metric] = np.geomspace(1.0, error / column[-1], len(column)) * column
            columns["psnr_value"] = -10 * np.log10(columns["nmse_value"])

        status = "diverged" if diverged(target, activation, seed) else "complete"
        path = layout.run(name).results
        write_run(path, config, name=name, status=status, shape=shape, change=change)
    root.mkdir(parents=True, exist_ok=True)
    layout.index.write_text(index_json(layout.name, entries), encoding="utf-8")
    return layout
