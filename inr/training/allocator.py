"""Freed memory stays with the process, so that the next step need not ask for it again.

A step frees and takes arrays of some hundred kilobytes, dozens of times. The C library gives such
memory back to the system at once, and the system clears every page before it lends it again: at
width 128 and 1,024 points that was 4,000 to 6,000 page faults a step, and half of its time.
"""

from __future__ import annotations

import ctypes
import os
import platform

# parameters of mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_FROM_HEAP = 32 * 2**20  # bytes, the most that glibc allows
_KEPT = 512 * 2**20  # bytes at the end of the heap, more than a step needs
_TAKEN_AT_ONCE = 16 * 2**20  # bytes
_USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


def keep_freed_memory() -> None:
    """Ask the C library to keep up to 512 MiB of freed memory for this process.

    Does nothing where the C library is not glibc, or where the user has set one of glibc's own
    variables (``MALLOC_TRIM_THRESHOLD_`` and its like). Results do not change.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _USER_SETTINGS):
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, _LARGEST_FROM_HEAP)
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_TOP_PAD, _TAKEN_AT_ONCE)
