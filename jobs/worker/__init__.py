"""What runs where a run is trained."""

__all__ = [
    "array_task",
    "attempt",
    "child_process",
    "devices",
    "parent_watchdog",
    "train_pack",
    "train_run",
]
