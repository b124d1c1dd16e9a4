"""One writer per run: a lock file that also works on NFS and Lustre, with a heartbeat.

The lock is made with a hard link, and taken over by a rename, which are atomic on network file
systems where `flock` may not be supported. Its owner touches it every `HEARTBEAT_SECONDS`; the
time of that touch, as the file system tells it, is the run's sign of life.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from inr.errors import UserError

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 90.0  # a lock on another host without a heartbeat for so long is dead


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        host: machine.
        pid: process there.
        started: start of that process in clock ticks since boot; tells it from a later process
            of the same number.
        job: Slurm job, or "".
        token: tells this lock from every other one.
    """

    host: str
    pid: int
    started: int
    job: str
    token: str


class LockHeldError(UserError):
    """Somebody alive holds the lock."""


class RunLock:
    """Exclusive right to write the files of a run. A context manager.

    A lock whose owner is dead is taken over. An owner on this host is dead when its process is
    gone; one on another host when its heartbeat is older than `STALE_SECONDS`.

    Args:
        path: the lock file, in the directory that it protects.
        job: Slurm job of this process, for people and for `jobs/manage.py`.
        wait: seconds to wait for an owner that lives.

    Raises:
        LockHeldError: another process holds the lock and lives.
        UserError: the lock cannot be written.
    """

    def __init__(self, path: Path, job: str = "", wait: float = 0.0) -> None:
        self.path = path
        self.wait = wait
        host, pid = platform.node(), os.getpid()
        started = _process_start(pid) or 0
        self.owner = Owner(host, pid, started, job, token=secrets.token_hex(8))
        self.last_life: float | None = None  # heartbeat of a dead owner before us, seconds, epoch
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RunLock:
        deadline = time.monotonic() + self.wait
        while not self._try():
            if time.monotonic() >= deadline:
                raise LockHeldError(self._refusal())
            time.sleep(min(1.0, HEARTBEAT_SECONDS))
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        if read_owner(self.path) == self.owner:
            self.path.unlink(missing_ok=True)

    def _try(self) -> bool:
        """Take the lock if it is free or its owner is dead."""
        claim = self.path.with_name(f".{self.path.name}.{self.owner.token}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            claim.write_text(json.dumps(asdict(self.owner)), encoding="utf-8")
            taken = _link(claim, self.path) or self._take_over(claim, self.path)
            return taken or _link(claim, self.path)  # it may have been released meanwhile
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{self.path}: the lock cannot be written: {reason}") from error
        finally:
            with suppress(OSError):
                claim.unlink()

    def _take_over(self, claim: Path, held: Path) -> bool:
        """Put ``claim`` in the place of the lock ``held`` if the owner of that is dead.

        The lock is never absent meanwhile, so nobody can slip in. Who may replace it is decided
        by a lock of its own, named after the dead owner; that too may have been left by a process
        that died, and be taken over.
        """
        try:
            heartbeat = held.stat().st_mtime
            owner = read_owner(held)
        except FileNotFoundError:
            return False  # released
        now = claim.stat().st_mtime  # by the clock of the file system
        if is_alive(owner, now - heartbeat):
            return False
        name = f".{held.name.lstrip('.')}.after-{owner.token if owner else 'none'}"
        successor = held.with_name(name)
        if not (_link(claim, successor) or self._take_over(claim, successor)):
            return False
        if read_owner(held) != owner:  # somebody was faster
            successor.unlink()
            return False
        successor.rename(held)
        self.last_life = heartbeat
        return True

    def _refusal(self) -> str:
        owner = read_owner(self.path)
        if owner is None:
            return f"{self.path}: held by another process. Try again"
        job = f", Slurm job {owner.job}" if owner.job else ""
        return (
            f"{self.path.parent}: in use by process {owner.pid} on {owner.host}{job}. "
            "Wait until it ends, or stop it first"
        )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # a file system that hiccups; the next beat will tell
                if read_owner(self.path) != self.owner:
                    # silent for so long that another process took over: not one more write
                    print(f"{self.path}: lost to another process, ending", file=sys.stderr)
                    os._exit(1)
                os.utime(self.path)


def _link(source: Path, target: Path) -> bool:
    """Give ``source`` the second name ``target``; False if that exists already."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def read_owner(path: Path) -> Owner | None:
    """Who holds the lock at ``path``; None if nobody does or the file is unreadable."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_alive(owner: Owner | None, silence: float) -> bool:
    """Whether the owner of a lock lives, ``silence`` seconds after its last heartbeat."""
    if owner is not None and owner.host == platform.node():
        return _process_start(owner.pid) == owner.started
    return silence < STALE_SECONDS


def _process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the second field is the command in parentheses, which may itself hold spaces and parentheses
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
