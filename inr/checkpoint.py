"""State of an unfinished run on disk, from which it goes on exactly.

A resumed run gives the same series, to the last bit on the CPU, as one that was never cut off:
weights, optimiser, schedule and balance are stored, batches depend on the step alone, and the
series in ``run.h5`` is cut back to the rows it had when the checkpoint was written.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inr.files import replace_atomically

SCHEMA = "inr-checkpoint/2"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that changes while a run trains.

    Attributes:
        run_id: the run it belongs to.
        step: optimiser steps done.
        seconds: time spent training.
        rows: length of the series.
        parameters: weights, then biases of the network.
        optimizer: state of the optimiser.
        scheduler: state of the learning-rate schedule.
        balancing: state of the balance of the loss terms.
        compiled: whether its steps are compiled; the run goes on as it began.
    """

    run_id: str
    step: int
    seconds: float
    rows: int
    parameters: list[Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    balancing: dict[str, Tensor]
    compiled: bool = False


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint; a crash leaves the old one or the new one, both complete.

    Raises `UserError` if it cannot be written.
    """
    with replace_atomically(path) as temporary:
        torch.save({"schema": SCHEMA, **vars(checkpoint)}, temporary)


def read_checkpoint(path: Path, run_id: str, device: torch.device) -> Checkpoint | None:
    """The checkpoint of run ``run_id``; None if there is none that can be used."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if state.pop("schema") != SCHEMA or state["run_id"] != run_id:
            return None
        return Checkpoint(**state)
    except FileNotFoundError:
        return None
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError):
        return None  # damaged outside our control: the run starts over, which loses time only
