"""How many cores this process may use."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def core_count() -> int:
    """Cores by affinity, and no more than the quotas of the control groups give."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, int(min([cores or 1, *_quotas()])))


def _quotas() -> Iterator[float]:
    """CPUs that this process's control group, and those above it, may use; versions 1 and 2."""
    with suppress(OSError):
        for line in _MEMBERSHIP.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                root = _CGROUPS / ("cpu" if controllers else "")
                # in a container the path may be that of the host: then only the root is there
                groups = (Path(path), *Path(path).parents)
                yield from (_quota(root / group.relative_to("/")) for group in groups)


def _quota(group: Path) -> float:
    def read(name: str) -> list[str]:
        with suppress(OSError):
            return (group / name).read_text(encoding="utf-8").split()
        return []

    limit = read("cpu.max") or read("cpu.cfs_quota_us") + read("cpu.cfs_period_us")
    # "max", and -1 in version 1, are no limit
    return int(limit[0]) / int(limit[1]) if len(limit) == 2 and limit[0].isdigit() else math.inf
