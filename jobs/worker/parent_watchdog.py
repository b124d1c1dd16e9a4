"""Tie the life of tasks to the process that started them.

The launcher holds a named pipe open for writing. The system closes it when the launcher ends,
however it ends; the tasks look at the reading end, notice, and end too. Signals cannot do this:
nobody sends one when the launcher is killed.
"""

import _thread
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from inr.signals import is_ignored

_POLL_SECONDS = 0.3
GRACE_SECONDS = 60.0  # for a task to finish its step and to save


class ParentWatchdog(ExitStack):
    """The launcher's end. Tasks that `follow` its ``path`` end when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        # only this user can enter it
        directory = self.enter_context(tempfile.TemporaryDirectory(prefix="inr-"))
        self.path = Path(directory) / "watchdog"
        os.mkfifo(self.path, 0o600)
        # opened for both, because opening for writing alone waits for a reader
        self.callback(os.close, os.open(self.path, os.O_RDWR))


def follow(path: str) -> None:
    """Interrupt this process when the pipe is closed or its parent has ended.

    As Ctrl-C does; as SIGTERM does where Ctrl-C is switched off, as in background jobs.
    If it is still there after `GRACE_SECONDS` it is ended the hard way. Exits at once when the
    watchdog is already gone.
    """
    parent = os.getppid()
    try:
        end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        sys.exit(1)

    def watch() -> None:
        while _is_held(end) and os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        _thread.interrupt_main(signal.SIGTERM if is_ignored(signal.SIGINT) else signal.SIGINT)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_held(end: int) -> bool:
    """Whether any process holds the pipe open for writing."""
    try:
        return os.read(end, 1) != b""
    except BlockingIOError:
        return True
