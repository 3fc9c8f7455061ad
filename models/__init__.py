"""Sequence classifiers and their time embeddings: PyTorch modules, and the configs that build them."""
