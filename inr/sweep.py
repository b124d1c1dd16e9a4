"""The trained runs of a sweep, for Python: `open_sweep`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from inr.config import RunConfig
from inr.errors import UserError
from inr.metrics import METRICS
from inr.network.trained_network import TrainedNetwork, load
from inr.quantities import QUANTITIES
from inr.results import (
    HELDOUT,
    read_attribute,
    read_attributes,
    read_heldout,
    read_if_sound,
    read_series,
)
from inr.storage.paths import SweepLayout, find_sweep
from inr.storage.sweep_index import IndexEntry, read_index

OVERALL = "overall"  # the geometric mean of the four errors
PIXELS = "pixels"  # where the run was trained


@dataclass(frozen=True)
class TrainedRun:
    """A run that has ended, with what it measured last."""

    name: str  # its directory below ``runs/``
    config: RunConfig
    model: Path
    # `inr.metrics.METRICS` by set of points: ``pixels``, and those of `inr.results.HELDOUT`
    metrics: Mapping[str, Mapping[str, float]]

    def load(self, device: str = "cpu") -> TrainedNetwork:
        """Its network. Raises `UserError` if that is missing or damaged."""
        return load(self.model, device)

    def measured(self, what: str = OVERALL, points: str = PIXELS) -> float:
        """A metric, the normalised error of a quantity, or ``overall``; NaN if not measured."""
        found = self.metrics.get(points) or dict.fromkeys(METRICS, np.nan)
        if what == OVERALL:
            with np.errstate(divide="ignore"):  # an error of 0
                errors = [found[f"nmse_{quantity}"] for quantity in QUANTITIES]
                return float(np.exp(np.log(errors).mean()))
        return found[f"nmse_{what}" if what in QUANTITIES else what]


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep that have ended, in task order."""

    root: Path
    runs: tuple[TrainedRun, ...]

    def best(self, what: str = OVERALL, points: str = PIXELS) -> TrainedRun:
        """The run with the smallest error, or the highest PSNR or SSIM.

        It is the best of single runs: which *setting* is best, the report and ``settings.csv`` say,
        from all its seeds.

        Args:
            what: a quantity (its error over its variance), ``overall``, or a name in
                `inr.metrics.METRICS`.
            points: ``pixels``, or a set of `inr.results.HELDOUT`, where nothing was trained.

        Raises:
            ValueError: ``what`` or ``points`` is none of these.
            UserError: no run has such a number.
        """
        allowed = {"what": (OVERALL, *QUANTITIES, *METRICS), "points": (PIXELS, *HELDOUT)}
        for name, given in (("what", what), ("points", points)):
            if given not in allowed[name]:
                raise ValueError(f"{name} is {given!r}. Allowed: {', '.join(allowed[name])}")
        sign = -1 if what in METRICS and METRICS[what].higher_is_better else 1
        found = [(sign * run.measured(what, points), run) for run in self.runs]
        finite = [pair for pair in found if np.isfinite(pair[0])]
        if not finite:
            raise UserError(f"{self.root}: no run has measured {what} on {points}")
        return min(finite, key=lambda pair: pair[0])[1]


def open_sweep(path: str | Path) -> Sweep:
    """Read what the runs of a sweep measured.

    Those that have not ended or were dropped, and broken files, are left out.

    Example:
        >>> sweep = inr.open_sweep("outputs/quickstart")
        >>> run = sweep.best("laplacian", points="heldout")
        >>> run.load().render(times=[-0.9], scale=4).laplacian.shape
        (1, 256, 256)

    Raises `UserError` if ``path`` is no sweep, or a run cannot be read now.
    """
    layout = find_sweep(path)
    found = (_read(layout, entry) for entry in read_index(layout) if not entry.dropped)
    return Sweep(layout.root, tuple(run for run in found if run))


def _read(layout: SweepLayout, entry: IndexEntry) -> TrainedRun | None:
    files = layout.run(entry.name)

    def ended(file: h5py.File) -> TrainedRun | None:
        if not read_attribute(file, "complete") or read_attribute(file, "run_id") != entry.run_id:
            return None
        series = read_series(file)
        metrics = {PIXELS: {metric: float(series[metric][-1]) for metric in METRICS}}
        metrics |= {points: read_heldout(file, points) for points in HELDOUT}
        config = RunConfig.model_validate(read_attributes(file)["config"])
        return TrainedRun(entry.name, config, files.model, metrics)

    return read_if_sound(files.results, ended)
