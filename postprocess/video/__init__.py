"""Frames of runs as videos, side by side or zoomed into."""

__all__ = ["encoder", "run_video", "selection", "zoom_video"]
