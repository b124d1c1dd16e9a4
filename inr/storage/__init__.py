"""Where it is: the files of a sweep and its runs, and who may write them."""

__all__ = ["attempts", "lock", "paths", "provenance", "run_writer", "sweep_index"]
