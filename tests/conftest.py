"""Settings that hold for all tests."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# A shell switches Ctrl-C off for background jobs, nohup the end of a terminal; tests may be such.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

# Before torch is loaded: tests run side by side, and tiny products gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tables and progress look alike, whatever terminal the tests are started from.
for _name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(_name, None)
os.environ["TERM"] = "xterm"

# Property tests draw the same examples on every machine. "search" draws new ones: `make fuzz`.
settings.register_profile(
    "same",
    derandomize=True,
    database=None,
    deadline=None,  # machines may be busy
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("search", settings.get_profile("same"), derandomize=False)
settings.load_profile("same")
# Examples would also hold constants of the modules that are loaded so far, which depends on which
# tests ran before in this process, and on where packages are installed.
providers._get_local_constants = lambda: providers._local_constants


def pytest_addoption(parser: pytest.Parser) -> None:
    """For the tests that need a GPU."""
    text = "torch device of the tests marked gpu: cuda (default), cuda:1..., or cpu to try them"
    parser.addoption("--device", default="cuda", help=text)
