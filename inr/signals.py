"""Signals that ask to stop: what is running finishes its step, and is saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# USR2: Slurm's warning before preemption and the time limit (see slurm/batch_script.py).
# TERM: scancel, and the end of a preemption's grace. INT: Ctrl-C.
SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """A process that is started meanwhile keeps `SIGNALS` for later: none ends it, none is lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_ignored(number: signal.Signals) -> bool:
    """Whether a signal was switched off by whoever started this process.

    Shells do so with Ctrl-C for background jobs, and nohup with the end of a terminal. The whole
    process group still gets it, and nothing in it may mind.
    """
    return signal.getsignal(number) is signal.SIG_IGN


class StopRequest:
    """False until a signal asks to stop, then true for good. A context manager.

    Handlers only set a flag, so further signals, and signals during a write, change nothing. The
    first is ``received``. If the process ends after this (``last``), signals are ignored from the
    end of the block on: a late one does not kill what has been saved and is about to say so.
    """

    def __init__(self, *, last: bool = False) -> None:
        self._last = last
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.received is not None

    def __enter__(self) -> "StopRequest":
        for each in SIGNALS:
            if each != signal.SIGINT or not is_ignored(each):
                self._before[each] = signal.signal(each, self._receive)
        # those that came since this process was started arrive now, see `signals_blocked`
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return self

    def __exit__(self, *error: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, signal.SIG_IGN if self._last else handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
