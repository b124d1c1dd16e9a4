"""One table of all runs: merged, checked, read."""

__all__ = ["read", "run_frames", "run_reader"]
