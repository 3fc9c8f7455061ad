"""Metrics: one number per run, with its format and which direction is better."""
