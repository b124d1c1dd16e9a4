"""Which network learns an image and its derivatives best? docs/benchmark.md."""
