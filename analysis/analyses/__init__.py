"""Analyses, which turn results into findings: one per file, and a registry that lists them."""
