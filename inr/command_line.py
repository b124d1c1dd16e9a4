"""Command lines whose mistakes read like every other mistake: one line, exit code 2."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn

from inr.errors import UsageError


class ArgumentParser(argparse.ArgumentParser):
    """As argparse's own, but raises `UsageError` where that prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with ``message`` and the command that helps."""
        raise UsageError(f"{message} ({self.prog} --help shows all options)")


def user_path(text: str) -> Path:
    """A path that a user wrote; a leading ``~`` is a home directory, where there is such a user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111, its counterpart fails for other names
