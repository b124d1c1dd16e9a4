"""The audit of the published study: docs/study.md and its tables."""

__all__ = ["data", "text"]
