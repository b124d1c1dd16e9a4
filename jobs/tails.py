"""The ends of text files, which may be long."""

from __future__ import annotations

import os
from pathlib import Path

_BLOCK = 65_536  # bytes read at once


def tail(path: Path, lines: int) -> list[str]:
    """The last ``lines`` lines of a text file; none if it cannot be read."""
    blocks: list[bytes] = []
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            while position > 0 and sum(block.count(b"\n") for block in blocks) <= lines:
                start = max(0, position - _BLOCK)
                file.seek(start)
                blocks.insert(0, file.read(position - start))
                position = start
    except OSError:
        return []
    return b"".join(blocks).decode("utf-8", errors="replace").splitlines()[-lines:]
