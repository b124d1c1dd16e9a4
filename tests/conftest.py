"""Settings that hold for all tests."""

from __future__ import annotations

import os
import signal

# A shell switches Ctrl-C off for background jobs, and tests of it may be one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is loaded: tests run side by side, and tiny products gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
