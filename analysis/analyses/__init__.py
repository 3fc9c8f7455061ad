"""Findings from results: one analysis a file, and the registry that lists them."""
