"""Writes what a run measures: ``run.h5`` after the contract in `inr.results`, and TensorBoard.

The series are small, so the whole file is written anew at every flush and renamed into place:
a reader, or a crash, sees the old state or the new one and never half of a block.
"""

import io
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from inr import results
from inr.config import RunConfig
from inr.files import remove_leftovers, write_bytes
from inr.metrics import METRICS
from inr.quantities import QUANTITIES, Fields
from inr.storage.paths import RunLayout
from inr.storage.provenance import package_versions, slurm_job_id, source

FLUSH_SECONDS = 20.0  # how much of the series a killed run loses at most
_CHUNK_ROWS = 65_536  # 512 KiB: nearly every series is one chunk


class RunWriter(AbstractContextManager["RunWriter"]):
    """Collects the results of one run, ``name`` in its sweep. A context manager.

    The directory of the run is made. ``attempt`` is the number of this one; None: one more than
    the unfinished file tells of. ``device`` is what it is trained on, to be set.
    """

    def __init__(
        self, layout: RunLayout, config: RunConfig, name: str, attempt: int | None = None
    ) -> None:
        self.layout, self.config, self.name = layout, config, name
        self.device = ""
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._series: dict[str, list[float]] = {key: [] for key in (*results.BASE_SERIES, *METRICS)}
        self._flushed = -math.inf  # the first row goes to disk at once
        self._events: SummaryWriter | None = None
        self._attempts = attempt or 1 + (
            results.read_if_sound(layout.results, lambda f: results.read_attribute(f, "attempts"))
            or 0
        )
        layout.root.mkdir(parents=True, exist_ok=True)
        for path in (layout.results, layout.checkpoint, layout.model):
            remove_leftovers(path)

    def __exit__(self, *error: object) -> None:
        if self._events:
            self._view(self._events.close)

    def start(self, step: int = 0, rows: int = 0) -> bool:
        """Begin a series, or go on after its first ``rows`` rows, ``step`` steps into the run.

        Returns False, and changes nothing, when there are no such rows to go on from. Raises
        `UnreadableError` if that cannot be told now.
        """
        if rows:
            series = results.read_if_sound(self.layout.results, self._earlier_series)
            if series is None or len(series["step"]) < rows or series["step"][rows - 1] > step:
                return False
            self._series = {key: column[:rows].tolist() for key, column in series.items()}
        if self.config.record.tensorboard:
            self._events = self._view(open_events, self.layout.root, step)
        return True

    @property
    def rows(self) -> int:
        """Length of the series so far."""
        return len(self._series["step"])

    def _earlier_series(self, file: h5py.File) -> dict[str, np.ndarray] | None:
        same_run = results.read_attribute(file, "run_id") == self.config.run_id
        return results.read_series(file) if same_run else None

    def row(self, step: int, row: dict[str, float]) -> None:
        """Append the row after ``step`` steps: every other series by name.

        Flushed to disk at least every `FLUSH_SECONDS`.
        """
        for key, column in self._series.items():
            column.append(step if key == "step" else row[key])
        if self._events:
            self._view(add_scalars, self._events, step, row)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def pictures(self, step: int, prediction: Fields, target: Fields) -> None:
        """Show target and network in TensorBoard."""
        if self._events:
            self._view(add_pictures, self._events, step, prediction, target)

    def flush(self) -> None:
        """Write the series so far; the file is marked unfinished."""
        with _replacing(self.layout.results) as file:
            self._write_series(file)
        self._flushed = time.monotonic()

    def finish(
        self,
        status: str,
        times: np.ndarray,
        prediction: Fields,
        target: Fields,
        heldout: dict[str, dict[str, float]],
    ) -> None:
        """Write the complete file. ``status`` is "complete" or "diverged".

        ``times`` are those of the frames, as the network takes them; both fields are at the pixels;
        ``heldout`` are metrics by the sets of `inr.results.HELDOUT`.
        """
        with _replacing(self.layout.results) as file:
            self._write_series(file)
            file.create_dataset("frames/time", data=times, chunks=times.shape, fletcher32=True)
            protocol = self.config.training.protocol
            _write_frames(file, "prediction", prediction, protocol)
            _write_frames(file, "target", target, protocol)
            for points, found in heldout.items():
                record = np.array(tuple(found[name] for name in METRICS), results.HELDOUT_TYPE)
                _write_record(file, points, record)
            _set_attribute(file, "status", status)
            file.attrs["complete"] = True
        if self._events:
            final = {metric: self._series[metric][-1] for metric in METRICS}
            self._view(add_hyperparameters, self._events, self.config, final)

    def _view(self, show: Callable[..., Any], *args: Any) -> Any:
        """What ``show`` returns. TensorBoard is a view only: if it fails, that is said, once."""
        try:
            return show(*args)
        except OSError as error:  # its thread says late what went wrong
            self._events = None
            reason = error.strerror or str(error)
            print(f"{self.layout.root}: TensorBoard cannot write events: {reason}", flush=True)

    def _write_series(self, file: h5py.File) -> None:
        attributes = {
            "schema": results.SCHEMA,
            "run_id": self.config.run_id,
            "name": self.name,
            "config": self.config.canonical_json(),
            "status": "unfinished",
            "created": self._created,
            "code_version": str(source()),
            "versions": json.dumps(package_versions()),
            "host": platform.node(),
            "device": self.device,
            "slurm_job_id": slurm_job_id(),
            "attempts": self._attempts,
            "seconds": self._series["seconds"][-1] if self.rows else 0.0,
        }
        for name, value in attributes.items():
            _set_attribute(file, name, value)
        for key, column in self._series.items():
            file.create_dataset(
                f"series/{key}",
                data=np.asarray(column, dtype=np.int64 if key == "step" else np.float64),
                chunks=(min(_CHUNK_ROWS, max(1, len(column))),),
                fletcher32=True,
            )


