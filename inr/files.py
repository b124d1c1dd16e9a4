"""Write files so that a reader, or a crash, sees either the old content or the new.

Network file systems fail for a moment now and then. What is precious is tried again, here alone.
"""

import errno
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from inr.errors import UserError

Result = TypeVar("Result")

# Errors of a network, or of a server that starts again. A full disk does not pass by itself.
_PASSING = (
    "EAGAIN EBUSY ECOMM ECONNRESET EHOSTDOWN EHOSTUNREACH EINTR EIO ENETDOWN ENETUNREACH ENOLCK "
    "ENOTCONN EREMOTEIO ESTALE ETIMEDOUT"
)
PASSING_ERRORS = frozenset(getattr(errno, name, errno.EIO) for name in _PASSING.split())
_WAITS = (0.05, 0.2, 1.0, 3.0)  # seconds before each further try

# What `fsync` of a directory gives where a file system has no such thing.
_NO_FSYNC = frozenset(
    {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}
)


def retried(action: Callable[[], Result]) -> Result:
    """The result of ``action``, which is tried again after each of `PASSING_ERRORS`.

    Raises what the last try raises, and any other error at once.
    """
    for wait in _WAITS:
        try:
            return action()
        except (OSError, UserError) as error:
            if not is_passing(error):
                raise
        time.sleep(wait)
    return action()


def exists(path: Path) -> bool:
    """Whether there is a file or a directory. Raises `OSError` if that cannot be told."""
    return retried(path.exists)


def is_passing(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says nothing of the file, and may be gone later."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in PASSING_ERRORS:
            return True
        error = error.__cause__
    return False


@contextmanager
def replace_atomically(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Give a temporary path to write; when the block succeeds it becomes ``path``.

    The temporary lies in the same directory, because a rename is atomic only within one file
    system, and keeps the suffix, from which many writers choose the format. Data and directory
    entry are on disk before the block returns (without ``flush``, the block itself sees to the
    data). On failure ``path`` is untouched, and `UserError` says why: no permission, disk full,
    ``path`` is a directory.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        retried(lambda: path.parent.mkdir(parents=True, exist_ok=True))
        retried(temporary.touch)  # fails here, with a clear reason, if anywhere
        yield temporary
        if flush:
            _flush(temporary)
        number = retried(temporary.stat).st_ino
        retried(lambda: _move(temporary, path, number))
        retried(lambda: _flush_directory(path.parent))
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be written: {reason}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace the content of a file as `replace_atomically` does, and raise what it raises."""

    def write() -> None:  # all of it again: what could not be flushed is no longer in memory
        temporary.write_bytes(content)
        _flush(temporary)

    with replace_atomically(path, flush=False) as temporary:
        retried(write)


def write_text(path: Path, text: str) -> None:
    """Replace the content of a text file atomically."""
    write_bytes(path, text.encode())


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, and have it on disk. One that was cut off before it spoils it not.

    After a passing error the line may be there twice. Raises `OSError` if it cannot be written.
    """

    def append() -> None:
        with path.open("ab+", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            whole = not size or os.pread(file.fileno(), 1, size - 1) == b"\n"
            content = f"{line}\n".encode() if whole else f"\n{line}\n".encode()
            # one write to a file opened for appending: lines never mix
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())

    retried(append)


def remove(path: Path) -> None:
    """Delete a file that is not needed any more; nothing happens if that cannot be done."""
    with suppress(OSError):
        retried(lambda: path.unlink(missing_ok=True))


def remove_leftovers(path: Path) -> None:
    """Delete temporaries of ``path`` that a killed writer left. Only for the file's one writer."""
    pattern = f".{path.stem}.????????{path.suffix}"
    for leftover in retried(lambda: list(path.parent.glob(pattern))):
        remove(leftover)


def clock_of(directory: Path) -> float:
    """Now, seconds since the epoch, by the clock that stamps files in ``directory``."""

    def stamp() -> float:
        with tempfile.TemporaryFile(dir=directory) as file:
            return os.fstat(file.fileno()).st_mtime

    try:
        return retried(stamp)
    except OSError:  # not writable for us: our own clock must do
        return time.time()


def _move(temporary: Path, path: Path, number: int) -> None:
    """Rename; a server may have done so already, and its answer been lost."""
    try:
        temporary.replace(path)
    except FileNotFoundError:
        if path.stat().st_ino != number:
            raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_directory(path: Path) -> None:
    try:
        _flush(path)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
