"""What every command does before it loads anything else, whatever shell it was started from.

It is done when this module is imported: by the scripts first of all, and by `jobs` and
`postprocess`.
"""

import os
import sys


def _order_search_path() -> None:
    """Look for modules in this tree, then in all that Python knows, in PYTHONPATH at the end.

    PYTHONPATH adds modules, and replaces none; neither do the files beside a script.
    """
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    beside = {os.path.join(root, name) for name in ("jobs", "postprocess")}  # noqa: PTH118
    if os.environ.pop("PYTHONOPTIMIZE", "") and beside.intersection(sys.path):
        # a script: start again, for packages that cannot do without what that leaves out
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606
    given = os.environ.get("PYTHONPATH")
    added = {os.path.abspath(path) for path in given.split(os.pathsep)} if given else set()  # noqa: PTH100
    sys.path[:] = sorted(
        (path for path in sys.path if path not in beside),
        key=lambda path: path != root and path in added,
    )


_order_search_path()

import io  # noqa: E402
import warnings  # noqa: E402
from importlib.util import find_spec  # noqa: E402

# what Python takes from the shell for a process of its own, and libraries for how files are written
_PYTHON = ("PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONSTARTUP")
_NOT_INHERITED = (*_PYTHON, "HDF5_VOL_CONNECTOR", "HDF5_DRIVER", "SOURCE_DATE_EPOCH")


def _ignore_settings() -> None:
    for name in _NOT_INHERITED:
        os.environ.pop(name, None)
    if sys.warnoptions:  # -W or PYTHONWARNINGS, which may make errors of them
        sys.warnoptions.clear()
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
    os.environ["MPLBACKEND"] = "agg"  # figures are files, whatever Jupyter or a desktop wants


def _open_standard_streams() -> None:
    """Text that a stream cannot encode is replaced; one that is closed goes nowhere.

    Otherwise the next file would get the descriptor of a closed one, and what others print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
        elif isinstance(stream, io.TextIOWrapper) and mode == "w":
            stream.reconfigure(errors="replace")


def _require_packages() -> None:
    for package in ("pydantic", "numpy", "torch"):
        if find_spec(package) is None:
            raise SystemExit(
                f"error: no module {package!r} in this Python. Run: source .venv/bin/activate "
                "(make install makes it)"
            )


_ignore_settings()
_open_standard_streams()
_require_packages()