@contextmanager
def _replacing(path: Path) -> Iterator[h5py.File]:
    """An empty file in memory, which becomes ``path`` when the block succeeds.

    In memory, because libhdf5 itself crashes when it cannot write to a full disk, and needs locks,
    which some network file systems lack. HDF5 1.10's format has checksums of all but the data.
    """
    content = io.BytesIO()
    with h5py.File(content, "w", libver=("v110", "v110")) as file:
        yield file
    write_bytes(path, content.getbuffer())


def _set_attribute(place: h5py.HLObject, name: str, value: Any) -> None:
    if isinstance(value, str):
        encoded = value.encode("utf-8")
        # HDF5 knows no fixed-length text of length 0
        place.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))
    else:
        place.attrs[name] = value


def _write_record(file: h5py.File, name: str, record: np.ndarray) -> None:
    """One record inside its own header, and so under the header's checksum.

    `h5py.Group.create_dataset` would undo the layout: the data would lie bare in the file.
    """
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    kind, scalar = h5py.h5t.py_create(record.dtype), h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, scalar, compact)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, record)


def _write_frames(file: h5py.File, role: results.Role, fields: Fields, protocol: str) -> None:
    for quantity in QUANTITIES:
        frames = getattr(fields, quantity)
        with np.errstate(over="ignore"):  # a diverged network may leave the float32 range
            data = frames.astype(np.float32, copy=False)
        dataset = file.create_dataset(
            f"frames/{quantity}/{role}", data=data, chunks=(1, *frames.shape[1:]), fletcher32=True
        )
        _set_attribute(dataset, "units", results.frame_units(protocol, role)[quantity])


def open_events(directory: Path, step: int) -> SummaryWriter:
    """A writer of events in a run's directory; an earlier attempt's are hidden after ``step``."""
    if step == 0:
        for stale in directory.glob("events.out.tfevents.*"):
            stale.unlink()
    return SummaryWriter(str(directory), purge_step=step + 1 if step else None)


def add_scalars(events: SummaryWriter, step: int, row: dict[str, float]) -> None:
    """One row of the series, tagged ``mse/value``, ``ssim/gradient``, ``train/lr``..."""
    for name, value in row.items():
        if name != "seconds":
            tag = name.replace("_", "/", 1) if name in METRICS else f"train/{name}"
            events.add_scalar(tag, value, step)


def add_pictures(events: SummaryWriter, step: int, prediction: Fields, target: Fields) -> None:
    """First frame of every quantity: target on the left, network on the right."""
    for quantity in QUANTITIES:
        wanted, predicted = getattr(target, quantity)[0], getattr(prediction, quantity)[0]
        if quantity == "gradient":
            wanted, predicted = np.hypot(*wanted), np.hypot(*predicted)
        low, high = float(wanted.min()), float(wanted.max())
        pair = np.concatenate([wanted, np.nan_to_num(predicted, nan=low)], axis=1)
        grey = np.clip((pair - low) / (high - low), 0, 1)
        events.add_image(f"target_and_network/{quantity}", grey, step, dataformats="HW")


def add_hyperparameters(events: SummaryWriter, config: RunConfig, final: dict[str, float]) -> None:
    """The run as a row of TensorBoard's HPARAMS table."""
    training = config.training
    chosen: dict[str, Any] = {
        **config.model.model_dump(include={"activation", "width", "depth"}),
        **training.model_dump(include={"schedule", "learning_rate", "optimizer", "steps", "seed"}),
        **{f"weight_{name}": weight for name, weight in training.loss_weights},
        "batch": str(training.batch),
        "size": config.data.size,
    }
    scores = {f"final/{name}": value for name, value in final.items()}
    # not SummaryWriter.add_hparams: that starts a second run in a subdirectory
    for summary in hparams(chosen, scores):
        events._get_file_writer().add_summary(summary)
    for name, value in scores.items():
        events.add_scalar(name, value, training.steps)
