"""The report: facts, words, media, page."""

__all__ = ["page", "wording"]
