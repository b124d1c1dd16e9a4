"""Write files so that a reader, or a crash, sees either the old content or the new."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inr.errors import UserError


@contextmanager
def replace_atomically(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path to write; when the block succeeds it becomes ``path``.

    The temporary lies in the same directory, because a rename is atomic only within one file
    system, and keeps the suffix, from which many writers choose the format. Data and directory
    entry are on disk before the block returns, unless ``durable`` is False: for what can be made
    again. On failure ``path`` is untouched.

    Raises:
        UserError: the file cannot be written: no permission, disk full, ``path`` is a directory.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)  # fails here, with a clear reason, if anywhere
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(path)
        if durable:
            _flush(path.parent)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be written: {reason}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_leftovers(path: Path) -> None:
    """Delete temporaries of ``path`` that a killed writer left. Only for the file's one writer."""
    for leftover in path.parent.glob(f".{path.stem}.????????{path.suffix}"):
        leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the content of a text file atomically."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
