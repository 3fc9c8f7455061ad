"""Probes: measurements on a trained model."""
