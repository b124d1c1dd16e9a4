"""Which figures a sweep gets, and how they are drawn."""

__all__ = ["batch", "layout", "style"]
