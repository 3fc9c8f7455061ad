"""Estimates, tests, intervals and effect sizes: pure functions of arrays, independent of studies."""
