"""Measurements; not collected as tests. Run them as ``python -m tests.benchmarks.<name>``."""
