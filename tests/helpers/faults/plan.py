"""Which calls of a process fail, as `faults.c` makes them: by kind, instant, count and error."""

import errno
import random
from dataclasses import dataclass

# As in faults.c. EXCHANGES are of two names, which most network file systems refuse.
READS, LOCKS, LINKS, DIRECTORIES, WRITES, EXCHANGES, FLUSHES = range(7)


@dataclass(frozen=True)
class Fault:
    """Calls of a kind that fail: from the ``first`` on, ``count`` in a row, -1: all."""

    kind: int
    first: int
    count: int
    error: int


LACKING = [
    Fault(LOCKS, 0, -1, errno.ENOLCK),
    Fault(LINKS, 0, -1, errno.EPERM),
    Fault(DIRECTORIES, 0, -1, errno.EINVAL),
    Fault(EXCHANGES, 0, -1, errno.EINVAL),
]


def draw_faults(draw: random.Random, seen: dict[int, int]) -> list[Fault]:
    """What happens to a sweep: always something that passes, or a full disk, at some instant."""

    def at(kind: int, error: int, counts: list[int]) -> Fault:
        return Fault(kind, draw.randrange(seen[kind]), draw.choice(counts), error)

    happens = draw.choice(
        [
            lambda: at(READS, errno.ESTALE, [1, 1, 2, 4, 40]),
            lambda: at(READS, errno.EIO, [1, 2, 40]),
            lambda: at(FLUSHES, errno.EIO, [1, 2, 10]),
            lambda: at(WRITES, errno.ENOSPC, [1, 5, -1]),
            lambda: at(WRITES, errno.EIO, [1, 2]),
        ]
    )()
    return [happens, *draw.sample(LACKING, draw.randint(0, len(LACKING)))]
