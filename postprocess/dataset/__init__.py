"""One table of all runs: merged, checked, read."""

__all__ = ["integrity", "read", "run_frames", "run_reader", "usage"]
