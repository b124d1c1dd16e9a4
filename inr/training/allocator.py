"""Freed memory stays with the process, so that the next step need not ask for it again.

A step frees and takes arrays of some hundred kilobytes, dozens of times. The C library gives such
memory back to the system at once, and the system clears every page before it lends it again: at
width 128 and 1,024 points that was 4,000 to 6,000 page faults a step, and half of its time.
"""

import ctypes
import os
import platform

# parameters of mallopt(3), and bytes, by the variables that users set them with
_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * 2**20),  # largest from the heap; glibc allows no more
    "MALLOC_TRIM_THRESHOLD_": (-1, 512 * 2**20),  # kept at its end: more than a step needs
    "MALLOC_TOP_PAD_": (-2, 16 * 2**20),  # taken at once
}


def keep_freed_memory() -> None:
    """Ask glibc to keep up to 512 MiB of freed memory; nothing where the user has told it else."""
    if platform.libc_ver()[0] == "glibc" and not _SETTINGS.keys() & os.environ.keys():
        for parameter, size in _SETTINGS.values():
            ctypes.CDLL(None).mallopt(parameter, size)
