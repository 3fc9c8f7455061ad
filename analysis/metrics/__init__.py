"""One number per run: what it is, how it is shown, and which direction is better."""
