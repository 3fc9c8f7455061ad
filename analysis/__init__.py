"""Pure functions over tidy tables of runs, curves and predictions."""
