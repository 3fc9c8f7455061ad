"""Sequence classifiers and the time embeddings that distinguish them: PyTorch modules and the configs that build them."""
