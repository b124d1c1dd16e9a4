"""The training step on a GPU, against its peers. ``python -m tests.benchmarks.gpu --help``."""
