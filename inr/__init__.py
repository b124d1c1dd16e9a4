"""Coordinate networks that learn a diffusing image and its derivatives.

`load` reads a trained network back, `open_sweep` all those of a sweep. They are imported on first
use, so that programs which only read results never import torch.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's: `inr.startup` comes before all other imports
if TYPE_CHECKING:
    from typing import Any

    from inr.network.trained_network import TrainedNetwork as TrainedNetwork
    from inr.network.trained_network import load as load
    from inr.sweep import open_sweep as open_sweep

__version__ = "0.1.0"
__all__ = ["TrainedNetwork", "load", "open_sweep"]


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from inr import sweep
        from inr.network import trained_network

        return getattr(sweep if name == "open_sweep" else trained_network, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
