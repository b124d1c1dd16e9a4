"""Fit networks to diffusing images, and measure them while they learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from inr.config import RunConfig
from inr.errors import UsageError
from inr.network.adjoint import EAGER
from inr.network.passes import Passes
from inr.progress import Progress
from inr.storage.run_writer import RunWriter
from inr.training.allocator import keep_freed_memory
from inr.training.compilation import prepare_passes, saved_seconds, should_compile
from inr.training.fused_batch import gradients, train
from inr.training.trainer import Outcome, Run, Trainer

__all__ = ["Outcome", "Run", "fit", "fit_together", "pick_device"]


def fit(
    config: RunConfig,
    recorder: RunWriter,
    *,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    steps_in_all: int | None = None,
) -> str:
    """Train the network that ``config`` describes and record what the contract asks for.

    One seed on one machine, with one number of threads, gives the same series to the last bit on
    the CPU, also when the run was cut off and goes on from its checkpoint. (Compiled steps differ
    from others in their last bits: with ``compile: auto`` the number of steps belongs to that.)

    Args:
        config: the run.
        recorder: takes the series, the frames and the trained network.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:1".
        on_progress: called at the start, twice a second at most, and at the end.
        should_stop: asked after every step; True writes a checkpoint and returns.
        steps_in_all: steps that this process will take for this and other runs of its shape;
            they all gain if it compiles them. None: those of the run.

    Returns:
        "complete"; "diverged" when the loss became NaN or infinite, with what was recorded until
        then; or "stopped", to go on when called again.

    Raises:
        UserError: the image cannot be used, or a file cannot be written.
        UsageError: the device does not exist.
    """
    run = Run(config, recorder, on_progress)
    (outcome,) = fit_together(
        [run], device=device, should_stop=should_stop, steps_in_all=steps_in_all
    )
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def fit_together(
    runs: Sequence[Run],
    *,
    device: str = "auto",
    should_stop: Callable[[], bool] = lambda: False,
    steps_in_all: int | None = None,
) -> list[Outcome]:
    """Train runs of one `RunConfig.fusing_key` as one; each as `fit` would, to rounding.

    ``steps_in_all`` is as in `fit`; None: the most steps of a run.

    Returns:
        How each ended, in order: as `fit` says, or the exception that ended this run alone.

    Raises:
        UsageError: the device does not exist.
        ValueError: the runs cannot be trained as one.
    """
    keep_freed_memory()
    where = pick_device(device)
    if len({run.config.fusing_key for run in runs}) > 1:
        raise ValueError("only runs of the same data, network, batch and order fit together")
    outcomes: dict[int, Outcome] = {}
    places: dict[Trainer, int] = {}

    def end(place: int, outcome: Outcome) -> None:
        outcomes[place] = outcome
        runs[place].on_end(outcome)

    for place, run in enumerate(runs):
        try:
            trainer = Trainer(run, where)
            trainer.begin()
        except Exception as error:  # of this run alone
            end(place, error)
        else:
            places[trainer] = place
    if places:
        passes = _choose_passes(steps_in_all, list(places))
        for trainer, outcome in train(list(places), passes, should_stop):
            end(places[trainer], outcome)
    return [outcomes[place] for place in range(len(runs))]


def _choose_passes(steps_in_all: int | None, trainers: Sequence[Trainer]) -> Passes:
    """The passes of the step, compiled if that pays, or if it was so when the run began."""
    first = trainers[0]
    mode, device = first.config.training.compile, first.device.type
    points = first.batches(first.step)[0].shape[0]
    saved = saved_seconds(first.config.model, points, first.order, device, len(trainers))
    steps = steps_in_all or max(trainer.config.training.steps for trainer in trainers)
    earlier = next((each.compiled for each in trainers if each.compiled is not None), None)
    passes = EAGER
    if should_compile(mode, saved * steps, earlier):
        passes, note = prepare_passes(device, lambda passes: gradients(trainers, passes))
        if note:
            print(note, flush=True)
    for trainer in trainers:
        trainer.compiled = passes is not EAGER
    return passes


def pick_device(name: str) -> torch.device:
    """The torch device called ``name``. Raises `UsageError` if this machine has none such."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"device {name!r} cannot be used ({reason}). Allowed: auto, cpu, cuda, cuda:<index>"
        ) from error
    return device
