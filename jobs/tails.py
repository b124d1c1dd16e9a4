"""The ends of text files."""

from __future__ import annotations

from collections import deque
from pathlib import Path


def tail(path: Path, lines: int) -> list[str]:
    """The last ``lines`` lines of a text file; none if it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except OSError:
        return []
