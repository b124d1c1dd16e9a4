"""Merge the results of a sweep and look at them."""
