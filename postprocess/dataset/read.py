"""Read a merged sweep as pandas frames, merging first when that is due."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import pandas as pd

from inr.errors import UserError
from inr.results import SWEEP_SCHEMA
from inr.storage.paths import SweepLayout
from postprocess.dataset import build
from postprocess.dataset.run_reader import PROBLEMS, READABLE


@dataclass(frozen=True)
class MergedSweep:
    """A merged file: its rows per run, and its series on demand."""

    path: Path
    sweep: str
    runs: pd.DataFrame  # every run of the index; row number = `run` in the series
    problems: pd.DataFrame  # name, run_id, status, reason

    @property
    def readable(self) -> pd.DataFrame:
        """The rows of ``runs`` that have results: complete and diverged runs."""
        return self.runs[self.runs["status"].isin(READABLE)]

    def series(self, *columns: str) -> pd.DataFrame:
        """The columns ``run``, ``step`` and ``columns`` of the long table; no other is read."""
        with h5py.File(self.path, "r", locking=False) as file:
            group = file["series"]
            return pd.DataFrame({name: group[name][:] for name in ("run", "step", *columns)})


def is_current(layout: SweepLayout) -> bool:
    """True when ``merged.h5`` and ``summary.csv`` exist and no input has changed since."""
    if not layout.summary.is_file():
        return False
    try:
        with h5py.File(layout.merged, "r", locking=False) as file:
            stored = (file.attrs.get("schema"), file.attrs.get("fingerprint"))
    except OSError:  # missing or damaged
        return False
    return stored == (SWEEP_SCHEMA, build.fingerprint(build.find_inputs(layout)))


def read_merged(layout: SweepLayout) -> MergedSweep:
    """Read ``merged.h5`` as it is. Raises `UserError` when it is damaged."""
    try:
        with h5py.File(layout.merged, "r", locking=False) as file:
            return MergedSweep(
                path=layout.merged,
                sweep=str(file.attrs["sweep"]),
                runs=_read_frame(file["runs"]),
                problems=_read_frame(file["problems"]),
            )
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{layout.merged}: broken ({reason}). Merge again with --force") from error


def ensure_merged(layout: SweepLayout, *, empty: bool = False, force: bool = False) -> MergedSweep:
    """Merge if ``merged.h5`` is missing or older than a run, then read it.

    With ``force``, merge whatever there is, and read every run again. Raises `UserError` when the
    merged file cannot be written, or, unless ``empty`` will do, when no run can be read.
    """
    if force or not is_current(layout):
        build.merge(layout, reuse=not force)
    merged = read_merged(layout)
    if not empty and merged.readable.empty:
        status, first = merged.runs["status"], merged.runs.iloc[0]
        counts = ", ".join(f"{n} {kind}" for kind in PROBLEMS if (n := (status == kind).sum()))
        raise UserError(
            f"{layout.root}: none of its {len(status)} runs can be read ({counts}; for example "
            f"{first['name']}: {first['reason']}). Launch the sweep again to finish it"
        )
    return merged


def _read_frame(group: h5py.Group) -> pd.DataFrame:
    def read(dataset: h5py.Dataset) -> object:
        return dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]

    return pd.DataFrame({name: read(group[name]) for name in group})
