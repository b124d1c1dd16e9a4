"""A training step as one CUDA graph.

A step is some two hundred small kernels. Launched one by one from Python they keep a GPU waiting;
a graph is launched once. It reads and writes the same places of memory each time: what changes from
step to step, the numbers of the batch, the coefficients of the loss and the factor of the learning
rate, is copied to where it looks for it.

The optimisers in it run at the peak of their rates, which a graph would not see change. Their
update is then shortened to the rate of the step: none of them depends on the size of a parameter.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from inr.network.adjoint import Passes
from inr.training.schedules import rate_factor
from inr.training.step import Step, joint_gradients, take_step
from inr.training.trainer import Trainer

_WARM_UP = 3  # steps before capturing: libraries set themselves up in the first ones
# of the norm of an update, and of that of the parameter times its rounding: how far one step may
# be from the plain one. Adam's first updates have the sign of gradients that may round to 0
_TOLERANCES = 0.05, 8


class StaticStep:
    """What `inr.training.step.take_step` does, in buffers that keep their place in memory.

    On a GPU `capture` makes a graph of it; without, it runs like any other function.
    """

    def __init__(self, trainers: Sequence[Trainer], passes: Passes) -> None:
        self._trainers, self._passes = trainers, passes
        self._numbers = [trainer.batches.numbers(trainer.step).clone() for trainer in trainers]
        self._coefficients = [trainer.coefficients.clone() for trainer in trainers]
        self._factors = [trainer.coefficients.new_ones(()) for trainer in trainers]
        self._replay: Callable[[], None] | None = None
        self._found: Step

    def __call__(self) -> Step:
        """One optimiser step of each trainer; what it returns is overwritten by the next."""
        for place, trainer in enumerate(self._trainers):
            training = trainer.config.training
            self._numbers[place].copy_(trainer.batches.numbers(trainer.step))
            self._coefficients[place].copy_(trainer.balance.scale(trainer.coefficients))
            self._factors[place].fill_(rate_factor(training, trainer.step))
        if self._replay:
            self._replay()
        else:
            self._found = self._run()
        for trainer, (_, errors) in zip(self._trainers, self._found.of_each(), strict=True):
            trainer.count_step(errors)
        return self._found

    def capture(self) -> None:
        """Record the step as a graph. Raises `RuntimeError` if something in it cannot be."""
        with (
            _left_as_they_are(self._trainers),
            torch.cuda.device(self._trainers[0].device),
            _on_side_stream() as side,
        ):
            for _ in range(_WARM_UP):
                self._run()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side):
                self._found = self._run()
            self._replay = graph.replay

    @torch.no_grad()
    def _run(self) -> Step:
        numbers = zip(self._trainers, self._numbers, strict=True)
        samples = [trainer.batches.at(each) for trainer, each in numbers]
        found = joint_gradients(self._trainers, samples, self._coefficients, self._passes)
        for trainer, (own, _), factor in zip(
            self._trainers, found.of_each(), self._factors, strict=True
        ):
            parameters = trainer.network.parameters
            before = [parameter.clone() for parameter in parameters]
            trainer.descend(own, factor=1.0)
            for parameter, old in zip(parameters, before, strict=True):
                parameter.copy_(torch.lerp(old, parameter, factor))
        return found


def prepare_graph(
    trainers: Sequence[Trainer], passes: Passes
) -> tuple[Callable[[], Step] | None, str | None]:
    """The step of the trainers as a graph; or None and a line that says why, if it was tried.

    It is compared with the plain step before it is used.
    """
    first = trainers[0]
    # soap decides on the host what a step does
    if first.device.type != "cuda" or any(t.config.training.optimizer == "soap" for t in trainers):
        return None, None
    try:
        step = StaticStep(trainers, passes)
        step.capture()
        differs = differs_from_plain(step, trainers, passes)
    except RuntimeError as error:  # all that torch raises
        first_error: BaseException = error
        while first_error.__context__:  # the last one says only that the capture had failed before
            first_error = first_error.__context__
        lines = str(first_error).splitlines()
        return None, _note(lines[0] if lines else type(first_error).__name__)
    return (None, _note("its updates are others than one by one")) if differs else (step, None)


def differs_from_plain(
    step: Callable[[], object], trainers: Sequence[Trainer], passes: Passes
) -> bool:
    """Whether the next updates are others than those of `take_step`, to `_TOLERANCES`.

    The trainers stay as they are.
    """
    before, after = _parameters(trainers), []
    for take in (step, lambda: take_step(trainers, passes)):
        with _left_as_they_are(trainers):
            take()
            after.append(_parameters(trainers))
    norm = torch.linalg.vector_norm
    of_update, of_rounding = _TOLERANCES
    return not all(
        norm(found - plain)
        <= of_update * norm(plain - old) + of_rounding * torch.finfo(old.dtype).eps * norm(old)
        for old, found, plain in zip(before, *after, strict=True)
    )


def _parameters(trainers: Sequence[Trainer]) -> list[Tensor]:
    return [each.detach().clone() for trainer in trainers for each in trainer.network.parameters]


@contextmanager
def _on_side_stream() -> Iterator[torch.cuda.Stream]:
    """A stream of its own, as capturing wants it; afterwards, also if that failed, the one before.

    A capture that fails leaves its own stream behind.
    """
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(current)
    torch.cuda.set_stream(side)
    try:
        yield side
    finally:
        torch.cuda.set_stream(current)
        torch.cuda.synchronize()


@contextmanager
def _left_as_they_are(trainers: Sequence[Trainer]) -> Iterator[None]:
    """Steps taken in here are undone, in the same places of memory.

    State that optimisers make in their first step begins as 0.
    """
    kept = [(each, each.detach().clone()) for each in _state(trainers)]
    places = [(trainer, trainer.step, trainer.balance.state) for trainer in trainers]
    try:
        yield
    finally:
        known = {id(each) for each, _ in kept}
        with torch.no_grad():
            for tensor, numbers in kept:
                tensor.copy_(numbers)
            for tensor in _state(trainers):
                if id(tensor) not in known:
                    tensor.zero_()
        for trainer, step, balance in places:
            trainer.step, trainer.balance.state = step, balance


def _state(trainers: Sequence[Trainer]) -> Iterator[Tensor]:
    for trainer in trainers:
        yield from trainer.network.parameters
        for optimizer in trainer.optimizers:
            for state in optimizer.state.values():
                yield from (each for each in state.values() if isinstance(each, Tensor))


def _note(reason: str) -> str:
    return f"steps are not one CUDA graph ({reason}); small ones take longer"
