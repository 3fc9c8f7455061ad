"""Probes: measurements that need a trained model."""
