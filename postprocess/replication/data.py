"""The sweeps of the study as small tables: written from merged sweeps, kept with the text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from inr.errors import UserError
from inr.files import write_text
from inr.metrics import ADDED_METRICS, METRICS
from inr.quantities import QUANTITIES
from inr.results import HELDOUT
from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.stats.fields import WEIGHT_COLUMNS

EXPERIMENTS = ("learning_rate", "activation", "loss_weights", "claims")
PROTOCOLS = ("corrected", "original")
FURTHER = ("activation_tuning", "frame_spacing")  # under the corrected protocol alone
COLUMNS = (
    "name",
    "status",
    "seconds",
    "data.image",
    "data.size",
    "data.frames",
    "data.frame_spacing",
    "model.activation",
    "model.width",
    "model.depth",
    "model.first_scale",
    "model.time_scale",
    "training.protocol",
    "training.steps",
    "training.batch",
    "training.learning_rate",
    "training.schedule",
    *WEIGHT_COLUMNS,
    "training.seed",
    *METRICS,
    *(f"heldout_{name}" for name in METRICS),
    *(f"{points}_nmse_{q}" for points in HELDOUT[1:] for q in QUANTITIES),
)
# came after sweeps of the original protocol had been run, to which they say nothing new
_ADDED = {
    *("data.frame_spacing", "model.first_scale", "model.time_scale"),
    *(f"{prefix}{name}" for prefix in ("", "heldout_") for name in ADDED_METRICS),
    *(f"{points}_nmse_{q}" for points in HELDOUT[1:] for q in QUANTITIES),
}

Study = dict[str, pd.DataFrame]  # by name of the sweep


def sweep_name(experiment: str, protocol: str) -> str:
    """The sweep that runs an experiment under a protocol."""
    return experiment if protocol == "corrected" else f"original_{experiment}"


def sweep_names() -> list[str]:
    """Names of all sweeps of the study."""
    return [*(sweep_name(e, p) for e in EXPERIMENTS for p in PROTOCOLS), *FURTHER]


def collect(outputs: Path) -> Study:
    """Read the sweeps below ``outputs``, merging those that are due.

    Raises `UserError` if one is missing, or has runs that are not finished.
    """
    study = {}
    for name in sweep_names():
        layout = SweepLayout(outputs / name)
        if not layout.index.is_file():
            raise UserError(f"{layout.root}: no such sweep. Run it with: make study")
        merged = ensure_merged(layout)
        if len(merged.problems):
            first = merged.problems.iloc[0]
            raise UserError(
                f"{layout.root}: {len(merged.problems)} of {len(merged.runs)} runs have no "
                f"results ({first['name']}: {first['reason']}). Finish them with: make study"
            )
        study[name] = merged.readable[list(COLUMNS)]
    return study


def write_tables(study: Study, folder: Path) -> list[Path]:
    """Keep each sweep as ``<name>.csv``: settings and final values, six digits."""
    paths = []
    for name, runs in study.items():
        paths.append(folder / f"{name}.csv")
        write_text(paths[-1], runs.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return paths


def read_tables(folder: Path) -> Study:
    """Read what `write_tables` wrote; columns that came after it are NaN.

    Raises `UserError` if a table is missing or damaged.
    """
    return {name: _read(folder / f"{name}.csv", COLUMNS, "make study") for name in sweep_names()}


def read_recipes(folder: Path) -> pd.DataFrame:
    """The runs of the benchmark of recipes, kept in its folder.

    Raises `UserError` if the table is missing or damaged.
    """
    columns = ("recipe", "data.image", "status", *(f"heldout_nmse_{q}" for q in QUANTITIES))
    return _read(folder / "runs.csv", columns, "make bench-recipes")


def _read(path: Path, columns: Sequence[str], command: str) -> pd.DataFrame:
    try:
        runs = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing. Write it with: {command}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a table of results ({error})") from error
    if missing := set(columns) - _ADDED - set(runs.columns):
        raise UserError(f"{path}: columns missing: {', '.join(sorted(missing))}")
    return runs.reindex(columns=list(columns))
