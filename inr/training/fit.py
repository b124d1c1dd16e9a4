"""Fit networks to diffusing images, one or several as one, and measure them while they learn."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from inr.errors import UsageError
from inr.network.adjoint import EAGER, Passes
from inr.network.matmul import arithmetic
from inr.training.allocator import keep_freed_memory
from inr.training.compilation import prepare_passes, saved_seconds, should_compile
from inr.training.step import Step, gradients, take_step
from inr.training.step_graph import StaticStep, prepare_graph
from inr.training.trainer import Outcome, Run, Trainer

__all__ = ["Outcome", "Run", "fit_together", "pick_device"]


def fit_together(
    runs: Sequence[Run],
    *,
    device: str = "auto",
    should_stop: Callable[[], bool] = lambda: False,
    steps_in_all: int | None = None,
) -> list[Outcome]:
    """Train runs of one `RunConfig.fusing_key` as one, and record what the contract asks for.

    Each trains as it would alone, to rounding. One that diverges or fails leaves the others as
    they are.

    One seed on one machine, with one number of threads, gives the same series to the last bit on
    the CPU, also when the run was cut off and goes on from its checkpoint. (Compiled steps differ
    from others in their last bits: with ``compile: auto`` the number of steps belongs to that.)

    Args:
        runs: what to train, and who is told.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:1".
        should_stop: asked after every step; True writes all checkpoints and returns.
        steps_in_all: steps that this process will take for these and other runs of their shape;
            they all gain if it compiles them. None: the most steps of a run.

    Returns:
        How each ended, in order: "complete"; "diverged" when the loss became NaN or infinite, with
        what was recorded until then; "stopped", to go on when called again; or the exception that
        ended this run alone: `UserError` if its image cannot be used or a file be written.

    Raises:
        UsageError: the device does not exist.
        ValueError: the runs cannot be trained as one.
    """
    keep_freed_memory()
    where = pick_device(device)
    if len({run.config.fusing_key for run in runs}) > 1:
        raise ValueError("only runs of the same data, network, batch and order fit together")
    begun = [_begin(run, where) for run in runs]
    outcomes = [each if isinstance(each, Exception) else "" for each in begun]
    # that still train, by the place of the run
    left = {n: each for n, each in enumerate(begun) if not isinstance(each, Exception)}
    take = _choose_step(list(left.values()), _choose_passes(list(left.values()), steps_in_all))
    while left:
        _round(list(left.values()), take, should_stop)
        together = len(left)
        for place, trainer in list(left.items()):
            if trainer.outcome is not None:
                del left[place]
                outcomes[place] = trainer.outcome
                trainer.run.on_end(trainer.outcome)
        if left and len(left) < together:
            had_graph = isinstance(take, StaticStep)
            del take  # the memory of its graph
            # not compiled: that was for the shapes of all, and with fewer would be done again
            take = _choose_step(list(left.values()), EAGER, try_graph=had_graph)
    return outcomes


def _begin(run: Run, device: torch.device) -> Trainer | Exception:
    """Its trainer, or why this run alone has ended."""
    try:
        trainer = Trainer(run, device)
        trainer.begin()
    except Exception as error:
        run.on_end(error)
        return error
    return trainer


def _round(
    trainers: list[Trainer], take: Callable[[], Step], should_stop: Callable[[], bool]
) -> None:
    """Steps up to the next check of any trainer, and that check."""
    with _blamed(trainers):
        checks = [trainer.next_check() for trainer in trainers]
        steps = min(due - trainer.step for due, trainer in zip(checks, trainers, strict=True))
        started = time.perf_counter()
        for trainer in trainers:
            trainer.batches.prepare(trainer.step, steps)
        with arithmetic(trainers[0].config.training.precision):
            for _ in range(steps):
                found = take()
                if stopping := should_stop():  # what is due later is left to the next attempt
                    break
        finite = torch.isfinite(found.loss).reshape(-1).tolist()  # waits for the device
        share = (time.perf_counter() - started) / len(trainers)
        for trainer, due, healthy in zip(trainers, checks, finite, strict=True):
            trainer.seconds += share
            if trainer.step == due:
                with _blamed([trainer]):
                    trainer.check(healthy)
            if stopping and trainer.outcome is None:
                with _blamed([trainer]):
                    trainer.stop()


@contextmanager
def _blamed(trainers: Sequence[Trainer]) -> Iterator[None]:
    """What goes wrong in here is the end of these runs, and of no other."""
    try:
        yield
    except Exception as error:
        for trainer in trainers:
            trainer.outcome = error


def _choose_passes(trainers: Sequence[Trainer], steps_in_all: int | None) -> Passes:
    """The passes of the step, compiled if that pays, or if it was so when the run began."""
    if not trainers:
        return EAGER
    first = trainers[0]
    mode, device = first.config.training.compile, first.device.type
    points = len(first.batches(first.step))
    saved = saved_seconds(first.config.model, points, first.order, device, len(trainers))
    steps = steps_in_all or max(trainer.config.training.steps for trainer in trainers)
    earlier = next((each.compiled for each in trainers if each.compiled is not None), None)
    passes = EAGER
    if should_compile(mode, saved * steps, earlier):
        with arithmetic(first.config.training.precision):
            passes, note = prepare_passes(device, lambda passes: gradients(trainers, passes))
        if note:
            print(note, flush=True)
    for trainer in trainers:
        trainer.compiled = passes is not EAGER
    return passes


def _choose_step(
    trainers: list[Trainer], passes: Passes, *, try_graph: bool = True
) -> Callable[[], Step]:
    """What takes the next step of all: one CUDA graph, if that can be had."""
    graph = note = None
    if trainers and try_graph:
        with arithmetic(trainers[0].config.training.precision):
            graph, note = prepare_graph(trainers, passes)
    if note:
        print(note, flush=True)
    return graph or partial(take_step, trainers, passes)


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
