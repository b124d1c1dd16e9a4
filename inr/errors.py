"""Errors meant for people: one clear message, one exit code, no traceback."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(Exception):
    """Something failed for a reason the user can act on (exit code 1).

    The message names the value, what is allowed and what to do.
    """

    exit_code = 1


class UsageError(UserError):
    """The request itself is wrong: a flag, a sweep file, a configuration value (exit code 2)."""

    exit_code = 2


class ArgumentParser(argparse.ArgumentParser):
    """As argparse's own, but raises `UsageError` where that prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with ``message`` and the command that helps."""
        raise UsageError(f"{message} ({self.prog} --help shows all options)")


def run_main(main: Callable[[], int | None]) -> int:
    """Call ``main`` and turn expected errors into a message on stderr and an exit code.

    Returns 0 or ``main``'s own code on success, 1 for a failure, 2 for wrong usage, 130 after
    Ctrl-C. SIGTERM, SIGUSR2 and SIGHUP of a closed terminal are as Ctrl-C, unless whoever started
    the command has switched them off. Unexpected exceptions pass through: a traceback is right
    for a bug.
    """
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        if signal.getsignal(each) is signal.SIG_DFL:
            signal.signal(each, signal.default_int_handler)
    try:
        code = main() or 0
        sys.stdout.flush()  # so that a closed pipe is noticed here and not at shutdown
        return code
    except KeyboardInterrupt as error:  # its argument, if any: what to know about it
        print(": ".join(["interrupted", *map(str, error.args)]), file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... | head` closed the pipe
        _discard_output()
        return 0
    except UserError as error:
        message, code = str(error), error.exit_code
    except OSError as error:
        _discard_output()  # where it is what cannot be written to
        message, code = describe_os_error(error), 1
    print(f"error: {message}", file=sys.stderr)
    return code


def _discard_output() -> None:
    """Send what is buffered nowhere: Python would complain again while flushing at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def describe_os_error(error: OSError) -> str:
    """Say an operating-system error in one line: the reason and the file, if there is one."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError) and not error.filename:  # of os.getcwd
        return "the current directory was removed. Change to another one"
    return f"{error.filename}: {reason}" if error.filename else reason
