"""How the runs of one task are trained together. Imports nothing, for command lines."""

from __future__ import annotations

from typing import Literal, get_args

# "fused": as one, with a model axis; "processes": in processes of their own, as many at once as
# `jobs.worker.child_process` says; "auto": fused on a GPU, in processes on a CPU
PackMode = Literal["auto", "fused", "processes"]
PACK_MODES: tuple[PackMode, ...] = get_args(PackMode)
