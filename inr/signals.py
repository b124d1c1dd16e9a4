"""Signals that ask to stop, and how processes that are started meanwhile are kept from them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# USR2: Slurm's warning before preemption and the time limit (see jobs/cluster.py).
# TERM: scancel, and the end of a preemption's grace. INT: Ctrl-C.
SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


@contextmanager
def signals_held() -> Iterator[None]:
    """A process that is started meanwhile keeps `SIGNALS` for later: none ends it, none is lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
