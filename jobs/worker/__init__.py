"""What runs where a run is trained."""

__all__ = ["array_task", "attempt", "devices", "parent_watchdog", "train"]
