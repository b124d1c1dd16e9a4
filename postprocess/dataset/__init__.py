"""One table of all runs: merged, checked, read."""

__all__ = ["merged_sweep", "run_frames", "run_reader"]
