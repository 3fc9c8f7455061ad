"""Studies as files that travel: written from a store, checked without one, and taken into another."""
