"""Settings that hold for all tests."""

from __future__ import annotations

import os

# Before torch is loaded: tests run side by side, and tiny products gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
