"""Coordinate networks that learn a diffusing image and its derivatives.

`load` reads a trained network back. It is imported on first use, so that programs which only
read results never import torch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inr.trained import TrainedNetwork as TrainedNetwork
    from inr.trained import load as load

__version__ = "0.1.0"
__all__ = ["TrainedNetwork", "load"]

# PYTHONPATH adds packages, and replaces none of this environment: it comes last, but for this one.
_ADDED = {os.path.realpath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p}
_ADDED -= {str(Path(__file__).resolve().parents[1])}
sys.path.sort(key=lambda path: os.path.realpath(path) in _ADDED)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from inr import trained

        return getattr(trained, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
