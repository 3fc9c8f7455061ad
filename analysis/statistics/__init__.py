"""Numbers from arrays: estimates, tests, intervals and effect sizes, each a pure function that knows no study."""
