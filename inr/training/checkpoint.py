"""State of an unfinished run on disk, from which it goes on exactly.

A resumed run gives the same series, to the last bit on the CPU, as one that was never cut off:
weights, optimisers and balance are stored, batches and rates depend on the step alone, and the
series in ``run.h5`` is cut back to the rows it had when the checkpoint was written.
"""

import io
import pickle
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inr.errors import UserError
from inr.files import retried, write_bytes

SCHEMA = "inr-checkpoint/3"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that changes while a run trains."""

    run_id: str  # the run it belongs to
    step: int  # optimiser steps done
    seconds: float  # spent training
    rows: int  # of the series
    parameters: list[Tensor]  # weights, then biases of the network
    optimizers: list[dict[str, Any]]  # their states
    balancing: dict[str, Tensor]  # state of the balance of the loss terms
    compiled: bool  # whether its steps are; the run goes on as it began


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint, or raise `UserError`; a crash leaves a complete one, old or new."""
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, **vars(checkpoint)}, buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path, run_id: str) -> Checkpoint | None:
    """The checkpoint of run ``run_id``, in main memory; None if there is none or it is damaged.

    Raises `UserError` if the file system fails or denies access, `RuntimeError` for lack of memory.
    """
    try:
        content = retried(path.read_bytes)
    except FileNotFoundError:
        return None
    except OSError as error:  # it may be sound: nothing may take its place
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not _is_sound(content):
        return None  # damaged outside our control: the run starts over, which loses time only
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        schema = state.pop("schema")
        if schema == "inr-checkpoint/2":  # with the state of schedules, which follows from the step
            del state["scheduler"]
            optimizer = state.pop("optimizer")
            state["optimizers"] = optimizer.get("parts", [optimizer])
        elif schema != SCHEMA:
            return None
        return Checkpoint(**state) if state["run_id"] == run_id else None
    except (KeyError, TypeError, AttributeError, ValueError, EOFError, pickle.UnpicklingError):
        return None


def _is_sound(archive: bytes) -> bool:
    """Whether a file of torch, a zip archive, is whole: every part has its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError):
        return False
