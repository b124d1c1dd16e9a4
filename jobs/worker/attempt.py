"""One attempt at one run, from taking it up to the last line of its story.

Nothing heavy is imported: the launcher imports this module too.
"""

import errno
import sys
import traceback
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from inr.config import RunConfig
from inr.files import remove
from inr.progress import Progress, read_progress, write_progress
from inr.signals import StopRequest
from inr.storage.attempts import AttemptLog, EndStatus
from inr.storage.lock import RunLock
from inr.storage.paths import RunLayout
from inr.storage.provenance import slurm_job_id
from jobs.worker.devices import given_gpus

if TYPE_CHECKING:
    from inr.training.fit import Outcome

# Bytes set aside while a run trains, and given back to say why it ended on a full disk.
_RESERVE_BYTES = 32_768


@dataclass(frozen=True)
class Share:
    """What an attempt has of its task."""

    cpus: int  # cores that the task was given
    members: int = 1  # runs that the task trains at once
    in_process: int = 1  # how many of them this process trains at once
    cpu_before: float = 0.0  # CPU time that this process has spent on other runs before, s

    @property
    def threads(self) -> int:
        """Threads of this process, so that together all have one a core."""
        return max(1, self.cpus * self.in_process // self.members)


class RunAttempt(ExitStack):
    """A try at a run that is not finished, and the story of it. A context manager.

    Its `end`, or leaving it, leaves what was entered with ``enter_context``, and gives back the
    ``lock`` of the run, which is held, last. ``stop`` says who asked to stop. Raises `UserError` if
    a file cannot be written.
    """

    def __init__(
        self,
        run: RunLayout,
        name: str,
        config: RunConfig,
        share: Share,
        lock: RunLock,
        stop: StopRequest,
    ) -> None:
        super().__init__()
        self.run, self.name, self.config, self.share = run, name, config, share
        self.number = 0  # of the attempt, from 1
        self.ended = ""  # how, once it has: "complete", "diverged", "stopped" or "failed"
        self._lock, self._stop = lock, stop
        self._reserve = run.root / ".reserve"
        self._log: AttemptLog | None = None
        self._steps: list[int] = []

    def __enter__(self) -> Self:
        self.callback(self._lock.release)
        before = read_progress(self.run.progress)
        clear_last_attempt(self.run)
        self._log = AttemptLog(
            self.run.attempts,
            slurm_job_id(),
            gpus=given_gpus(),
            last_life=self._lock.last_life,
            last_step=before.step if before else 0,
            **asdict(self.share),
        )
        self.number = self._log.number
        try:
            with suppress(OSError):
                self._reserve.write_bytes(bytes(_RESERVE_BYTES))
            self._log.start()
        except BaseException as error:
            self._fail(error)
            raise
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is not None:
                self._fail(error)
        finally:
            super().__exit__(kind, error, trace)

    def record_progress(self, progress: Progress) -> None:
        """Write down how far the run is."""
        self._steps.append(progress.step)
        write_progress(self.run.progress, progress)

    def end(self, how: "Outcome") -> None:
        """Write down how it ended, and let go of the run: others may go on for long."""
        try:
            if isinstance(how, Exception):
                self._fail(how)
                self.ended = failed(self.name, how)
                return
            asked = how == "stopped" and self._stop.received
            self._write_end(cast(EndStatus, how), f"asked to by {asked.name}" if asked else "")
            self.ended = how
        except OSError as error:  # a full disk, for this run's story
            self.ended = failed(self.name, error)
        finally:
            self.close()

    def _fail(self, error: BaseException) -> None:
        """Write down why it failed: traceback, kind and reason. Nothing if it ended before."""
        if self._log is None:
            return
        remove(self._reserve)
        with suppress(OSError):  # a full disk may hide the story, not the error itself
            self.run.error.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        with suppress(OSError):
            self._write_end(_kind(error), one_line(error))

    def _write_end(self, status: EndStatus, reason: str) -> None:
        remove(self._reserve)
        if self._log is not None:
            self._log.end(status, reason, self._steps)
            self._log = None


def clear_last_attempt(run: RunLayout) -> None:
    """Remove what an earlier attempt said about itself, so that it cannot pass for this one."""
    remove(run.progress)
    remove(run.error)


def one_line(error: BaseException) -> str:
    """An exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")[:500]


def failed(name: str, error: Exception) -> str:
    """Say why a run failed. Returns how it ended."""
    print(f"{name}: {one_line(error)}", file=sys.stderr, flush=True)
    return "failed"


def _kind(error: BaseException) -> EndStatus:
    """What sort of failure an exception is."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for each in chain:
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return "disk_full"
        # torch.OutOfMemoryError on a GPU; on the CPU torch raises a RuntimeError of these words
        words = str(each).lower()
        if isinstance(each, MemoryError) or "out of memory" in words or "can't allocate" in words:
            return "out_of_memory"
    return "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
