"""Frames of runs as videos, side by side or zoomed into."""

__all__ = ["batch", "encoder", "plans", "selection", "zoom_render"]
