"""Promotion: a study's best model becomes the champion of a registered model where the study says that it is better."""
