"""Merge the results of a sweep and look at them."""

import inr.startup  # noqa: F401
