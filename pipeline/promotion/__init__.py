"""Promotion: a study's best model becomes the champion of a registered model if the study shows that it is better."""
