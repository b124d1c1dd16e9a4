"""One attempt at one run, from taking its lock to the last line of its story.

Nothing heavy is imported: the launcher imports this module too.
"""

from __future__ import annotations

import errno
import os
import traceback
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from inr.config import RunConfig
from inr.cpus import core_count
from inr.files import remove
from inr.progress import Progress, read_progress, write_progress
from inr.results import outcome
from inr.storage.attempts import AttemptLog, EndStatus
from inr.storage.lock import RunLock
from inr.storage.paths import RunLayout
from inr.storage.provenance import slurm_job_id
from jobs.worker.devices import slurm_gpus, visible_devices

# Bytes set aside while a run trains, and given back to say why it ended on a full disk.
_RESERVE_BYTES = 32_768


Part = TypeVar("Part")


@dataclass(frozen=True)
class Share:
    """What an attempt has of its task.

    Attributes:
        cpus: cores that the task was given; None: what the environment says.
        members: runs that the task trains at once.
        in_process: how many of them this process trains at once.
        cpu_before: CPU time that this process has spent on other runs before, s.
    """

    cpus: int | None = None
    members: int = 1
    in_process: int = 1
    cpu_before: float = 0.0


class RunAttempt:
    """The exclusive right to train one run, and the story of doing so. A context manager.

    Entering takes the lock and, unless the run is finished, starts an attempt; leaving ends the
    attempt, with the exception if there is one, and gives the lock back.

    Args:
        run: files of the run.
        name: the run's directory below ``runs/``.
        config: the run.
        share: what it has of its task.
        wait: seconds to wait for another process that is writing this run.
        lock: the run's, if it is held already.

    Attributes:
        finished: "complete" or "diverged" when there is nothing to do, else None.
        number: of the attempt, from 1; 0 when there is nothing to do.

    Raises:
        LockHeldError: another process writes the run, and lives.
        UserError: a file cannot be written.
    """

    def __init__(
        self,
        run: RunLayout,
        name: str,
        config: RunConfig,
        share: Share,
        wait: float = 0.0,
        lock: RunLock | None = None,
    ) -> None:
        self.run, self.name, self.config = run, name, config
        self.finished: str | None = None
        self.number = 0
        self._share = share
        self._lock = lock or RunLock(run.lock, wait)
        self._held = lock is not None
        self._log: AttemptLog | None = None
        self._steps: list[int] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        # `manage.py logs` knows a run's log by this line
        print(
            f"{self.name} ({self.config.run_id}), Slurm job {slurm_job_id() or 'none'}", flush=True
        )
        with ExitStack() as stack:
            if self._held:
                stack.callback(self._lock.release)
            else:
                stack.enter_context(self._lock)
            self.finished = outcome(self.run.results, self.config.run_id)
            if self.finished is None:
                self._begin(self._lock.last_life)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                self.fail(error)
        finally:
            self.close()

    def hold(self, part: AbstractContextManager[Part]) -> Part:
        """Enter ``part``, which is left before the lock is given back."""
        return self._open.enter_context(part)

    def close(self) -> None:
        """Give the lock back, for an attempt that has ended."""
        self._open.close()

    def tell(self, progress: Progress) -> None:
        """Write down how far the run is."""
        self._steps.append(progress.step)
        write_progress(self.run.progress, progress)

    def end(self, status: EndStatus, reason: str = "") -> None:
        """Write down how the attempt ended."""
        remove(self._reserve)
        if self._log is not None:
            self._log.end(status, reason, self._steps)
            self._log = None

    def fail(self, error: BaseException) -> None:
        """Write down why it failed: traceback, kind and reason. Nothing if it ended before."""
        if self._log is None:
            return
        remove(self._reserve)
        with suppress(OSError):  # a full disk may hide the story, not the error itself
            self.run.error.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        with suppress(OSError):
            self.end(_kind(error), one_line(error))

    @property
    def _reserve(self) -> Path:
        return self.run.root / ".reserve"

    def _begin(self, last_life: float | None) -> None:
        before = read_progress(self.run.progress)
        forget_last_attempt(self.run)
        share = self._share
        self._log = AttemptLog(
            self.run.attempts,
            slurm_job_id(),
            share.cpus or given_cpus(),
            _given_gpus(),
            last_life,
            last_step=before.step if before else 0,
            members=share.members,
            in_process=share.in_process,
            cpu_before=share.cpu_before,
        )
        self.number = self._log.number
        try:
            with suppress(OSError):
                self._reserve.write_bytes(bytes(_RESERVE_BYTES))
            self._log.start()
        except BaseException as error:
            self.fail(error)
            raise


def forget_last_attempt(run: RunLayout) -> None:
    """Remove what an earlier attempt said about itself, so that it cannot pass for this one."""
    remove(run.progress)
    remove(run.error)


def one_line(error: BaseException) -> str:
    """An exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")[:500]


def given_cpus() -> int:
    """Cores that this task was given."""
    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("OMP_NUM_THREADS") or ""
    return int(given) if given.isdigit() and int(given) > 0 else core_count()


def _given_gpus() -> int:
    return slurm_gpus() or len(visible_devices(os.environ.get("CUDA_VISIBLE_DEVICES", "")))


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
