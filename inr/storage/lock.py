"""One writer per run: a lock file that also works on NFS and Lustre, with a heartbeat.

The lock is a lease of `filelock`: a file that only one process can create, which its owner touches
every `HEARTBEAT_SECONDS`. The time of that touch is the run's sign of life. The lock of a dead
owner is removed here: `filelock` would exchange two names for that, which NFS, Lustre, BeeGFS and
CephFS cannot do, and leaves a lock file for ever whose owner died before it wrote its name.
"""

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import LeaseCompromise, OwnerRecord, SoftFileLease, Timeout

# the only way to tell what is recorded of an owner: host with its namespace of processes, boot
from filelock._identity import host_name, owner_is_stale

from inr.errors import UserError
from inr.files import clock_of, retried

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 90.0  # a lock on another host without a heartbeat for so long is dead


class LockHeldError(UserError):
    """Somebody alive holds the lock."""


class RunLock:
    """Exclusive right to write the files of a run. A context manager.

    A lock whose owner is dead is taken over. An owner on this host is dead when its process is
    gone; one on another host, or in another namespace of processes, when its heartbeat is older
    than `STALE_SECONDS`, and so is one whose name cannot be read.

    The process ends at once, with code 1, when another process has the lock, or when for nearly
    `STALE_SECONDS` no heartbeat was possible, after which another may take it.

    Entering waits ``wait`` seconds for an owner that lives, then raises `LockHeldError`, or at once
    `UserError` if the lock cannot be written.
    """

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        self.path, self.wait = path, wait  # the lock file, in the directory that it protects
        self.last_life: float | None = None  # of a dead owner before us, seconds since the epoch
        self._left = threading.Event()
        self._lease = SoftFileLease(
            path,
            lease_duration=STALE_SECONDS,
            heartbeat_interval=HEARTBEAT_SECONDS,
            on_compromise=self._doubt,
            thread_local=False,
        )

    def __enter__(self) -> "RunLock":
        deadline = time.monotonic() + self.wait
        while not self.take():
            if time.monotonic() >= deadline:
                raise LockHeldError(self._refusal())
            time.sleep(min(1.0, HEARTBEAT_SECONDS))
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the lock back; nothing happens without it."""
        self._left.set()
        with suppress(OSError):  # it is dead when this process ends
            retried(self._lease.release)

    def take(self) -> bool:
        """Take the lock if it is free or its owner is dead, without waiting; whether it is ours."""
        try:
            return retried(self._take)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{self.path}: the lock cannot be written: {reason}") from error

    def _take(self) -> bool:
        heartbeat = _heartbeat(self.path)
        if heartbeat is not None and not (self._is_dead(heartbeat) and self._remove(heartbeat)):
            return False
        self._left.clear()
        try:
            self._lease.acquire(blocking=False)
        except Timeout:
            return False
        if self._right.exists():  # left by one that died when it had removed the lock
            with suppress(LockHeldError), RunLock(self._right):
                pass
        return True

    @property
    def _right(self) -> Path:
        """Lock of the right to remove this one. It may be left by a process that died, as any."""
        return self.path.with_name(f".{self.path.name.lstrip('.')}.takeover")

    def _is_dead(self, heartbeat: float) -> bool:
        return not is_alive(read_owner(self.path), clock_of(self.path.parent) - heartbeat)

    def _remove(self, heartbeat: float) -> bool:
        """Remove the lock of a dead owner, unless somebody else is doing so."""
        with suppress(LockHeldError), RunLock(self._right):
            if _heartbeat(self.path) == heartbeat and self._is_dead(heartbeat):
                self.path.unlink()
                self.last_life = heartbeat
            return True
        return False

    def _refusal(self) -> str:
        owner = read_owner(self.path)
        if owner is None:
            return f"{self.path}: held by another process. Try again"
        return (
            f"{self.path.parent}: in use by process {owner.pid} on {host_of(owner)}. "
            "Wait until it ends, or stop it first"
        )

    def _doubt(self, loss: LeaseCompromise) -> None:
        """Go on while nobody else is known to have the lock and may not yet take it; then end.

        Called instead of the next heartbeats when one has failed for long, or found another file:
        which may be ours, where a file system has given it another number.
        """
        left = STALE_SECONDS - 3 * HEARTBEAT_SECONDS if loss.reason == "owner-changed" else 0.0
        deadline = time.monotonic() + left
        while not self._left.is_set():
            owner = read_owner(self.path)
            if owner is not None and owner.token == loss.token:
                with suppress(OSError):
                    os.utime(self.path)
                    deadline = time.monotonic() + STALE_SECONDS - HEARTBEAT_SECONDS
            elif owner is not None or time.monotonic() >= deadline:
                # silent for so long that another process took over, or may: not one more write
                why = "lost to another process" if owner else f"lost ({loss.reason})"
                print(f"{self.path}: {why}, ending", file=sys.stderr, flush=True)
                os._exit(1)
            self._left.wait(HEARTBEAT_SECONDS)


def read_owner(path: Path) -> OwnerRecord | None:
    """Who holds the lock at ``path``; None if nobody does or the file is unreadable."""
    return SoftFileLease(path).owner


def is_here(owner: OwnerRecord) -> bool:
    """Whether the owner's process number means something here: host and namespace are ours."""
    return owner.hostname == host_name()


def host_of(owner: OwnerRecord) -> str:
    """The owner's host, without its namespace of processes."""
    return owner.hostname.partition("?")[0]


def is_alive(owner: OwnerRecord | None, silence: float) -> bool:
    """Whether the owner of a lock lives, ``silence`` seconds after its last heartbeat."""
    if owner is not None and is_here(owner):
        stale = owner_is_stale(owner.pid, owner.hostname, owner.start)
        return not (stale or _is_zombie(owner.pid))
    return silence < STALE_SECONDS


def _is_zombie(pid: int) -> bool:
    """Whether a process is dead and waits for its parent, which in a container may be for ever."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        # the command before it, in parentheses, may itself hold spaces and parentheses
        return stat.rpartition(")")[2].split()[0] in "ZX"
    return False


def _heartbeat(path: Path) -> float | None:
    """The last heartbeat of a lock, seconds since the epoch; None if there is none."""
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return None
